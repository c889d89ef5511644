//! What can go wrong on the node itself.

use std::io;

use super::TargetPath;

/// Why a volume cannot be attached, changed, read or removed. The messages hold paths, no values.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Something is at the target that is not ours to touch.
    #[error("{target} is a link, a file, or another filesystem is mounted on it: remove it")]
    Foreign {
        /// The target.
        target: TargetPath,
    },
    /// The kernel refused.
    #[error("cannot {doing} {target}")]
    Io {
        /// What we were about to do.
        doing: &'static str,
        /// The target.
        target: TargetPath,
        /// The kernel's answer.
        source: io::Error,
    },
    /// kubelet has not made the volume's directory, or has removed it.
    #[error("the directory that holds {target} does not exist: is --kubelet-dir kubelet's root?")]
    NoParent {
        /// The target.
        target: TargetPath,
    },
}
