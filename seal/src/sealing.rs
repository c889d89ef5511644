use std::collections::BTreeMap;

use secretvault_crds::DataKey;
use secretvault_crds::limits::MAX_SEALED_TOTAL;
use secretvault_envelope::{Dek, Envelope, Plaintext, SealError, VaultBinding};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::Refusal;
use crate::annotations::{LAST_APPLIED, scrubbed_last_applied};
use crate::entries::{Entry, Sealable, SecretMap};
use crate::examine::Examined;
use crate::size::check_object;

/// A data key that the caller unwrapped or made.
pub struct OpenedKey {
    /// The key itself.
    pub dek: Dek,
    /// Its wrapped form, as the stored object must carry it.
    pub data_key: DataKey,
    /// The key provider's scope: part of each binding.
    pub scope: String,
}

/// One change to the manifest: JSON Patch's `add` (RFC 6902 section 4.1), which also replaces.
/// Holds envelopes and metadata, never a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// JSON Pointer (RFC 6901) from the object's root.
    pub pointer: String,
    /// What stands there afterwards.
    pub value: Value,
}

impl Examined<'_> {
    /// Seals the manifest. `key` is what [`Examined::need`] asked for.
    ///
    /// # Errors
    /// A foreign envelope, a value that is too large, or no randomness: nothing is half-done then,
    /// because a manifest with an error is refused as a whole.
    pub fn seal(&self, key: Option<&OpenedKey>) -> Result<Vec<Change>, Refusal> {
        let last_applied = scrubbed_last_applied(self.incoming.annotations)?;
        let mut changes = self.metadata_changes(key, last_applied.as_deref())?;
        let mut total = 0;
        for entry in &self.entries {
            let envelope = self.sealed(entry, key)?;
            total += envelope.as_ref().map_or(entry.text.len(), String::len);
            if total > MAX_SEALED_TOTAL {
                return Err(Refusal::VaultTooLarge {
                    entry: entry.name.to_owned(),
                });
            }
            changes.extend(envelope.map(|envelope| Change::entry(entry, envelope)));
        }
        let last_applied = last_applied.as_deref();
        check_object(self.incoming, &self.entries, total, last_applied)?;
        Ok(changes)
    }

    fn metadata_changes(
        &self,
        key: Option<&OpenedKey>,
        last_applied: Option<&str>,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        let data_key = self
            .stored_data_key
            .as_ref()
            .or(key.map(|key| &key.data_key));
        if let Some(data_key) = data_key.filter(|key| self.incoming_data_key.as_ref() != Some(*key))
        {
            changes.push(Change::new(&["spec", "dataKey"], to_json(data_key)?));
        }
        let given = self.incoming.annotations.get(LAST_APPLIED);
        if let Some(text) = last_applied.filter(|text| given.is_none_or(|given| given != text)) {
            changes.push(Change::new(
                &["metadata", "annotations", LAST_APPLIED],
                text.into(),
            ));
        }
        Ok(changes)
    }

    /// The text that takes the entry's place, or `None` where it stays as it is.
    fn sealed(
        &self,
        entry: &Entry<'_>,
        key: Option<&OpenedKey>,
    ) -> Result<Option<String>, Refusal> {
        let foreign = || Refusal::ForeignEnvelope {
            map: entry.map.field(),
            entry: entry.name.to_owned(),
        };
        match (&entry.sealable, key) {
            (Sealable::Stored, _) => Ok(None),
            (Sealable::Envelope(_) | Sealable::Plain(_), None) => Err(foreign()),
            (Sealable::Envelope(envelope), Some(key)) => {
                let binding = self.vault(key).entry(entry.name);
                envelope
                    .open_with_dek(&key.dek, &binding)
                    .map_err(|_| foreign())?;
                Ok(None)
            }
            (Sealable::Plain(plaintext), Some(key)) => {
                self.envelope(entry, plaintext, key).map(Some)
            }
        }
    }

    fn envelope(
        &self,
        entry: &Entry<'_>,
        plaintext: &Plaintext,
        key: &OpenedKey,
    ) -> Result<String, Refusal> {
        let binding = self.vault(key).entry(entry.name);
        let unchanged = |stored: &&Envelope| {
            stored
                .open_with_dek(&key.dek, &binding)
                .is_ok_and(|value| bool::from(value.ct_eq(plaintext)))
        };
        if let Some(stored) = entry
            .stored
            .as_ref()
            .filter(|_| !self.fresh_envelopes)
            .filter(unchanged)
        {
            return Ok(stored.to_string());
        }
        match Envelope::seal(&key.dek, &binding, plaintext) {
            Ok(envelope) => Ok(envelope.to_string()),
            Err(SealError::TooLarge { .. }) => Err(Refusal::EntryTooLarge {
                entry: entry.name.to_owned(),
            }),
            Err(SealError::Random(_)) => Err(Refusal::Randomness),
        }
    }

    fn vault<'k>(&'k self, key: &'k OpenedKey) -> VaultBinding<'k> {
        VaultBinding {
            scope: &key.scope,
            namespace: self.incoming.namespace,
            vault: self.incoming.name,
        }
    }
}

impl Change {
    /// Makes the change in an object's own parts, and returns what stood there before.
    pub fn make(
        &self,
        spec: &mut Value,
        annotations: &mut BTreeMap<String, String>,
    ) -> Option<Value> {
        let (parent, member) = self.pointer.rsplit_once('/')?;
        let member = unescape(member);
        if parent == "/metadata/annotations" {
            let text = self.value.as_str().unwrap_or_default().to_owned();
            return annotations.insert(member, text).map(Value::from);
        }
        let parent = spec.pointer_mut(parent.strip_prefix("/spec")?)?;
        parent.as_object_mut()?.insert(member, self.value.clone())
    }

    fn new(path: &[&str], value: Value) -> Self {
        let pointer = path
            .iter()
            .map(|segment| format!("/{}", escape(segment)))
            .collect();
        Self { pointer, value }
    }

    fn entry(entry: &Entry<'_>, envelope: String) -> Self {
        Self::new(
            &["spec", SecretMap::field(entry.map), entry.name],
            envelope.into(),
        )
    }
}

/// Escapes a JSON Pointer segment (RFC 6901 section 3).
fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn to_json(data_key: &DataKey) -> Result<Value, Refusal> {
    serde_json::to_value(data_key).map_err(|_| Refusal::Spec)
}
