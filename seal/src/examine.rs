use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use secretvault_crds::limits::MAX_ENTRIES;
use secretvault_crds::{DataKey, SecretVault, SecretVaultSpec};
use secretvault_vault::effort::{MAX_EFFORT, effort, weight};
use secretvault_vault::{EditorRule, Vault};
use serde::Deserialize;
use serde_json::Value;

use crate::annotations::refuse_unreadable_copies;
use crate::editing::{Edits, MAPS, edits};
use crate::entries::{Entry, Sealable, read_entries};
use crate::need::{Settings, key_need};
use crate::{KeyNeed, Refusal, Wish};

/// The parts of a `SecretVault` object that sealing looks at. Values may be plain: no `Debug`.
#[derive(Clone, Copy)]
pub struct Manifest<'a> {
    /// `metadata.namespace`.
    pub namespace: &'a str,
    /// `metadata.name`; empty where the API server is to generate one.
    pub name: &'a str,
    /// `metadata.annotations`.
    pub annotations: &'a BTreeMap<String, String>,
    /// `spec`.
    pub spec: &'a Value,
}

impl<'a> Manifest<'a> {
    /// The names of all entries.
    pub(crate) fn entry_names(self) -> impl Iterator<Item = &'a str> {
        entry_names(self.spec)
    }
}

pub(crate) fn entry_names(spec: &Value) -> impl Iterator<Item = &str> {
    let maps = MAPS.into_iter();
    let maps = maps.filter_map(move |map| spec.get(map)?.as_object());
    maps.flat_map(|map| map.keys().map(String::as_str))
}

/// What a manifest needs before it can be sealed.
pub struct Examined<'a> {
    pub(crate) stored: Option<Manifest<'a>>,
    pub(crate) incoming: Manifest<'a>,
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) fresh_envelopes: bool,
    /// The stored object says that its values cannot change.
    pub(crate) immutable: bool,
    /// The requester is the operator itself, which changes no value.
    pub(crate) by_operator: bool,
    pub(crate) stored_data_key: Option<DataKey>,
    pub(crate) incoming_data_key: Option<DataKey>,
    pub(crate) now: Timestamp,
    need: KeyNeed,
    rights: Rights,
}

/// What the requester must be allowed to do, beyond create and update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Verb `manage`: `access` or `editors` of an existing vault change. A vault with editors may ask for
    /// it for more: see [`check_editor`](crate::check_editor).
    pub manage: bool,
    /// Verb `restore`: an envelope or data key comes in that is not the stored one.
    pub restore: bool,
}

impl<'a> Examined<'a> {
    /// The data key that the caller must bring to [`Examined::seal`].
    #[must_use]
    pub fn need(&self) -> &KeyNeed {
        &self.need
    }

    /// What the requester must be allowed to do.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// What the request writes: for the editors of the vault to judge.
    #[must_use]
    pub fn edits(&self) -> Edits {
        let mut edits = edits(self.stored, self.incoming);
        let moved = edits.fields.iter().any(|field| field == "spec.keyProvider");
        if matches!(self.need, KeyNeed::Reseal { .. }) && !moved {
            edits.fields.push("spec.dataKey.rekey".to_owned());
        }
        edits
    }

    /// The provider that must be one for vaults of this namespace: the one that is about to wrap a
    /// data key, or whose wrapped data key comes in. What is stored is not judged again.
    #[must_use]
    pub fn judged_provider(&self) -> Option<&str> {
        match &self.need {
            KeyNeed::New { provider } | KeyNeed::Reseal { provider, .. } => Some(provider),
            KeyNeed::Unwrap(key) if self.stored_data_key.is_none() => Some(&key.provider),
            KeyNeed::Compare { .. } | KeyNeed::Nothing | KeyNeed::Unwrap(_) => None,
        }
    }
}

/// Compares an incoming manifest with the stored object.
///
/// # Errors
/// Whatever can be refused without a key: see [`Refusal`].
pub fn examine<'a>(
    stored: Option<Manifest<'a>>,
    incoming: Manifest<'a>,
    wish: &Wish<'_>,
) -> Result<Examined<'a>, Refusal> {
    if incoming.name.is_empty() {
        return Err(Refusal::GeneratedName);
    }
    // Before anything looks at each of them: the schema, which has the same limit, comes later.
    check_count(stored, incoming)?;
    let entries = read_entries(stored.map(|stored| stored.spec), incoming.spec)?;
    check_form(incoming)?;
    refuse_unreadable_copies(incoming.annotations, &entries)?;
    let settings = Settings::read(incoming.spec)?;
    let stored_settings = stored
        .map(|stored| Settings::read(stored.spec))
        .transpose()?;
    let need = key_need(stored_settings.as_ref(), &settings, &entries, wish)?;
    if wish.by_operator {
        refuse_values(&need, &entries)?;
    }
    let rights = rights(stored, incoming, &need, &entries);
    Ok(Examined {
        stored,
        incoming,
        entries,
        fresh_envelopes: settings.fresh_envelopes,
        immutable: stored_settings
            .as_ref()
            .is_some_and(|stored| stored.immutable == Some(true)),
        by_operator: wish.by_operator,
        stored_data_key: stored_settings.and_then(|stored| stored.data_key),
        incoming_data_key: settings.data_key,
        now: wish.now,
        need,
        rights,
    })
}

/// Refuses more entries than a vault can have.
fn check_count(stored: Option<Manifest<'_>>, incoming: Manifest<'_>) -> Result<(), Refusal> {
    let count = incoming.entry_names().count();
    if count > MAX_ENTRIES {
        let entry = surplus(stored, incoming).to_owned();
        return Err(Refusal::TooManyEntries { entry, count });
    }
    Ok(())
}

/// An entry of a vault that has too many: one that is new, or else the last.
fn surplus<'a>(stored: Option<Manifest<'_>>, incoming: Manifest<'a>) -> &'a str {
    let stored = stored.into_iter().flat_map(Manifest::entry_names);
    let known: BTreeSet<&str> = stored.collect();
    let new = incoming.entry_names().filter(|name| !known.contains(name));
    new.last()
        .or_else(|| incoming.entry_names().last())
        .unwrap_or_default()
}

/// Refuses what could be stored but never mounted, so that it is told to whoever applies it.
fn check_form(manifest: Manifest<'_>) -> Result<(), Refusal> {
    // What does not even deserialize is refused by the schema, which says why.
    let Ok(spec) = SecretVaultSpec::deserialize(manifest.spec) else {
        return Ok(());
    };
    let mut vault = SecretVault {
        spec,
        ..SecretVault::default()
    };
    vault.metadata.namespace = Some(manifest.namespace.to_owned());
    vault.metadata.name = Some(manifest.name.to_owned());
    let parsed = vault.parse()?;
    let editors = vault.spec.parse_editors()?;
    check_effort(&parsed, &editors.unwrap_or_default())
}

/// Refuses rules that would take too long to compare with the entries' names: the ones at every start
/// of a pod, the others at every change.
fn check_effort(vault: &Vault, editors: &[EditorRule]) -> Result<(), Refusal> {
    let editing = weight(editors.iter().flat_map(EditorRule::globs));
    let efforts = [
        ("spec.access", vault.effort()),
        ("spec.editors", effort(editing, vault.weight())),
    ];
    match efforts.into_iter().find(|(_, it)| *it > MAX_EFFORT) {
        Some((field, effort)) => Err(Refusal::TooManyPatterns { field, effort }),
        None => Ok(()),
    }
}

/// Refuses every value that the operator itself would bring in, so that whoever has its token changes
/// none. In a reseal an envelope may be one that this very request was given when admission was asked
/// about it before: that it holds the stored value, sealing sees to.
fn refuse_values(need: &KeyNeed, entries: &[Entry<'_>]) -> Result<(), Refusal> {
    let reseals = matches!(need, KeyNeed::Reseal { .. });
    let brings = |entry: &&Entry<'_>| match entry.sealable {
        Sealable::Envelope(_) => !reseals,
        Sealable::Plain(_) => true,
        Sealable::Stored => false,
    };
    match entries.iter().find(brings) {
        Some(entry) => Err(entry.of_operator()),
        None => Ok(()),
    }
}

fn rights(
    stored: Option<Manifest<'_>>,
    incoming: Manifest<'_>,
    need: &KeyNeed,
    entries: &[Entry<'_>],
) -> Rights {
    let foreign_envelope = || {
        entries
            .iter()
            .any(|entry| matches!(entry.sealable, Sealable::Envelope(_)))
    };
    let restore = match need {
        KeyNeed::Compare { adopt, .. } => !adopt || foreign_envelope(),
        KeyNeed::Unwrap(_) => {
            foreign_envelope() || stored.is_none_or(|stored| stored.spec.get("dataKey").is_none())
        }
        // A reseal needs no right beyond update. Nothing comes in by it that was not there: the new
        // data key is made here, and the stored one opens only what is stored. Whoever may update
        // the vault could as well apply every value anew. What a data key that is brought along
        // opens must be the stored value, so there is nothing to restore.
        KeyNeed::Reseal {
            brought: Some(_), ..
        } => false,
        KeyNeed::New { .. } | KeyNeed::Nothing | KeyNeed::Reseal { brought: None, .. } => {
            foreign_envelope()
        }
    };
    Rights {
        manage: stored.is_some_and(|stored| who_may(stored.spec) != who_may(incoming.spec)),
        restore,
    }
}

/// The fields that say who may use or change the vault.
fn who_may(spec: &Value) -> [Option<&Value>; 2] {
    ["access", "editors"].map(|field| spec.get(field).filter(|value| !value.is_null()))
}
