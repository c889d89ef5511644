//! What a consumer asks for: the volume attributes `vaults` and `items`, read once.
//!
//! `vaults` is a comma list of `[namespace/]name`, or a YAML list of `vault`, `prefix` and
//! `optional`. A vault is there once: its files have one place each. An entry that is needed in two
//! places is listed twice in `items`, with two paths.
//!
//! Pod authors write these texts and the operator reads them, so each has a limit: [`MAX_VAULTS`],
//! [`MAX_ITEMS`], [`MAX_GLOBS`] (each glob is tried on every entry) and [`MAX_TEXT`]. What they may have
//! compared in all, with the vaults that are there, is the plan's: [`effort`](crate::effort).

mod items;
mod vaults;

use thiserror::Error;

use crate::{
    names::{EntryName, FilePath, MAX_OWNER_ID, ModeError, NameError, VaultRef, VaultRefError},
    pattern::{EntryPattern, PatternError},
    vault::FileAttributes,
    yaml::YamlError,
};

/// The most vaults of one volume.
pub const MAX_VAULTS: usize = 16;

/// The most items of one volume.
pub const MAX_ITEMS: usize = 1000;

/// The most items that are globs.
pub const MAX_GLOBS: usize = 64;

/// The longest `vaults` or `items`, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// What a volume is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// At least one, and none twice; a later one overrides an earlier one.
    pub vaults: Vec<RequestedVault>,
    /// Which entries; empty: every entry that the pod may have.
    pub items: Vec<Item>,
    /// The volume's own defaults.
    pub defaults: FileAttributes,
}

/// A vault that a volume is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedVault {
    /// Which.
    pub reference: VaultRef,
    /// The directory that all its files land in, those with a path of their own too; none: the
    /// volume's root.
    pub prefix: Option<FilePath>,
    /// Whether the volume is fine without it: missing, or not for this pod.
    pub optional: bool,
}

/// One wish: an entry, or all that a pattern covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is wished for.
    pub pattern: ItemPattern,
    /// Where it lands; for a single entry only.
    pub path: Option<FilePath>,
    /// With which owner, group and mode.
    pub attributes: FileAttributes,
    /// Whether the volume is fine without it.
    pub optional: bool,
}

/// What an item names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemPattern {
    /// One entry.
    Entry(EntryName),
    /// All entries that a pattern covers, none included.
    Glob(EntryPattern),
}

impl ItemPattern {
    /// The entry's name or the pattern, as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Entry(entry) => entry.as_str(),
            Self::Glob(pattern) => pattern.as_str(),
        }
    }
}

/// Why a volume's attributes cannot be read: the pod's author must change them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The same item twice.
    #[error("items: {item:?} is listed twice: take one out, or give it another path")]
    DuplicateItem {
        /// The item.
        item: String,
    },
    /// The same vault twice, with whatever prefixes.
    #[error("vaults: {vault} is listed twice: take one out (items can put an entry at two paths)")]
    DuplicateVault {
        /// The vault.
        vault: VaultRef,
    },
    /// Nothing between two commas.
    #[error("items: nothing between two commas, or after the last: take one out")]
    EmptyItem,
    /// A YAML list without elements.
    #[error("items: an empty list: name an entry, or leave the attribute out to get every entry")]
    EmptyList,
    /// An item that is no entry name.
    #[error("items: {0}")]
    Entry(NameError),
    /// A path for a pattern.
    #[error(
        "items: {item:?} is a pattern, which may cover many entries: only one entry can have a path"
    )]
    GlobWithPath {
        /// The pattern.
        item: String,
    },
    /// A mode that is none.
    #[error("items: {item:?}: {reason}")]
    Mode {
        /// The item.
        item: String,
        /// What is wrong with its mode.
        reason: ModeError,
    },
    /// A mode that is a number.
    #[error(
        "items: {item:?}: mode {number} must be quoted, such as \"0400\": as a number it is ambiguous"
    )]
    ModeNotQuoted {
        /// The item.
        item: String,
        /// The number that was read.
        number: String,
    },
    /// No vault at all.
    #[error("vaults: name at least one, such as \"app\" or \"platform/shared, app\"")]
    NoVault,
    /// A user or group id out of range.
    #[error("items: {item:?}: {field} {value} is not from 0 to {MAX_OWNER_ID}")]
    Owner {
        /// The item.
        item: String,
        /// `uid` or `gid`.
        field: &'static str,
        /// What it is.
        value: i64,
    },
    /// A path that is none.
    #[error("items: path {0}")]
    Path(NameError),
    /// An item that is no pattern.
    #[error("items: {0}")]
    Pattern(PatternError),
    /// A prefix that is no directory of the volume.
    #[error("vaults: {vault}: prefix {reason}")]
    Prefix {
        /// The vault.
        vault: VaultRef,
        /// What is wrong with its prefix.
        reason: NameError,
    },
    /// An attribute is too long.
    #[error("{attribute}: more than {MAX_TEXT} bytes: use patterns, or several volumes")]
    TooLong {
        /// `vaults` or `items`.
        attribute: &'static str,
    },
    /// Too many globs.
    #[error("items: {count} patterns: at most {MAX_GLOBS} are allowed")]
    TooManyGlobs {
        /// How many there are.
        count: usize,
    },
    /// Too many items.
    #[error("items: {count} items: at most {MAX_ITEMS} are allowed: use patterns")]
    TooManyItems {
        /// How many there are.
        count: usize,
    },
    /// Too many vaults.
    #[error("vaults: {count} vaults: at most {MAX_VAULTS} are allowed")]
    TooManyVaults {
        /// How many there are.
        count: usize,
    },
    /// A path variable where there are none.
    #[error(
        "vaults: ${{…}} is not filled in here, only in items: write the vault's name and prefix out"
    )]
    VariableInVaults,
    /// A text that names no vault.
    #[error("vaults: {0}")]
    Vault(VaultRefError),
    /// Not the list that it should be.
    #[error(
        "vaults: {0}: a list is needed of vault, prefix, optional, such as \
         [{{vault: platform/shared, prefix: shared, optional: true}}, {{vault: app}}]"
    )]
    VaultsYaml(YamlError),
    /// Not the list that it should be.
    #[error(
        "items: {0}: a list is needed of entry, path, uid, gid, mode, optional, such as \
         [{{entry: db/password, path: password, mode: \"0400\"}}]"
    )]
    Yaml(YamlError),
}

impl Request {
    /// Reads a volume's attributes. A vault without a namespace is the pod's own.
    ///
    /// # Errors
    /// When a text cannot be read or is beyond a limit. The message names the attribute, the
    /// offending text, and what to do.
    pub fn parse(
        pod_namespace: &str,
        vaults: &str,
        items: &str,
        defaults: FileAttributes,
    ) -> Result<Self, RequestError> {
        let vaults = vaults::parse(pod_namespace, vaults)?;
        let items = items::parse(items)?;
        Ok(Self {
            vaults,
            items,
            defaults,
        })
    }
}
