//! A log in a file that does not grow without bound.
//!
//! When it is full, `audit.jsonl` becomes `audit.jsonl.1`, that one `audit.jsonl.2`, and so on; the
//! oldest goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::sink::{Sink, bytes};

/// A file, and its predecessors.
pub(super) struct RotatedFile {
    path: PathBuf,
    file: File,
    len: u64,
    /// A part of a line is at its end.
    torn: bool,
    /// How long the file may become.
    size: u64,
    /// How many predecessors there are at most.
    kept: u32,
}

impl RotatedFile {
    /// Goes on with the file, or begins it.
    ///
    /// # Errors
    /// The file cannot be opened, is a link, or another process writes to it.
    pub(super) fn open(path: &Path, size: u64, kept: u32) -> io::Result<Self> {
        let mut file = open(path)?;
        let len = file.metadata()?.len();
        let torn = len > 0 && !ends_a_line(&mut file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            len,
            torn,
            size,
            kept,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.kept == 0 {
            self.file.set_len(0)?;
        } else {
            for number in (1..=self.kept).rev() {
                moved(&self.predecessor(number - 1), &self.predecessor(number))?;
            }
            self.file = open(&self.path)?;
        }
        self.len = self.file.metadata()?.len();
        self.torn = false;
        Ok(())
    }

    /// The file itself is number 0.
    fn predecessor(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.into()
    }
}

impl Sink for RotatedFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = bytes(line, self.torn);
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.len > 0 && self.len.saturating_add(more) > self.size {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // A part may be there: without it, the log is as it was.
            self.torn |= self.file.set_len(self.len).is_err();
            return Err(error);
        }
        self.len = self.len.saturating_add(more);
        self.torn = false;
        Ok(())
    }
}

/// Opens it for this process alone: of two that write, one would cut off what the other wrote.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create(true);
    let file = options.mode(0o600).custom_flags(flags).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Renames what is there.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("audit.jsonl")
        }

        fn log(&self, size: u64, kept: u32) -> RotatedFile {
            RotatedFile::open(&self.path(), size, kept).unwrap()
        }

        /// What is there: each file with its text.
        fn files(&self) -> Vec<(String, String)> {
            let files = fs::read_dir(self.0.path()).unwrap();
            let file = |path: PathBuf| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            };
            let mut files: Vec<_> = files.map(|it| file(it.unwrap().path())).collect();
            files.sort();
            files
        }

        fn holds(&self, expected: &[(&str, &str)]) {
            let files = self.files();
            let files: Vec<_> = files
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            assert_eq!(files, expected);
        }
    }

    #[test]
    fn a_full_file_gets_a_number_and_the_oldest_goes() {
        let scene = Scene::new();
        let mut log = scene.log(8, 2);
        for line in ["aaa", "bbb", "ccc", "ddd", "eee", "fff", "ggg"] {
            log.append(line.as_bytes()).unwrap();
        }
        scene.holds(&[
            ("audit.jsonl", "ggg\n"),
            ("audit.jsonl.1", "eee\nfff\n"),
            ("audit.jsonl.2", "ccc\nddd\n"),
        ]);
    }

    #[test]
    fn one_file_alone_begins_anew() {
        let scene = Scene::new();
        let mut log = scene.log(8, 0);
        for line in ["aaa", "bbb", "ccc"] {
            log.append(line.as_bytes()).unwrap();
        }
        scene.holds(&[("audit.jsonl", "ccc\n")]);
    }

    #[test]
    fn a_line_that_is_longer_than_a_file_has_one_of_its_own() {
        let scene = Scene::new();
        let mut log = scene.log(4, 3);
        for line in ["a", "bbbbbbbb", "c"] {
            log.append(line.as_bytes()).unwrap();
        }
        scene.holds(&[
            ("audit.jsonl", "c\n"),
            ("audit.jsonl.1", "bbbbbbbb\n"),
            ("audit.jsonl.2", "a\n"),
        ]);
    }

    #[test]
    fn a_process_that_comes_back_goes_on_and_begins_on_a_line_of_its_own() {
        let scene = Scene::new();
        scene.log(100, 1).append(b"aaa").unwrap();
        scene.log(100, 1).append(b"bbb").unwrap();
        scene.holds(&[("audit.jsonl", "aaa\nbbb\n")]);
        fs::write(scene.path(), "aaa\nbb").unwrap();
        scene.log(100, 1).append(b"ccc").unwrap();
        scene.holds(&[("audit.jsonl", "aaa\nbb\nccc\n")]);
    }

    #[test]
    fn nobody_else_writes_to_it_and_it_is_no_link() {
        let scene = Scene::new();
        let _log = scene.log(100, 1);
        assert!(RotatedFile::open(&scene.path(), 100, 1).is_err());
        let link = scene.0.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(RotatedFile::open(&link, 100, 1).is_err());
    }

    #[test]
    fn others_may_not_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let scene = Scene::new();
        let _log = scene.log(100, 1);
        let mode = fs::metadata(scene.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// The kernel's own device for it takes nothing.
    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut log = RotatedFile {
            path: "/dev/full".into(),
            file,
            len: 0,
            torn: false,
            size: 100,
            kept: 1,
        };
        let error = log.append(b"aaa").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(log.len, 0);
    }
}
