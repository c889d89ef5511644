//! A log in a file that does not grow without bound.
//!
//! When it is full, `audit.jsonl` becomes `audit.jsonl.1`, that one `audit.jsonl.2`, and so on; the
//! oldest goes.
//!
//! # Guarantees
//! * For each file that begins, at most one goes: also if it cannot be opened at first, and after a
//!   crash at any step.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
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
            self.shift()?;
            self.file = open(&self.path)?;
        }
        self.len = self.file.metadata()?.len();
        self.torn = false;
        Ok(())
    }

    /// Gives the file and its predecessors their next numbers, up to the first number that is free.
    fn shift(&self) -> io::Result<()> {
        // It was moved before, and the next one could not be opened: nothing is left to move.
        if !self.is_in_place()? {
            return Ok(());
        }
        let mut last = 1;
        while last < self.kept && metadata(&self.predecessor(last))?.is_some() {
            last += 1;
        }
        for number in (1..=last).rev() {
            fs::rename(self.predecessor(number - 1), self.predecessor(number))?;
        }
        Ok(())
    }

    /// Whether the file that is written to is still at its path.
    fn is_in_place(&self) -> io::Result<bool> {
        let id = |file: &Metadata| (file.dev(), file.ino());
        let own = id(&self.file.metadata()?);
        Ok(metadata(&self.path)?.is_some_and(|there| id(&there) == own))
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

/// What is there, if anything is.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
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
    fn while_the_next_file_cannot_be_opened_no_other_one_goes() {
        let scene = Scene::new();
        let mut log = scene.log(4, 2);
        for line in ["aaa", "bbb", "ccc"] {
            log.append(line.as_bytes()).unwrap();
        }
        for _ in 0..3 {
            // What is done before the file is opened.
            log.shift().unwrap();
        }
        scene.holds(&[("audit.jsonl.1", "ccc\n"), ("audit.jsonl.2", "bbb\n")]);
        log.append(b"ddd").unwrap();
        scene.holds(&[
            ("audit.jsonl", "ddd\n"),
            ("audit.jsonl.1", "ccc\n"),
            ("audit.jsonl.2", "bbb\n"),
        ]);
    }

    #[test]
    fn a_number_that_a_crash_left_free_is_taken_and_nothing_goes() {
        let scene = Scene::new();
        let mut log = scene.log(4, 4);
        for line in ["aaa", "bbb", "ccc", "ddd", "eee"] {
            log.append(line.as_bytes()).unwrap();
        }
        fs::remove_file(log.predecessor(2)).unwrap();
        log.append(b"fff").unwrap();
        scene.holds(&[
            ("audit.jsonl", "fff\n"),
            ("audit.jsonl.1", "eee\n"),
            ("audit.jsonl.2", "ddd\n"),
            ("audit.jsonl.3", "bbb\n"),
            ("audit.jsonl.4", "aaa\n"),
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
