//! What the pod's owner should know of a volume that is granted, in words without values.

use std::fmt;

use super::{Overridden, Refusal};
use crate::{
    names::{EntryName, FilePath, VaultRef},
    pattern::EntryPattern,
};

/// Something that the pod's owner should know. Names only, and none that the pod may not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A vault without entries.
    EmptyVault {
        /// The vault.
        vault: VaultRef,
    },
    /// A held file goes: its entry or its vault was deleted, with `onDelete: Remove`.
    Gone {
        /// The file.
        path: FilePath,
        /// The vault.
        vault: VaultRef,
    },
    /// A pattern that covers nothing.
    Idle {
        /// The pattern.
        pattern: EntryPattern,
    },
    /// The published volume does without something that a first publish would need.
    Lacking(Refusal),
    /// The volume does without a vault that is optional.
    Optional(Refusal),
    /// A file that a later vault's file replaced.
    Overridden(Overridden),
    /// A held file stays although its entry or its vault was deleted.
    Retained {
        /// The file.
        path: FilePath,
        /// The entry.
        entry: EntryName,
        /// The vault.
        vault: VaultRef,
    },
    /// A held file goes: the pod may not have it any more.
    Withdrawn {
        /// The file.
        path: FilePath,
        /// The vault.
        vault: VaultRef,
    },
}

impl Notice {
    /// The file that a later vault's file replaced, if this is about one.
    pub fn overridden(&self) -> Option<&Overridden> {
        let Self::Overridden(overridden) = self else {
            return None;
        };
        Some(overridden)
    }

    /// The held file that goes because the pod may not have it any more, if this is about one.
    pub fn withdrawn(&self) -> Option<&FilePath> {
        let Self::Withdrawn { path, .. } = self else {
            return None;
        };
        Some(path)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyVault { vault } => write!(f, "vault {vault} has no entries"),
            Self::Gone { path, vault } => {
                write!(f, "{path} goes: its entry is gone from vault {vault}")
            }
            Self::Idle { pattern } => write!(
                f,
                "items: {:?} covers no entry that this pod may have",
                pattern.as_str()
            ),
            Self::Lacking(refusal) => write!(f, "{refusal}"),
            Self::Optional(refusal) => write!(f, "optional {refusal}"),
            Self::Overridden(Overridden {
                path, vault, by, ..
            }) => write!(
                f,
                "{path} is taken from vault {by}, which is listed after {vault}"
            ),
            Self::Retained { path, entry, vault } => write!(
                f,
                "{path} stays although entry {entry} is gone from vault {vault}: onDelete is Retain"
            ),
            Self::Withdrawn { path, vault } => {
                write!(f, "{path} goes: vault {vault} no longer allows it")
            }
        }
    }
}
