//! A SecretVault volume as a reader sees it: the layout of Kubernetes' own volumes, in which
//! `..data` names the generation in force and a swap of that link changes all files at once.

use std::{
    ffi::CString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open, openat, readlinkat},
    io::Errno,
};
use thiserror::Error;

/// Why a directory is not a volume.
#[derive(Debug, Error)]
pub(crate) enum VolumeError {
    #[error(
        "{path} cannot be opened: is the volume mounted there? --files says where (pod annotation secretvault.dev/mount-path)"
    )]
    Open {
        path: PathBuf,
        #[source]
        cause: Errno,
    },
    #[error(
        "{0} holds no ..data that names a generation, so it is no SecretVault volume: --files says where that is (pod annotation secretvault.dev/mount-path)"
    )]
    Layout(PathBuf),
}

/// A volume's root.
#[derive(Debug)]
pub(crate) struct Volume {
    root: OwnedFd,
    path: PathBuf,
}

/// The name of a generation's directory. Never used again for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation(CString);

impl Volume {
    /// Opens a volume.
    ///
    /// # Errors
    /// There is no directory.
    pub(crate) fn open(path: &Path) -> Result<Self, VolumeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|cause| VolumeError::Open {
            path: path.to_owned(),
            cause,
        })?;
        let path = path.to_owned();
        Ok(Self { root, path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The generation in force.
    ///
    /// # Errors
    /// There is none: it is another kind of directory.
    pub(crate) fn generation(&self) -> Result<Generation, VolumeError> {
        let name = readlinkat(&self.root, DATA, Vec::new());
        let name = name.ok().filter(|name| is_generation(name.as_bytes()));
        let layout = || VolumeError::Layout(self.path.clone());
        name.map(Generation).ok_or_else(layout)
    }

    /// A generation's directory.
    ///
    /// # Errors
    /// It is gone, or was never there.
    pub(crate) fn directory(&self, generation: &Generation) -> io::Result<OwnedFd> {
        Ok(openat(
            &self.root,
            generation.0.as_c_str(),
            DIRECTORY,
            Mode::empty(),
        )?)
    }
}

/// A name in the root and nothing else: the link leads nowhere out of the volume.
fn is_generation(name: &[u8]) -> bool {
    name.len() > 2 && name.starts_with(b"..") && !name.contains(&b'/')
}

/// For a directory below the root: no link is followed.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

const DATA: &str = "..data";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_name_in_the_volume_itself_is_a_generation() {
        for name in ["..2026_11_22_05_37_11.9f3c21aa", "..x"] {
            assert!(is_generation(name.as_bytes()), "{name}");
        }
        for name in ["", "x", "..", "/etc", "../etc", "..x/../../etc"] {
            assert!(!is_generation(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_directory_without_generations_is_no_volume() {
        let directory = tempfile::tempdir().unwrap();
        let volume = Volume::open(directory.path()).unwrap();
        assert!(matches!(volume.generation(), Err(VolumeError::Layout(_))));
        symlink("/etc", directory.path().join("..data")).unwrap();
        assert!(matches!(volume.generation(), Err(VolumeError::Layout(_))));
    }

    #[test]
    fn a_link_in_a_generation_s_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        symlink("/etc", directory.path().join("..etc")).unwrap();
        symlink("..etc", directory.path().join("..data")).unwrap();
        let volume = Volume::open(directory.path()).unwrap();
        let generation = volume.generation().unwrap();
        assert!(volume.directory(&generation).is_err());
    }
}
