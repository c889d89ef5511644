use std::collections::BTreeMap;

use secretvault_crds::DataKey;
use secretvault_crds::limits::MAX_SEALED_TOTAL;
use secretvault_envelope::{Dek, Envelope, Plaintext, SealError, VaultBinding};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use crate::annotations::{LAST_APPLIED, scrubbed_last_applied};
use crate::editing::MAPS;
use crate::entries::{Entry, Sealable, SecretMap};
use crate::examine::Examined;
use crate::size::check_object;
use crate::{Manifest, Refusal};

/// A data key that the caller unwrapped or made.
pub struct OpenedKey {
    /// The key itself.
    pub(crate) dek: Dek,
    /// Its wrapped form, as the stored object must carry it.
    pub(crate) data_key: DataKey,
    /// The key provider's scope: part of each binding.
    pub(crate) scope: String,
    /// In a reseal, what opens the values that are there.
    pub(crate) former: Option<FormerKeys>,
}

/// What opens the values of a vault that gets a new data key.
pub(crate) struct FormerKeys {
    /// The stored data key.
    pub(crate) stored: Opener,
    /// The data key that the manifest brings.
    pub(crate) brought: Option<Opener>,
}

/// A data key that nothing is sealed with any more.
pub(crate) struct Opener {
    dek: Dek,
    scope: String,
}

impl Opener {
    pub(crate) fn open(
        &self,
        vault: Manifest<'_>,
        entry: &str,
        envelope: &Envelope,
    ) -> Option<Plaintext> {
        let binding = VaultBinding::new(&self.scope, vault.namespace, vault.name).entry(entry);
        envelope.open_with_dek(&self.dek, &binding).ok()
    }
}

impl From<OpenedKey> for Opener {
    fn from(key: OpenedKey) -> Self {
        let OpenedKey { dek, scope, .. } = key;
        Self { dek, scope }
    }
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

/// What takes an entry's place.
pub(crate) struct Sealed {
    /// The envelope.
    pub(crate) text: String,
    /// In a reseal: whether it holds the value that is stored.
    pub(crate) same: bool,
}

impl Examined<'_> {
    /// Seals the manifest. `key` is what [`Examined::need`] asked for.
    ///
    /// # Errors
    /// A foreign or damaged envelope, a value that is too large, or no randomness: nothing is
    /// half-done then, because a manifest with an error is refused as a whole.
    pub fn seal(&self, key: Option<&OpenedKey>) -> Result<Vec<Change>, Refusal> {
        let last_applied = scrubbed_last_applied(self.incoming.annotations)?;
        let mut sealed = Vec::with_capacity(self.entries.len());
        let mut total = 0;
        for entry in &self.entries {
            let envelope = self.sealed(entry, key)?;
            let text = envelope.as_ref().map(|it| it.text.as_str());
            total += text.unwrap_or(entry.text).len();
            if total > MAX_SEALED_TOTAL {
                return Err(Refusal::VaultTooLarge {
                    entry: entry.name.to_owned(),
                });
            }
            sealed.push(envelope);
        }
        let last_applied = last_applied.as_deref();
        check_object(self.incoming, &self.entries, total, last_applied)?;
        let mut changes = self.metadata_changes(self.data_key(key, &sealed), last_applied)?;
        changes.extend(self.emptied());
        let sealed = self.entries.iter().zip(sealed);
        changes.extend(sealed.filter_map(|(entry, it)| Some(Change::entry(entry, it?.text))));
        Ok(changes)
    }

    /// The wrapped data key that the object must carry.
    fn data_key(&self, key: Option<&OpenedKey>, sealed: &[Option<Sealed>]) -> Option<DataKey> {
        let Some(key) = key else {
            return self.stored_data_key.clone();
        };
        let mut data_key = key.data_key.clone();
        if key.former.is_some() {
            data_key.resealed = self.resealed(sealed);
        }
        Some(data_key)
    }

    fn metadata_changes(
        &self,
        data_key: Option<DataKey>,
        last_applied: Option<&str>,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        if let Some(data_key) = data_key.filter(|key| self.incoming_data_key.as_ref() != Some(key))
        {
            changes.push(Change::new(&["spec", "dataKey"], to_json(&data_key)?));
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

    /// Maps of nothing, as empty ones. Server-side apply makes null of a map whose last entry went, and a
    /// manifest does with no more than the map's name; the schema has no null.
    fn emptied(&self) -> impl Iterator<Item = Change> {
        let spec = self.incoming.spec;
        let none = MAPS
            .into_iter()
            .filter(|map| spec.get(*map) == Some(&Value::Null));
        none.map(|map| Change::new(&["spec", map], Value::Object(Map::new())))
    }

    /// What takes the entry's place, or `None` where it stays as it is.
    fn sealed(
        &self,
        entry: &Entry<'_>,
        key: Option<&OpenedKey>,
    ) -> Result<Option<Sealed>, Refusal> {
        if let Some((key, former)) = key.and_then(|key| Some((key, key.former.as_ref()?))) {
            return self.sealed_anew(entry, key, former).map(Some);
        }
        match (&entry.sealable, key) {
            (Sealable::Stored, _) => Ok(None),
            (Sealable::Envelope(_) | Sealable::Plain(_), None) => Err(entry.foreign()),
            (Sealable::Envelope(envelope), Some(key)) => {
                let binding = self.vault(key).entry(entry.name);
                let opened = envelope.open_with_dek(&key.dek, &binding);
                opened.map_err(|_| entry.foreign())?;
                Ok(None)
            }
            (Sealable::Plain(plaintext), Some(key)) => {
                self.kept_or_new(entry, plaintext, key).map(Some)
            }
        }
    }

    fn kept_or_new(
        &self,
        entry: &Entry<'_>,
        plaintext: &Plaintext,
        key: &OpenedKey,
    ) -> Result<Sealed, Refusal> {
        let binding = self.vault(key).entry(entry.name);
        let unchanged = |stored: &&Envelope| {
            stored
                .open_with_dek(&key.dek, &binding)
                .is_ok_and(|value| bool::from(value.ct_eq(plaintext)))
        };
        let stored = entry.stored.as_ref().filter(|_| !self.fresh_envelopes);
        let text = match stored.filter(unchanged) {
            Some(stored) => stored.to_string(),
            None => self.envelope(entry, plaintext, key)?,
        };
        Ok(Sealed { text, same: false })
    }

    pub(crate) fn envelope(
        &self,
        entry: &Entry<'_>,
        plaintext: &Plaintext,
        key: &OpenedKey,
    ) -> Result<String, Refusal> {
        let binding = self.vault(key).entry(entry.name);
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
