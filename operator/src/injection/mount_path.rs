//! Where a volume is mounted, and what else is there.

use std::fmt;

use thiserror::Error;

use super::launcher;

/// An absolute path in a container, as a variable can hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPath(String);

/// Why a path is none to mount at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum MountPathError {
    /// A character outside the alphabet: kubelet would read `$(…)`, and nobody wants to quote.
    #[error("use letters, digits, '.', '_', '-' and '/'")]
    Character,
    /// `/`, or what the kernel or the launcher owns.
    #[error("this directory is not free: use another one, such as /run/secrets")]
    Occupied,
    /// Relative, or with an empty segment, `.` or `..`.
    #[error("write an absolute path without '//', '.' and '..', such as /run/secrets")]
    Shape,
}

impl MountPath {
    /// Reads a path.
    ///
    /// # Errors
    /// Nothing can, or should, be mounted there.
    pub(super) fn parse(text: &str) -> Result<Self, MountPathError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if !path.bytes().all(allowed) {
            return Err(MountPathError::Character);
        }
        let Some(segments) = path.strip_prefix('/') else {
            return Err(if text == "/" {
                MountPathError::Occupied
            } else {
                MountPathError::Shape
            });
        };
        if segments.split('/').any(|it| ["", ".", ".."].contains(&it)) {
            return Err(MountPathError::Shape);
        }
        let path = Self(path.to_owned());
        if OCCUPIED.iter().any(|taken| path.meets(taken)) {
            return Err(MountPathError::Occupied);
        }
        Ok(path)
    }

    /// A path that is one.
    pub(super) fn of(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    /// The path as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a mount at `other` is this one's.
    pub(super) fn is(&self, other: &str) -> bool {
        segments(&self.0) == segments(other)
    }

    /// Whether one of two mounts would lie in the other, or both at one place. Where the runtime puts
    /// the pod's service account token is made for it: that is no clash.
    pub(super) fn clashes_with(&self, other: &str) -> bool {
        self.meets(other) && segments(other) != segments(&format!("{self}/{SERVICE_ACCOUNT}"))
    }

    /// By the paths as they are written, or as they are where `/var/run` is a link.
    fn meets(&self, other: &str) -> bool {
        let one_in_other = |read: fn(&str) -> Vec<&str>| {
            let (own, other) = (read(&self.0), read(other));
            own.starts_with(&other) || other.starts_with(&own)
        };
        one_in_other(walked) || one_in_other(segments)
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The directories of a path where `/var/run` is a link to `/run`, as in nearly every image.
fn segments(path: &str) -> Vec<&str> {
    let mut segments = walked(path);
    if segments.starts_with(&["var", "run"]) {
        segments.remove(0);
    }
    segments
}

/// The directories of a path, as the kernel would walk them.
fn walked(path: &str) -> Vec<&str> {
    let mut walked = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                walked.pop();
            }
            segment => walked.push(segment),
        }
    }
    walked
}

/// Where kubelet and the runtime put the pod's own token, in the directory of secrets.
const SERVICE_ACCOUNT: &str = "kubernetes.io/serviceaccount";

const OCCUPIED: [&str; 4] = ["/dev", "/proc", "/sys", launcher::DIRECTORY];

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> MountPath {
        MountPath::parse(text).unwrap()
    }

    #[test]
    fn a_path_is_absolute_and_plain() {
        assert_eq!(path("/run/secrets/").as_str(), "/run/secrets");
        assert_eq!(path("/etc/app-1.2/_x").as_str(), "/etc/app-1.2/_x");
        for text in [
            "",
            "run",
            "run/secrets",
            "/run//secrets",
            "/a/../b",
            "/./a",
            "//",
        ] {
            assert_eq!(MountPath::parse(text), Err(MountPathError::Shape), "{text}");
        }
        for text in ["/a:b", "/a b", "/$(HOME)", "/ä", "/a\n"] {
            let refused = MountPath::parse(text);
            assert_eq!(refused, Err(MountPathError::Character), "{text}");
        }
    }

    #[test]
    fn what_others_own_is_no_place() {
        for text in [
            "/",
            "/proc",
            "/dev/shm",
            "/sys/fs",
            "/secretvault",
            "/secretvault/x",
        ] {
            let refused = MountPath::parse(text);
            assert_eq!(refused, Err(MountPathError::Occupied), "{text}");
        }
        assert!(MountPath::parse("/secretvaults").is_ok());
    }

    #[test]
    fn mounts_clash_at_above_and_below_whatever_they_are_called() {
        let secrets = path("/run/secrets");
        for other in [
            "/run/secrets",
            "/run/secrets/",
            "/run//./secrets",
            "/var/run/secrets",
            "/etc/../run/secrets",
            "/run",
            "/var/run/",
            "/",
            "/run/secrets/tokens",
            "/var/run/secrets/kubernetes.io",
            "/run/secrets/kubernetes.io/serviceaccount/x",
        ] {
            assert!(secrets.clashes_with(other), "{other}");
        }
        for other in [
            "/run/secret",
            "/run/secrets2",
            "/var",
            "/var/lib",
            "/tmp",
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "/run/secrets/kubernetes.io/serviceaccount",
        ] {
            assert!(!secrets.clashes_with(other), "{other}");
        }
        assert!(path("/var/run/secrets").clashes_with("/var"));
        assert!(path("/var/run/secrets").clashes_with("/run"));
    }
}
