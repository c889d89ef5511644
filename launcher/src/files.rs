//! A volume's files, all of one generation.

use std::{
    ffi::{CStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt,
    },
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
    process::geteuid,
};
use secretvault_vault::FilePath;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    room::{Room, cost},
    volume::{Volume, VolumeError},
};

/// A file's bytes. Wiped on drop; no `Debug`, `Clone` or comparison.
pub(crate) struct Value(Zeroizing<Vec<u8>>);

impl Value {
    /// Whether a variable would end before the value does.
    pub(crate) fn has_zero_byte(&self) -> bool {
        self.0.contains(&0)
    }

    /// The bytes as a variable has them. Wiped by the allocator when they are freed.
    pub(crate) fn into_variable(mut self) -> OsString {
        OsString::from_vec(std::mem::take(&mut *self.0))
    }
}

#[cfg(test)]
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self(Zeroizing::new(value.to_vec()))
    }
}

/// Why files were not read.
#[derive(Debug, Error)]
pub(crate) enum FilesError {
    #[error("{0:?} is neither a file nor a directory: a variable can only hold a file's value")]
    Kind(String),
    #[error(
        "file {path} cannot be read: its owner and mode do not let user {uid} (pod annotations secretvault.dev/uid, gid and mode)"
    )]
    Denied { path: String, uid: u32 },
    #[error("{0:?} is no name that a vault's file can have: is this a SecretVault volume?")]
    Name(String),
    #[error("file {path} cannot be read")]
    Read {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error(
        "file {path} has {size} bytes, and the kernel allows no variable with more than {most}: read it from its file, and leave it out of the variables with secretvault.dev/items"
    )]
    TooLong {
        path: String,
        size: usize,
        most: usize,
    },
    #[error(
        "with file {path} the variables are more than the {most} bytes that the kernel has for them: read large values from their files, and choose what becomes a variable with secretvault.dev/items"
    )]
    TooMuch { path: String, most: usize },
    #[error("the volume's files change faster than they can be read")]
    Unsettled,
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// The files, by path.
pub(crate) type Files = Vec<(FilePath, Value)>;

/// Reads all files.
///
/// # Guarantees
/// They are of one generation: it was in force before the first was opened and still after the last
/// was read, and until then nobody takes it away. Only what is below `..data` is read, so neither
/// other generations nor the `kubernetes.io` of the pod's own token.
///
/// # Errors
/// A file cannot be read, or all of them do not fit.
pub(crate) fn read(volume: &Volume, room: Room) -> Result<Files, FilesError> {
    for _ in 0..ATTEMPTS {
        let generation = volume.generation()?;
        let mut reading = Reading {
            files: Vec::new(),
            left: room.all,
            room,
        };
        let read = match volume.directory(&generation) {
            Ok(directory) => reading.directory(directory.as_fd(), ""),
            Err(cause) => Err(failed("..data", cause)),
        };
        if volume.generation()? == generation {
            return read.map(|()| reading.files);
        }
    }
    Err(FilesError::Unsettled)
}

struct Reading {
    files: Files,
    left: usize,
    room: Room,
}

impl Reading {
    fn directory(&mut self, directory: BorrowedFd<'_>, prefix: &str) -> Result<(), FilesError> {
        let shown = if prefix.is_empty() { "..data" } else { prefix };
        let entries = Dir::read_from(directory).map_err(|cause| failed(shown, cause))?;
        for entry in entries {
            let entry = entry.map_err(|cause| failed(shown, cause))?;
            let name = entry.file_name().to_string_lossy();
            if name != "." && name != ".." {
                self.entry(directory, entry.file_name(), format!("{prefix}{name}"))?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: String,
    ) -> Result<(), FilesError> {
        let opened = match openat(parent, name, FILE, Mode::empty()) {
            // A link, and a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Err(FilesError::Kind(path)),
            opened => opened.map_err(|cause| failed(&path, cause))?,
        };
        let status = fstat(&opened).map_err(|cause| failed(&path, cause))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => self.directory(opened.as_fd(), &format!("{path}/")),
            FileType::RegularFile => self.file(opened.into(), &path),
            FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Err(FilesError::Kind(path)),
        }
    }

    fn file(&mut self, file: File, path: &str) -> Result<(), FilesError> {
        let name = FilePath::try_from(path);
        let name = name.map_err(|_| FilesError::Name(path.to_owned()))?;
        let size = file.metadata().map_err(|cause| failed(path, cause))?.len();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.make_room(path, size)?;
        let value = read_file(file, size).map_err(|cause| failed(path, cause))?;
        self.files.push((name, value));
        Ok(())
    }

    /// Before anything is read: a volume can be larger than a container's memory.
    fn make_room(&mut self, path: &str, size: usize) -> Result<(), FilesError> {
        // A variable's name is as long as the path, or one longer. Then come `=` and the end.
        let around = path.len() + 1 + 1 + 1;
        let most = self.room.one.saturating_sub(around);
        if size > most {
            let path = path.to_owned();
            return Err(FilesError::TooLong { path, size, most });
        }
        let left = self.left.checked_sub(cost(size + around));
        self.left = left.ok_or_else(|| FilesError::TooMuch {
            path: path.to_owned(),
            most: self.room.all,
        })?;
        Ok(())
    }
}

fn read_file(mut file: File, size: usize) -> io::Result<Value> {
    // At its final size at once: growth would leave copies of the value behind.
    let mut value = Zeroizing::new(vec![0; size]);
    file.read_exact(&mut value)?;
    Ok(Value(value))
}

fn failed(path: &str, cause: impl Into<io::Error>) -> FilesError {
    let cause = cause.into();
    let path = path.to_owned();
    if cause.kind() == io::ErrorKind::PermissionDenied {
        let uid = geteuid().as_raw();
        return FilesError::Denied { path, uid };
    }
    FilesError::Read { path, cause }
}

/// Without waiting for the other end, should it be a pipe.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Far more than a volume changes while a program reads it once.
const ATTEMPTS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        path::Path,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    const ROOM: Room = Room {
        one: 1 << 17,
        all: 1 << 21,
    };

    /// A volume with one generation, in which these files are.
    fn volume(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        swap(directory.path(), "..1", files);
        directory
    }

    fn swap(root: &Path, generation: &str, files: &[(&str, &[u8])]) {
        let last = fs::read_link(root.join("..data"));
        for (path, value) in files {
            let path = root.join(generation).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        symlink(generation, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        if let Ok(last) = last {
            fs::remove_dir_all(root.join(last)).unwrap();
        }
    }

    fn of(root: &Path, room: Room) -> Result<Vec<(String, Vec<u8>)>, FilesError> {
        let files = read(&Volume::open(root).unwrap(), room)?;
        let mut plain: Vec<_> = files
            .into_iter()
            .map(|(path, value)| (path.to_string(), value.0.to_vec()))
            .collect();
        plain.sort();
        Ok(plain)
    }

    #[test]
    fn all_files_of_the_generation_in_force_are_read_and_nothing_beside_it() {
        let volume = volume(&[
            ("a", b"1"),
            ("db/deep/password", b"hunter2"),
            ("empty", b""),
        ]);
        let root = volume.path();
        for beside in ["..old/stale", "kubernetes.io/serviceaccount/token", "stray"] {
            let path = root.join(beside);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "not ours").unwrap();
        }
        let expected = [
            ("a", &b"1"[..]),
            ("db/deep/password", b"hunter2"),
            ("empty", b""),
        ];
        let expected = expected.map(|(path, value)| (path.to_owned(), value.to_vec()));
        assert_eq!(of(root, ROOM).unwrap(), expected);
    }

    #[test]
    fn a_volume_without_files_has_none() {
        let volume = volume(&[]);
        fs::create_dir(volume.path().join("..1")).unwrap();
        assert!(of(volume.path(), ROOM).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting_for_it() {
        let volume = volume(&[("a", b"1")]);
        let strange = volume.path().join("..1/strange");
        symlink("/etc/passwd", &strange).unwrap();
        assert!(
            matches!(of(volume.path(), ROOM), Err(FilesError::Kind(path)) if path == "strange")
        );
        fs::remove_file(&strange).unwrap();
        nix::unistd::mkfifo(&strange, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(
            matches!(of(volume.path(), ROOM), Err(FilesError::Kind(path)) if path == "strange")
        );
        fs::remove_file(&strange).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&strange).unwrap();
        assert!(
            matches!(of(volume.path(), ROOM), Err(FilesError::Kind(path)) if path == "strange")
        );
    }

    #[test]
    fn a_name_that_no_vault_has_is_refused() {
        for name in ["with space", "..x", "kubernetes.io/token"] {
            let volume = volume(&[(name, b"hunter2")]);
            let error = of(volume.path(), ROOM).unwrap_err();
            assert!(
                matches!(&error, FilesError::Name(path) if path == name),
                "{error}"
            );
        }
    }

    #[test]
    fn a_value_that_is_too_long_for_the_kernel_is_named_before_it_is_read() {
        let volume = volume(&[("long", b"hunter2")]);
        let room = |one| Room { one, ..ROOM };
        let around = "LONG".len() + 1 + 2;
        assert!(of(volume.path(), room(7 + around)).is_ok());
        let error = of(volume.path(), room(6 + around)).unwrap_err().to_string();
        assert!(
            error.contains("file long has 7 bytes") && error.contains("more than 6"),
            "{error}"
        );
    }

    #[test]
    fn the_file_that_is_one_too_many_is_named() {
        let volume = volume(&[("a", b"1"), ("b", b"2")]);
        let one = "A=1".len() + 1 + 1 + size_of::<usize>();
        let room = |all| Room { all, ..ROOM };
        assert!(of(volume.path(), room(2 * one + 2)).is_ok());
        let error = of(volume.path(), room(2 * one - 1)).unwrap_err();
        assert!(matches!(error, FilesError::TooMuch { .. }), "{error}");
    }

    #[test]
    fn files_of_two_generations_are_never_read_together() {
        let volume = volume(&[("a", b"0"), ("z/b", b"0"), ("z/c", b"0")]);
        let root = volume.path();
        let done = AtomicBool::new(false);
        let (mut reads, mut seen) = (0, std::collections::BTreeSet::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=1000 {
                    let value = format!("{number}").into_bytes();
                    let files: [(&str, &[u8]); 3] =
                        [("a", &value), ("z/b", &value), ("z/c", &value)];
                    swap(root, &format!("..{}", number + 1), &files);
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let files = of(root, ROOM).unwrap();
                assert_eq!(files.len(), 3);
                assert!(
                    files.iter().all(|(_, value)| *value == files[0].1),
                    "{files:?}"
                );
                seen.insert(files[0].1.clone());
                reads += 1;
            }
        });
        assert!(
            reads > 10 && seen.len() > 5,
            "{reads} reads of {} generations",
            seen.len()
        );
    }
}
