//! Which data key a manifest needs, and whether it is a new one.

use jiff::Timestamp;
use secretvault_crds::DataKey;
use serde::Deserialize;
use serde_json::Value;

use crate::entries::{Entry, Sealable, SecretMap};
use crate::{Manifest, Refusal};

/// What decides about the data key beside the manifests.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The key provider that the vault should have. It is only looked at where [`needs_provider`]
    /// says so.
    pub provider: &'a str,
    /// Whether the requester is the operator itself: its rewrapped data key takes the place of the
    /// stored one, nobody else's does; and it brings in no value, which everybody else may.
    pub by_operator: bool,
    /// The time, for a data key that is made now.
    pub now: Timestamp,
}

/// The data key that sealing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNeed {
    /// The incoming wrapped key differs from the stored one: both must open to the same key.
    Compare {
        /// Whether the incoming one takes the stored one's place: the operator wrapped the same key
        /// anew. Else the stored one stays.
        adopt: bool,
        /// The wrapped key of the manifest.
        incoming: DataKey,
        /// The wrapped key of the stored object.
        stored: DataKey,
    },
    /// A new data key, wrapped by this provider.
    New {
        /// The key provider's name.
        provider: String,
    },
    /// No key: every secret entry is stored already, byte for byte, or there is none.
    Nothing,
    /// A new data key in the place of the stored one: every value is sealed anew.
    Reseal {
        /// A data key that the manifest brings: what this very request was given when admission was
        /// asked about it before. It only opens what the manifest holds; nothing is sealed with it.
        brought: Option<DataKey>,
        /// The provider that wraps the new one.
        provider: String,
        /// How often the vault will have got a new data key.
        rekey: u32,
        /// The wrapped key of the stored object.
        stored: DataKey,
    },
    /// This wrapped key: the stored one, or one that a backup brings along.
    Unwrap(DataKey),
}

/// Whether [`examine`](crate::examine()) looks at [`Wish::provider`]: a data key may have to be made.
/// To find the provider costs questions, and where nothing needs it, no failure to find it matters.
///
/// # Errors
/// The specification cannot be read.
pub fn needs_provider(
    stored: Option<Manifest<'_>>,
    incoming: Manifest<'_>,
) -> Result<bool, Refusal> {
    let stored = stored
        .map(|stored| Settings::read(stored.spec))
        .transpose()?;
    let settings = Settings::read(incoming.spec)?;
    let stored_key = stored.as_ref().and_then(|stored| stored.data_key.as_ref());
    Ok(match (&stored, stored_key) {
        (Some(stored), Some(key)) => settings.raises(key) || settings.names_another(stored),
        (None, _) | (_, None) => settings.data_key.is_none() && has_secrets(incoming.spec),
    })
}

/// The few fields of `spec` that decide about keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    key_provider: Option<String>,
    #[serde(default)]
    pub(crate) fresh_envelopes: bool,
    pub(crate) immutable: Option<bool>,
    pub(crate) data_key: Option<DataKey>,
}

impl Settings {
    pub(crate) fn read(spec: &Value) -> Result<Self, Refusal> {
        // serde's message could quote a value: the schema tells the requester what is wrong.
        Self::deserialize(spec).map_err(|_| Refusal::Spec)
    }

    /// Whether the manifest asks for a new data key.
    fn raises(&self, stored: &DataKey) -> bool {
        let key = self.data_key.as_ref();
        key.is_some_and(|key| key.rekey > stored.rekey)
    }

    /// Whether the manifest names another provider than the stored object, or no longer one.
    fn names_another(&self, stored: &Self) -> bool {
        self.key_provider != stored.key_provider
    }
}

fn has_secrets(spec: &Value) -> bool {
    let mut maps = SecretMap::ALL.into_iter();
    maps.any(|map| {
        let map = spec.get(map.field()).and_then(Value::as_object);
        map.is_some_and(|map| !map.is_empty())
    })
}

/// The data key that this manifest needs over that stored object.
///
/// # Errors
/// The data key that it brings is another one, or its counter jumps.
pub(crate) fn key_need(
    stored: Option<&Settings>,
    incoming: &Settings,
    entries: &[Entry<'_>],
    wish: &Wish<'_>,
) -> Result<KeyNeed, Refusal> {
    let untouched = entries
        .iter()
        .all(|entry| matches!(entry.sealable, Sealable::Stored));
    if let Some((stored, key)) = stored.and_then(|it| Some((it, it.data_key.as_ref()?))) {
        return match (reseal(stored, key, incoming, wish)?, &incoming.data_key) {
            (Some(reseal), _) => Ok(reseal),
            (None, Some(incoming)) if incoming.id != key.id => Err(Refusal::ForeignDataKey),
            (None, Some(incoming)) if wrapped(incoming) != wrapped(key) => Ok(KeyNeed::Compare {
                // Another provider would need other envelopes: that is a reseal.
                adopt: wish.by_operator && incoming.provider == key.provider,
                incoming: incoming.clone(),
                stored: key.clone(),
            }),
            (None, _) if untouched => Ok(KeyNeed::Nothing),
            (None, _) => Ok(KeyNeed::Unwrap(key.clone())),
        };
    }
    match &incoming.data_key {
        Some(incoming) => Ok(KeyNeed::Unwrap(incoming.clone())),
        None if entries.is_empty() => Ok(KeyNeed::Nothing),
        None => Ok(KeyNeed::New {
            provider: wish.provider.to_owned(),
        }),
    }
}

/// The parts of a wrapped key that say what it opens to. The others are ours, and the stored ones
/// stay.
fn wrapped(key: &DataKey) -> [&str; 4] {
    [&key.provider, &key.key_id, &key.id, &key.wrapped]
}

/// What a new data key needs, if there is to be one: its counter was raised, or this request names
/// another provider. A provider that changed otherwise (its own `migrateTo`, the namespace's
/// annotation) waits for the controller, which raises the counter: a request about something else
/// does not fail because of a provider that nobody in it named.
fn reseal(
    stored: &Settings,
    key: &DataKey,
    incoming: &Settings,
    wish: &Wish<'_>,
) -> Result<Option<KeyNeed>, Refusal> {
    let raised = incoming.raises(key);
    let moved = incoming.names_another(stored) && wish.provider != key.provider;
    if !raised && !moved {
        return Ok(None);
    }
    let brought = incoming.data_key.as_ref();
    let rekey = brought.map_or(0, |it| it.rekey);
    if rekey.saturating_sub(key.rekey) > MAX_REKEY_STEP {
        return Err(Refusal::RekeyTooFar);
    }
    Ok(Some(KeyNeed::Reseal {
        brought: brought.filter(|it| it.id != key.id).cloned(),
        provider: wish.provider.to_owned(),
        rekey: rekey.max(key.rekey.saturating_add(1)),
        stored: key.clone(),
    }))
}

/// How far the counter of data keys can be raised at once. It cannot be lowered, and nothing can be
/// resealed by it once it is at its end.
pub(crate) const MAX_REKEY_STEP: u32 = 1_000_000;
