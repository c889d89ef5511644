//! Where a volume goes: the only place on a node that this agent ever mounts on or unmounts.

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

/// Name of the directory that becomes the mount.
pub(super) const MOUNT: &str = "mount";

/// A checked target: `pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount` below kubelet's
/// directory. Nothing else is ever touched, whatever a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath {
    pod_uid: String,
    volume: String,
}

impl TargetPath {
    /// Reads the path as kubelet wrote it.
    ///
    /// # Errors
    /// The path is not of this form, below this directory.
    pub fn parse(kubelet_dir: &Path, text: &str) -> Result<Self, TargetPathError> {
        let refuse = || TargetPathError {
            kubelet_dir: kubelet_dir.to_owned(),
        };
        // `Path` would silently drop a `.`, a doubled and a trailing slash.
        if text
            .split('/')
            .skip(1)
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            return Err(refuse());
        }
        let relative = Path::new(text)
            .strip_prefix(kubelet_dir)
            .map_err(|_| refuse())?;
        Self::from_relative(relative).ok_or_else(refuse)
    }

    fn from_relative(relative: &Path) -> Option<Self> {
        let names: Option<Vec<&str>> = relative
            .components()
            .map(|component| match component {
                Component::Normal(name) => name.to_str(),
                Component::CurDir
                | Component::ParentDir
                | Component::Prefix(_)
                | Component::RootDir => None,
            })
            .collect();
        match names?.as_slice() {
            ["pods", uid, "volumes", "kubernetes.io~csi", volume, MOUNT]
                if is_name(uid) && is_name(volume) =>
            {
                Some(Self {
                    pod_uid: (*uid).to_owned(),
                    volume: (*volume).to_owned(),
                })
            }
            _ => None,
        }
    }

    /// The pod that the volume belongs to, as the path says.
    pub fn pod_uid(&self) -> &str {
        &self.pod_uid
    }

    /// The directory that holds the mount point, relative to kubelet's.
    fn parent(&self) -> PathBuf {
        format!(
            "pods/{}/volumes/kubernetes.io~csi/{}",
            self.pod_uid, self.volume
        )
        .into()
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{MOUNT}", self.parent().display())
    }
}

/// The path is not one that kubelet gives to a CSI volume.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the target path is not {}/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount",
    kubelet_dir.display()
)]
pub struct TargetPathError {
    kubelet_dir: PathBuf,
}

/// kubelet's directory, opened once: what is resolved below it follows no link and never leaves it.
#[derive(Debug)]
pub struct KubeletDir {
    path: PathBuf,
    directory: OwnedFd,
}

impl KubeletDir {
    /// Opens the directory. Its own path may have symbolic links: the node's owner chose it.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::empty())?;
        Ok(Self {
            path: path.to_owned(),
            directory,
        })
    }

    /// The path that kubelet writes in front of each target.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory that holds a target's mount point. `None`: there is none.
    pub(super) fn parent_of(&self, target: &TargetPath) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(
            self.directory.as_fd(),
            target.parent(),
            flags,
            Mode::empty(),
            resolve,
        ) {
            Ok(parent) => Ok(Some(parent)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Kubernetes makes both from UIDs and DNS labels; a static pod's UID is a hash.
fn is_name(text: &str) -> bool {
    text.len() <= 253
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TargetPath, TargetPathError> {
        TargetPath::parse(Path::new("/var/lib/kubelet"), text)
    }

    #[test]
    fn a_target_as_kubelet_writes_it_is_read() {
        let target =
            parse("/var/lib/kubelet/pods/8a0c-1/volumes/kubernetes.io~csi/secrets/mount").unwrap();
        assert_eq!(target.pod_uid(), "8a0c-1");
        assert_eq!(
            target.to_string(),
            "pods/8a0c-1/volumes/kubernetes.io~csi/secrets/mount"
        );
    }

    #[test]
    fn every_other_path_is_refused() {
        for text in [
            "",
            "/",
            "relative",
            "/etc",
            "/var/lib/kubelet",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount/x",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount/",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/./mount",
            "/var/lib/kubelet/pods/u//volumes/kubernetes.io~csi/v/mount",
            "/var/lib/kubelet/pods/../volumes/kubernetes.io~csi/v/mount",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/../mount",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/v/mount",
            "/var/lib/kubelet/plugins/u/volumes/kubernetes.io~csi/v/mount",
            "/var/lib/kubelet-other/pods/u/volumes/kubernetes.io~csi/v/mount",
            "/var/lib/kubelet/pods/u\n/volumes/kubernetes.io~csi/v/mount",
            "/var/lib/kubelet/pods/u\0/volumes/kubernetes.io~csi/v/mount",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
