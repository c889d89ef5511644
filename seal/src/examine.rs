use std::collections::BTreeMap;

use secretvault_crds::limits::MAX_ENTRIES;
use secretvault_crds::{DataKey, SecretVault, SecretVaultSpec};
use serde::Deserialize;
use serde_json::Value;

use crate::Refusal;
use crate::annotations::refuse_unreadable_copies;
use crate::entries::{Entry, Sealable, read_entries};

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
        let maps = ["data", "binaryData", "publicData", "publicBinaryData"];
        let maps = maps.into_iter();
        let maps = maps.filter_map(move |map| self.spec.get(map)?.as_object());
        maps.flat_map(|map| map.keys().map(String::as_str))
    }
}

/// What a manifest needs before it can be sealed.
pub struct Examined<'a> {
    pub(crate) incoming: Manifest<'a>,
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) fresh_envelopes: bool,
    pub(crate) stored_data_key: Option<DataKey>,
    pub(crate) incoming_data_key: Option<DataKey>,
    need: KeyNeed,
    rights: Rights,
}

/// The data key that sealing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNeed {
    /// The incoming wrapped key differs from the stored one: both must open to the same key.
    Compare {
        /// The wrapped key of the manifest.
        incoming: DataKey,
        /// The wrapped key of the stored object, which stays.
        stored: DataKey,
    },
    /// A new data key, wrapped by this provider.
    New {
        /// The key provider's name.
        provider: String,
    },
    /// No key: every secret entry is stored already, byte for byte, or there is none.
    Nothing,
    /// This wrapped key: the stored one, or one that a backup brings along.
    Unwrap(DataKey),
}

/// What the requester must be allowed to do, beyond create and update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Verb `manage`: `access` of an existing vault changes.
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
}

/// Compares an incoming manifest with the stored object.
///
/// # Errors
/// Whatever can be refused without a key: see [`Refusal`].
pub fn examine<'a>(
    stored: Option<Manifest<'a>>,
    incoming: Manifest<'a>,
) -> Result<Examined<'a>, Refusal> {
    if incoming.name.is_empty() {
        return Err(Refusal::GeneratedName);
    }
    let entries = read_entries(stored.map(|stored| stored.spec), incoming.spec)?;
    check_form(stored, incoming)?;
    refuse_unreadable_copies(incoming.annotations, &entries)?;
    let settings = Settings::read(incoming.spec)?;
    let stored_settings = stored
        .map(|stored| Settings::read(stored.spec))
        .transpose()?;
    let need = key_need(stored_settings.as_ref(), &settings, &entries)?;
    let rights = rights(stored, incoming, &need, &entries);
    Ok(Examined {
        incoming,
        entries,
        fresh_envelopes: settings.fresh_envelopes,
        stored_data_key: stored_settings.and_then(|stored| stored.data_key),
        incoming_data_key: settings.data_key,
        need,
        rights,
    })
}

/// The few fields of `spec` that decide about keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(default = "default_provider")]
    key_provider: String,
    #[serde(default)]
    fresh_envelopes: bool,
    data_key: Option<DataKey>,
}

impl Settings {
    fn read(spec: &Value) -> Result<Self, Refusal> {
        // serde's message could quote a value: the schema tells the requester what is wrong.
        Self::deserialize(spec).map_err(|_| Refusal::Spec)
    }
}

fn default_provider() -> String {
    secretvault_crds::api::DEFAULT_KEY_PROVIDER.to_owned()
}

/// Refuses what could be stored but never mounted, so that it is told to whoever applies it.
fn check_form(stored: Option<Manifest<'_>>, manifest: Manifest<'_>) -> Result<(), Refusal> {
    // What does not even deserialize is refused by the schema, which says why.
    let Ok(spec) = SecretVaultSpec::deserialize(manifest.spec) else {
        return Ok(());
    };
    let count = spec.entry_count();
    if count > MAX_ENTRIES {
        let entry = surplus(stored, manifest).to_owned();
        return Err(Refusal::TooManyEntries { entry, count });
    }
    let mut vault = SecretVault {
        spec,
        ..SecretVault::default()
    };
    vault.metadata.namespace = Some(manifest.namespace.to_owned());
    vault.metadata.name = Some(manifest.name.to_owned());
    vault.parse()?;
    Ok(())
}

/// An entry of a vault that has too many: one that is new, or else the last.
fn surplus<'a>(stored: Option<Manifest<'_>>, incoming: Manifest<'a>) -> &'a str {
    let is_new = |name: &&str| {
        let mut stored = stored.into_iter().flat_map(Manifest::entry_names);
        !stored.any(|known| known == *name)
    };
    let new = incoming.entry_names().filter(is_new).last();
    new.or_else(|| incoming.entry_names().last())
        .unwrap_or_default()
}

fn key_need(
    stored: Option<&Settings>,
    incoming: &Settings,
    entries: &[Entry<'_>],
) -> Result<KeyNeed, Refusal> {
    let untouched = entries
        .iter()
        .all(|entry| matches!(entry.sealable, Sealable::Stored));
    let stored_key = stored.and_then(|stored| stored.data_key.as_ref());
    refuse_moved_provider(stored, incoming)?;
    match (stored_key, &incoming.data_key) {
        (Some(stored), Some(incoming)) if stored != incoming => {
            if stored.id != incoming.id {
                return Err(Refusal::ForeignDataKey);
            }
            Ok(KeyNeed::Compare {
                incoming: incoming.clone(),
                stored: stored.clone(),
            })
        }
        (Some(_), _) if untouched => Ok(KeyNeed::Nothing),
        (Some(stored), _) => Ok(KeyNeed::Unwrap(stored.clone())),
        (None, Some(incoming)) => Ok(KeyNeed::Unwrap(incoming.clone())),
        (None, None) if entries.is_empty() => Ok(KeyNeed::Nothing),
        (None, None) => Ok(KeyNeed::New {
            provider: incoming.key_provider.clone(),
        }),
    }
}

fn refuse_moved_provider(stored: Option<&Settings>, incoming: &Settings) -> Result<(), Refusal> {
    match stored {
        Some(stored)
            if stored.data_key.is_some() && stored.key_provider != incoming.key_provider =>
        {
            Err(Refusal::KeyProviderChanged {
                from: stored.key_provider.clone(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

fn rights(
    stored: Option<Manifest<'_>>,
    incoming: Manifest<'_>,
    need: &KeyNeed,
    entries: &[Entry<'_>],
) -> Rights {
    let foreign_envelope = entries
        .iter()
        .any(|entry| matches!(entry.sealable, Sealable::Envelope(_)));
    let foreign_key = match need {
        KeyNeed::Compare { .. } => true,
        KeyNeed::Unwrap(_) => stored.is_none_or(|stored| stored.spec.get("dataKey").is_none()),
        KeyNeed::New { .. } | KeyNeed::Nothing => false,
    };
    Rights {
        manage: stored.is_some_and(|stored| who_may(stored.spec) != who_may(incoming.spec)),
        restore: foreign_envelope || foreign_key,
    }
}

/// The fields that say who may use or change the vault.
fn who_may(spec: &Value) -> [Option<&Value>; 2] {
    ["access", "editors"].map(|field| spec.get(field).filter(|value| !value.is_null()))
}
