//! Files that are there whole or not at all, whenever the power goes.
//!
//! A file is written beside its place, synced, renamed into it, and its directory is synced. What
//! was there before stays until the rename, and a half-written one is never seen.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use zeroize::Zeroizing;

/// Puts a file in the place of what is there.
///
/// # Errors
/// As the kernel answers; what was there before is there still.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, RenameFlags::empty())
}

/// Puts a file where none is.
///
/// # Errors
/// `AlreadyExists`, or as the kernel answers.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, RenameFlags::NOREPLACE)
}

/// Takes a file away. One that is not there is fine.
///
/// # Errors
/// As the kernel answers.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a directory that only its owner may enter, and those that it is in.
///
/// # Errors
/// As the kernel answers.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Reads a file of at most `limit` bytes, without a copy that is not wiped.
///
/// # Errors
/// `FileTooLarge`, or as the kernel answers.
pub fn read(mut file: impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.by_ref().take(most).read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

fn put(path: &Path, content: &[u8], flags: RenameFlags) -> io::Result<()> {
    let next = beside(path)?;
    let renamed =
        write(&next, content).and_then(|()| match renameat_with(CWD, &next, CWD, path, flags) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) => Err(error.into()),
        });
    if renamed.is_err() {
        let _ = fs::remove_file(&next);
    }
    renamed?;
    sync_directory(path)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    // One that a crash has left would be in the way.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or(io::ErrorKind::InvalidFilename)?;
    Ok(path.with_file_name(format!(".{name}{UNFINISHED}")))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// What the name of an unfinished file ends with: nobody takes it for a manifest, not even
/// `kubectl apply -f DIR`.
const UNFINISHED: &str = ".unfinished";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        replace(&path, b"a longer text").unwrap();
        replace(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_not_created_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        create(&path, b"first").unwrap();
        let error = create(&path, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(directory.path().join(".a.unfinished"), "hal").unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn more_than_the_limit_is_not_read() {
        assert_eq!(*read(&b"12345"[..], 5).unwrap(), b"12345");
        let error = read(&b"123456"[..], 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
