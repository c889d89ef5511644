//! What a volume holds, checked: the one type that is written, read back and compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use secretvault_envelope::Plaintext;
use secretvault_vault::{FileMode, FilePath};

/// One file of a volume.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits.
    pub mode: FileMode,
    /// Its bytes, which other files may have too. Compared in constant time.
    pub content: Arc<Plaintext>,
}

/// Files by path. No path is a directory of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<FilePath, File>);

impl Contents {
    /// Collects files.
    ///
    /// # Errors
    /// Two files cannot be in one tree.
    pub fn new(files: impl IntoIterator<Item = (FilePath, File)>) -> Result<Self, PathCollision> {
        let mut tree = BTreeMap::new();
        for (path, file) in files {
            if tree.contains_key(&path) {
                return Err(PathCollision(path));
            }
            tree.insert(path, file);
        }
        match tree
            .keys()
            .find(|path| path.directories().any(|above| tree.contains_key(above)))
        {
            Some(path) => Err(PathCollision(path.clone())),
            None => Ok(Self(tree)),
        }
    }

    /// Takes one file out.
    pub fn take(&mut self, path: &FilePath) -> Option<File> {
        self.0.remove(path)
    }

    /// The files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&FilePath, &File)> {
        self.0.iter()
    }

    /// The directories to make, each after the one that it is in.
    pub fn directories(&self) -> BTreeSet<&str> {
        self.0.keys().flat_map(FilePath::directories).collect()
    }

    /// The names at the top, as links lead to them.
    pub fn top_names(&self) -> BTreeSet<&str> {
        self.0
            .keys()
            .filter_map(|path| path.as_str().split('/').next())
            .collect()
    }
}

/// Two files cannot both be there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is there twice, or below another file")]
pub struct PathCollision(FilePath);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn file(content: &str) -> File {
        File {
            uid: 0,
            gid: 0,
            mode: FileMode::DEFAULT,
            content: Arc::new(Plaintext::from(content.to_owned())),
        }
    }

    pub(crate) fn contents(files: &[(&str, &str)]) -> Contents {
        let files = files
            .iter()
            .map(|(path, content)| (path.parse().unwrap(), file(content)));
        Contents::new(files.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let tree = contents(&[("a/b/c", ""), ("a/d", ""), ("e", "")]);
        assert_eq!(
            tree.directories().into_iter().collect::<Vec<_>>(),
            ["a", "a/b"]
        );
        assert_eq!(tree.top_names().into_iter().collect::<Vec<_>>(), ["a", "e"]);
    }

    #[test]
    fn a_file_below_another_or_twice_is_refused() {
        for paths in [["a", "a/b"], ["a/b", "a/b/c"], ["a", "a"]] {
            let files = paths.map(|path| (path.parse().unwrap(), file("")));
            assert!(Contents::new(files).is_err(), "{paths:?}");
        }
        let near = ["a-b", "a.b"].map(|path| (path.parse().unwrap(), file("")));
        assert!(Contents::new(near).is_ok());
    }

    #[test]
    fn content_owner_and_mode_make_a_difference() {
        assert_eq!(file("x"), file("x"));
        assert_ne!(file("x"), file("xy"));
        assert_ne!(
            file("x"),
            File {
                uid: 1,
                ..file("x")
            }
        );
        assert_ne!(
            file("x"),
            File {
                gid: 1,
                ..file("x")
            }
        );
        assert_ne!(
            file("x"),
            File {
                mode: "0400".parse().unwrap(),
                ..file("x")
            }
        );
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", contents(&[("a", "hunter2")]));
        assert!(
            !shown.contains("hunter2") && !shown.contains("104"),
            "{shown}"
        );
    }
}
