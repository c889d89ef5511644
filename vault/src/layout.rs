//! Files side by side in one volume: which paths stand in each other's way.

use std::{collections::BTreeMap, ops::Bound};

use crate::names::FilePath;

/// Files by path. Two of them *clash* if they have one path, or if one needs the other's path as a
/// directory (`a` and `a/b`).
#[derive(Clone, Debug)]
pub(crate) struct Layout<T> {
    files: BTreeMap<FilePath, T>,
}

impl<T> Layout<T> {
    pub(crate) fn new() -> Self {
        Self {
            files: BTreeMap::new(),
        }
    }

    /// Puts a file at a path. Whatever clashes must have been taken out before.
    pub(crate) fn insert(&mut self, path: FilePath, file: T) {
        self.files.insert(path, file);
    }

    pub(crate) fn remove(&mut self, path: &FilePath) -> Option<T> {
        self.files.remove(path)
    }

    /// The files that clash with one at this path.
    pub(crate) fn clashes(&self, path: &FilePath) -> Vec<FilePath> {
        let above = path
            .directories()
            .filter_map(|directory| self.files.get_key_value(directory));
        let at = self.files.get_key_value(path);
        let directory = format!("{path}/");
        let below = self
            .files
            .range::<str, _>((Bound::Included(directory.as_str()), Bound::Unbounded))
            .take_while(|(other, _)| other.as_str().starts_with(&directory));
        above
            .chain(at)
            .chain(below)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The files, ordered by path.
    pub(crate) fn into_files(self) -> impl Iterator<Item = (FilePath, T)> {
        self.files.into_iter()
    }
}
