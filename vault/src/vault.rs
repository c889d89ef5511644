//! A vault as decisions see it: checked, and without values or keys.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{
    access::AccessRule,
    effort::{LONGEST, effort, weight},
    layout::Layout,
    names::{EntryName, FileMode, FilePath, OnDelete, VaultRef},
    pattern::{EntryPattern, NamePattern},
};

/// The checked form of a `SecretVault`. Holds no plaintext, no envelope and no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// Namespace and name.
    pub reference: VaultRef,
    /// `metadata.uid`: tells a vault from a later one of the same name.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// The entries of all four maps.
    pub entries: BTreeMap<EntryName, EntryKind>,
    /// What a file of this vault has when neither its rule nor its consumer says more.
    pub file_defaults: FileAttributes,
    /// How single entries land.
    pub files: Vec<FileRule>,
    /// Who may have what; absent: pods of the vault's own namespace may have everything.
    pub access: Option<Vec<AccessRule>>,
    /// What becomes of files in live mounts when their entry or the vault is deleted.
    pub on_delete: OnDelete,
}

impl Vault {
    /// The rule of `files` for an entry.
    pub fn file_rule(&self, entry: &EntryName) -> Option<&FileRule> {
        self.files.iter().find(|rule| rule.entry == *entry)
    }

    /// Where an entry lands unless its consumer says otherwise.
    pub fn path_of(&self, entry: &EntryName) -> FilePath {
        let path = self.file_rule(entry).and_then(|rule| rule.path.clone());
        path.unwrap_or_else(|| FilePath::from(entry))
    }

    /// The weight of its entries' names.
    pub fn weight(&self) -> usize {
        weight(self.entries.keys().map(EntryName::as_str))
    }

    /// What it takes to try all of its access: see [`effort`](crate::effort).
    pub fn effort(&self) -> usize {
        let rules = || self.access.iter().flatten();
        let entries = rules().filter_map(|rule| rule.entries.as_ref()).flatten();
        let accounts = rules().filter_map(|rule| rule.service_accounts.as_ref());
        let accounts = weight(accounts.flatten().filter_map(NamePattern::glob));
        let entries = weight(entries.filter_map(EntryPattern::glob));
        effort(entries, self.weight()).saturating_add(effort(accounts, LONGEST))
    }

    /// Two entries that cannot be in one volume, if there are any: both land at one path, or one
    /// needs the other's path as a directory.
    pub fn collision(&self) -> Option<Collision> {
        let mut layout = Layout::new();
        for entry in self.entries.keys() {
            let path = self.path_of(entry);
            let clash = layout
                .clashes(&path)
                .first()
                .and_then(|other| layout.remove(other));
            if let Some(other) = clash {
                return Some(Collision {
                    path,
                    entries: [other, entry.clone()],
                });
            }
            layout.insert(path, entry.clone());
        }
        None
    }
}

/// Two entries that cannot be in one volume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "entries {} and {} cannot both be in one volume: {path} would be two files, or a file and a \
     directory; give one of them another path under files",
    entries[0], entries[1]
)]
pub struct Collision {
    /// The path of the second.
    pub path: FilePath,
    /// The entries.
    pub entries: [EntryName; 2],
}

/// Whether an entry is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// From `publicData` or `publicBinaryData`: readable in the object.
    Public,
    /// From `data` or `binaryData`: an envelope.
    Secret,
}

/// Owner, group and mode of a file, as far as somebody said them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileAttributes {
    /// The owning user.
    pub uid: Option<u32>,
    /// The owning group.
    pub gid: Option<u32>,
    /// The permission bits.
    pub mode: Option<FileMode>,
}

impl FileAttributes {
    /// Takes each attribute from here, or else from `next`.
    #[must_use]
    pub fn or(self, next: Self) -> Self {
        Self {
            uid: self.uid.or(next.uid),
            gid: self.gid.or(next.gid),
            mode: self.mode.or(next.mode),
        }
    }
}

/// How one entry lands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// The entry.
    pub entry: EntryName,
    /// Where; absent: at the entry's name.
    pub path: Option<FilePath>,
    /// With which owner, group and mode.
    pub attributes: FileAttributes,
}
