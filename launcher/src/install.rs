//! The program's copy: from an image that holds nothing else, into a directory that the pod's
//! containers share.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why there is no copy.
#[derive(Debug, Error)]
pub(crate) enum InstallError {
    #[error("{0} is no place for a file: give its whole path, with its name")]
    Place(PathBuf),
    #[error("this program cannot be read from {PROGRAM}")]
    Read(#[source] io::Error),
    #[error(
        "the program cannot be written to {path}: is its directory mounted, and may this user write to it?"
    )]
    Write {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Copies this program.
///
/// # Guarantees
/// What is at the path is whole at every moment: the last copy, or this one. What a killed attempt
/// has left is replaced.
///
/// # Errors
/// The copy was not made, or not finished.
pub(crate) fn install(path: &Path) -> Result<(), InstallError> {
    let beside = beside(path).ok_or_else(|| InstallError::Place(path.to_owned()))?;
    let mut program = File::open(PROGRAM).map_err(InstallError::Read)?;
    let written = write(&mut program, &beside).and_then(|()| fs::rename(&beside, path));
    written.map_err(|cause| {
        let _ = fs::remove_file(&beside);
        InstallError::Write {
            path: path.to_owned(),
            cause,
        }
    })
}

/// Where the copy is made: in the same directory, or it could not be renamed.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".new");
    Some(path.with_file_name(name))
}

fn write(program: &mut File, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Never a file that was there before, nor through a link.
    let options = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .clone();
    let mut copy = options.open(path)?;
    io::copy(program, &mut copy)?;
    // Whatever the umask is.
    copy.set_permissions(Permissions::from_mode(EXECUTABLE))
}

/// By the kernel's word, so also after the file was replaced.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// For every user of the pod, and to be written by none.
const EXECUTABLE: u32 = 0o555;

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_copy_is_the_program_and_everybody_s_to_execute() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("launcher");
        install(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(PROGRAM).unwrap());
        assert_eq!(mode(&path), 0o555);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_install_replaces_the_file_and_what_a_killed_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("launcher");
        install(&path).unwrap();
        let old = File::open(&path).unwrap();
        fs::write(directory.path().join(".launcher.new"), "half").unwrap();
        install(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(PROGRAM).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // Who runs the last one keeps it.
        assert!(old.metadata().unwrap().len() > 0);
    }

    #[test]
    fn a_link_that_waits_in_the_way_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        for name in ["launcher", ".launcher.new"] {
            std::os::unix::fs::symlink(&victim, directory.path().join(name)).unwrap();
        }
        install(&directory.path().join("launcher")).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = install(Path::new("/no/such/launcher")).unwrap_err();
        assert!(error.to_string().contains("/no/such/launcher"), "{error}");
        assert!(matches!(
            install(Path::new("/")),
            Err(InstallError::Place(_))
        ));
    }
}
