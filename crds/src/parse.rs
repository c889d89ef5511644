//! From the wire to decisions: [`SecretVault::parse`].

mod access;
mod editors;

use std::collections::{BTreeMap, BTreeSet};

use secretvault_vault as vault;
use secretvault_vault::{
    EntryName, FileMode, VaultRef,
    editors::AccountError,
    names::{ModeError, NameError},
    pattern::PatternError,
    vault::Collision,
};
use thiserror::Error;

use crate::{
    files::{FileDefaults, FileRule},
    limits::{MAX_ENTRIES, MAX_OWNER_ID},
    rules::{EVERY_NAMESPACE, FOR_NOBODY},
    secret_vault::{OnDelete, SecretVault, SecretVaultSpec},
};

pub use access::parse_access;

/// Why an object is not a vault: the field, what is wrong with it, and what to do. Never a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct ParseError {
    /// The field's path in the object, such as `spec.files[2].mode`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// A service account that is none.
    #[error("{0}")]
    Account(AccountError),
    /// Two entries that cannot be in one volume.
    #[error("{0}")]
    Collision(Collision),
    /// An entry in two maps.
    #[error("entry {entry} is also in {other}: keep one of the two")]
    Duplicate {
        /// The entry.
        entry: EntryName,
        /// The other map.
        other: &'static str,
    },
    /// Two rules for one entry.
    #[error("entry {entry} has a rule already: keep one of the two")]
    DuplicateRule {
        /// The entry.
        entry: EntryName,
    },
    /// A list that may be absent, but not empty.
    #[error("an empty list allows nothing: add to it, or leave the field out")]
    EmptyList,
    /// A selector of namespaces without a condition.
    #[error("{EVERY_NAMESPACE}")]
    EmptySelector,
    /// A list of values that does not fit its operator.
    #[error("{operator} {needs}")]
    LabelValues {
        /// The operator.
        operator: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A field without which there is no vault.
    #[error("must not be empty")]
    Missing,
    /// A mode that is none.
    #[error("{0}")]
    Mode(ModeError),
    /// A name or path that is none.
    #[error("{0}")]
    Name(NameError),
    /// A namespace that is none.
    #[error("{namespace:?} is not the name of a namespace")]
    Namespace {
        /// The text.
        namespace: String,
    },
    /// A rule of editors that is for nobody.
    #[error("{FOR_NOBODY}")]
    NobodyNamed,
    /// Namespaces that are neither named nor selected.
    #[error("needs names, a selector, or both: add one, or leave the field out")]
    NoNamespaces,
    /// A user or group id out of range.
    #[error("{value} is not from 0 to {MAX_OWNER_ID}")]
    Owner {
        /// The number.
        value: u32,
    },
    /// A pattern that is none.
    #[error("{0}")]
    Pattern(PatternError),
    /// Too many entries.
    #[error("the vault has {count} entries: at most {MAX_ENTRIES} are allowed, use a second vault")]
    TooManyEntries {
        /// How many there are.
        count: usize,
    },
    /// A rule for an entry that the vault does not have.
    #[error("entry {entry} is not in the vault: add it, or take its rule out of files")]
    UnknownEntry {
        /// The entry.
        entry: EntryName,
    },
}

impl SecretVault {
    /// Reads the vault as decisions need it.
    ///
    /// # Guarantees
    /// Looks at no value of any of the maps, so it can be used before and after sealing. An absent
    /// uid or generation (an object that is just being created) is empty or 0.
    ///
    /// # Errors
    /// Names the field and what to do. The schema refuses most of it already; an object stored
    /// under an older schema may still hold it.
    pub fn parse(&self) -> Result<vault::Vault, ParseError> {
        let reference = self.reference()?;
        let entries = self.spec.entries()?;
        let files = parse_files(&self.spec.files, &entries)?;
        let access = self.spec.access.as_deref().map(parse_access).transpose()?;
        let defaults = self.spec.file_defaults.clone().unwrap_or_default();
        let vault = vault::Vault {
            reference,
            uid: self.metadata.uid.clone().unwrap_or_default(),
            generation: self.metadata.generation.unwrap_or_default(),
            entries,
            file_defaults: parse_defaults(&defaults)?,
            files,
            access,
            on_delete: self.spec.on_delete.unwrap_or_default().into(),
        };
        match vault.collision() {
            None => Ok(vault),
            Some(collision) => Err(error("spec.files", Problem::Collision(collision))),
        }
    }

    fn reference(&self) -> Result<VaultRef, ParseError> {
        let part = |field: &str, text: &Option<String>| {
            let text = text.clone().filter(|text| !text.is_empty());
            text.ok_or_else(|| error(field, Problem::Missing))
        };
        let namespace = part("metadata.namespace", &self.metadata.namespace)?;
        let name = part("metadata.name", &self.metadata.name)?;
        Ok(VaultRef::new(namespace, name))
    }
}

impl SecretVaultSpec {
    /// How many entries the four maps have.
    pub fn entry_count(&self) -> usize {
        self.maps().map(|(_, names, _)| names.count()).sum()
    }

    /// How many characters the values of `data` and `binaryData` have: after sealing, what
    /// [`MAX_SEALED_TOTAL`](crate::limits::MAX_SEALED_TOTAL) bounds.
    pub fn sealed_total(&self) -> usize {
        let values = self.data.values().chain(self.binary_data.values());
        values.map(|value| value.expose().len()).sum()
    }

    /// The four maps' names.
    fn maps(
        &self,
    ) -> impl Iterator<
        Item = (
            &'static str,
            Box<dyn Iterator<Item = &String> + '_>,
            vault::EntryKind,
        ),
    > {
        use vault::EntryKind::{Public, Secret};
        let maps: [(_, Box<dyn Iterator<Item = &String>>, _); 4] = [
            ("data", Box::new(self.data.keys()), Secret),
            ("binaryData", Box::new(self.binary_data.keys()), Secret),
            ("publicData", Box::new(self.public_data.keys()), Public),
            (
                "publicBinaryData",
                Box::new(self.public_binary_data.keys()),
                Public,
            ),
        ];
        maps.into_iter()
    }

    fn entries(&self) -> Result<BTreeMap<EntryName, vault::EntryKind>, ParseError> {
        let count = self.entry_count();
        if count > MAX_ENTRIES {
            return Err(error("spec", Problem::TooManyEntries { count }));
        }
        let mut entries = BTreeMap::new();
        let mut maps = BTreeMap::new();
        for (map, names, kind) in self.maps() {
            for name in names {
                let field = || format!("spec.{map}");
                let entry = EntryName::try_from(name.as_str())
                    .map_err(|reason| error(field(), Problem::Name(reason)))?;
                if let Some(other) = maps.insert(entry.clone(), map) {
                    return Err(error(field(), Problem::Duplicate { entry, other }));
                }
                entries.insert(entry, kind);
            }
        }
        Ok(entries)
    }
}

fn parse_defaults(defaults: &FileDefaults) -> Result<vault::FileAttributes, ParseError> {
    attributes(
        "spec.fileDefaults",
        defaults.uid,
        defaults.gid,
        defaults.mode.as_deref(),
    )
}

fn parse_files(
    rules: &[FileRule],
    entries: &BTreeMap<EntryName, vault::EntryKind>,
) -> Result<Vec<vault::FileRule>, ParseError> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.files[{index}]");
        let entry = EntryName::try_from(rule.entry.as_str())
            .map_err(|reason| error(format!("{field}.entry"), Problem::Name(reason)))?;
        if !entries.contains_key(&entry) {
            return Err(error(
                format!("{field}.entry"),
                Problem::UnknownEntry { entry },
            ));
        }
        if !seen.insert(entry.clone()) {
            return Err(error(
                format!("{field}.entry"),
                Problem::DuplicateRule { entry },
            ));
        }
        let path = rule.path.as_deref().map(str::parse).transpose();
        let path = path.map_err(|reason| error(format!("{field}.path"), Problem::Name(reason)))?;
        let attributes = attributes(&field, rule.uid, rule.gid, rule.mode.as_deref())?;
        files.push(vault::FileRule {
            entry,
            path,
            attributes,
        });
    }
    Ok(files)
}

fn attributes(
    field: &str,
    uid: Option<u32>,
    gid: Option<u32>,
    mode: Option<&str>,
) -> Result<vault::FileAttributes, ParseError> {
    let owner = |name: &str, id: Option<u32>| match id {
        Some(value) if value > MAX_OWNER_ID => {
            Err(error(format!("{field}.{name}"), Problem::Owner { value }))
        }
        id => Ok(id),
    };
    let mode = mode.map(str::parse::<FileMode>).transpose();
    Ok(vault::FileAttributes {
        uid: owner("uid", uid)?,
        gid: owner("gid", gid)?,
        mode: mode.map_err(|reason| error(format!("{field}.mode"), Problem::Mode(reason)))?,
    })
}

fn not_empty<T>(field: &str, list: &[T]) -> Result<(), ParseError> {
    if list.is_empty() {
        Err(error(field, Problem::EmptyList))
    } else {
        Ok(())
    }
}

fn error(field: impl Into<String>, problem: Problem) -> ParseError {
    ParseError {
        field: field.into(),
        problem,
    }
}

impl From<OnDelete> for vault::OnDelete {
    fn from(on_delete: OnDelete) -> Self {
        match on_delete {
            OnDelete::Remove => Self::Remove,
            OnDelete::Retain => Self::Retain,
        }
    }
}
