//! What becomes of a manifest: the cluster's own decision, with this machine's keyring.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secretvault_crds::{SecretVaultStatus, api::DEFAULT_KEY_PROVIDER};
use secretvault_seal::{NoKey, Refusal, Wish, examine};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    keys::{KeyError, Keys},
    object::Object,
    schema,
};

/// What an apply came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no such vault.
    Created,
    /// The vault is another now.
    Configured,
    /// Nothing changed.
    Unchanged,
}

impl Outcome {
    /// As kubectl says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Created => "created",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a manifest is not taken. Names the field and the remedy, and holds no value.
#[derive(Debug, Error)]
pub enum SealingError {
    /// The vault cannot change any more.
    #[error(
        "it is immutable: entries, files, fileDefaults and immutable itself cannot change; create another vault"
    )]
    Immutable,
    /// No key.
    #[error("no usable key")]
    Key(#[source] KeyError),
    /// A field does not fit the schema.
    #[error("{field}: {problem}")]
    Misfit {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The manifest cannot be sealed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl SealingError {
    /// The field that it is about, as far as it names one.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Immutable => Some("spec.immutable".to_owned()),
            Self::Key(_) => None,
            Self::Misfit { field, .. } => Some(field.clone()),
            Self::Refused(refusal) => refusal.field(),
        }
    }
}

/// Seals a manifest over what is stored under its name.
///
/// # Guarantees
/// The object that comes back holds no plain value.
///
/// # Errors
/// The manifest is refused; then nothing of it may be stored.
pub fn seal(
    stored: Option<&Object>,
    mut incoming: Object,
    keys: &Keys,
    now: Timestamp,
) -> Result<(Object, Outcome), SealingError> {
    incoming.forget_server();
    if let Some(misfit) = schema::misfit(&incoming.spec) {
        let schema::Misfit { field, problem } = misfit;
        return Err(SealingError::Misfit { field, problem });
    }
    // Noted after sealing: a value may look like a part of a date.
    let created = stored
        .map_or(incoming.created(), Object::created)
        .unwrap_or(now);
    incoming.forget_created();
    let mut annotations = incoming.annotations();
    let stored_annotations = stored.map(Object::annotations).unwrap_or_default();
    let provider = provider(stored, &incoming);
    let changes = {
        let wish = Wish {
            provider: &provider,
            by_operator: false,
            now,
        };
        let stored = stored.map(|stored| stored.manifest(&stored_annotations));
        let examined = examine(stored, incoming.manifest(&annotations), &wish)?;
        let key = crate::wait::ready(examined.key(keys)).map_err(|error| match error {
            NoKey::Provider(error) => SealingError::Key(error),
            NoKey::Refused(refusal) => refusal.into(),
        })?;
        examined.seal(key.as_ref())?
    };
    for change in changes {
        change.make(&mut incoming.spec, &mut annotations);
    }
    incoming.metadata.annotations = Some(annotations);
    incoming.note_created(created);
    finish(stored, incoming, now)
}

/// Seals every value of a stored vault anew, under a new data key.
///
/// # Errors
/// It has none, or something of it does not open: then nothing of it may be stored.
pub fn reseal(stored: &Object, keys: &Keys, now: Timestamp) -> Result<Object, SealingError> {
    let mut incoming = stored.clone();
    let rekey = incoming.spec.pointer_mut("/dataKey/rekey");
    let rekey = rekey.ok_or(Refusal::Spec)?;
    *rekey = json!(rekey.as_u64().unwrap_or_default() + 1);
    let (sealed, _) = seal(Some(stored), incoming, keys, now)?;
    Ok(sealed)
}

/// The name of the key provider. On one machine it is only a name: it stays for whichever cluster
/// knows it, until the vault names another.
fn provider(stored: Option<&Object>, incoming: &Object) -> String {
    let named = |object: &Object| object.spec.get("keyProvider").cloned();
    let kept = stored.filter(|stored| named(stored) == named(incoming));
    let kept = kept.and_then(|stored| stored.spec.pointer("/dataKey/provider").cloned());
    let provider = kept.or_else(|| named(incoming));
    let provider = provider.as_ref().and_then(Value::as_str);
    provider.unwrap_or(DEFAULT_KEY_PROVIDER).to_owned()
}

/// Writes the status, and says what came of it.
fn finish(
    stored: Option<&Object>,
    mut sealed: Object,
    now: Timestamp,
) -> Result<(Object, Outcome), SealingError> {
    let spec = sealed.typed().map_err(|_| Refusal::Spec)?;
    let Some(stored) = stored else {
        sealed.status = Some(status(&spec, None, now));
        return Ok((sealed, Outcome::Created));
    };
    let before = stored.typed().map_err(|_| Refusal::Spec)?;
    if !spec.keeps_immutable(&before) {
        return Err(SealingError::Immutable);
    }
    let same = stored.spec == sealed.spec && written(stored) == written(&sealed);
    sealed.status = Some(status(&spec, stored.status.as_ref(), now));
    let outcome = if same {
        Outcome::Unchanged
    } else {
        Outcome::Configured
    };
    Ok((sealed, outcome))
}

fn written(object: &Object) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let labels = object.metadata.labels.clone().unwrap_or_default();
    (labels, object.annotations())
}

/// An object that stands in the place of `before`, with its status.
///
/// # Errors
/// Its specification is damaged.
pub fn with_status(
    mut object: Object,
    before: &Object,
    now: Timestamp,
) -> Result<Object, SealingError> {
    let spec = object.typed().map_err(|_| Refusal::Spec)?;
    object.status = Some(status(&spec, before.status.as_ref(), now));
    Ok(object)
}

/// What `kubectl get` would show of the entries.
fn status(
    spec: &secretvault_crds::SecretVaultSpec,
    before: Option<&SecretVaultStatus>,
    now: Timestamp,
) -> SecretVaultStatus {
    let entries = spec.entry_statuses(before, now);
    SecretVaultStatus {
        entry_count: i32::try_from(entries.len()).ok(),
        entries,
        key_id: spec.data_key.as_ref().map(|key| key.key_id.clone()),
        ..SecretVaultStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use secretvault_keyring::Keyring;
    use secretvault_vault::VaultRef;

    use super::*;
    use crate::opened::OpenVault;

    fn keys() -> Keys {
        Keys::new(Keyring::generate(Timestamp::UNIX_EPOCH).unwrap())
    }

    fn vault(spec: Value) -> Object {
        let mut object = Object::new(&VaultRef::new("shop", "app"));
        object.spec = spec;
        object
    }

    fn stored(spec: Value, keys: &Keys) -> Object {
        seal(None, vault(spec), keys, Timestamp::UNIX_EPOCH)
            .unwrap()
            .0
    }

    fn value(object: &Object, keys: &Keys) -> Vec<u8> {
        let open = OpenVault::open(object, keys).unwrap();
        open.value("a").unwrap().unwrap().expose().to_vec()
    }

    #[test]
    fn what_is_sealed_anew_is_the_same_under_a_new_data_key() {
        let (keys, now) = (keys(), Timestamp::constant(1_700_000_000, 0));
        for immutable in [false, true] {
            let before = stored(json!({"data": {"a": "1"}, "immutable": immutable}), &keys);
            let after = reseal(&before, &keys, now).unwrap();
            assert_eq!(value(&after, &keys), b"1");
            assert_eq!(after.metadata, before.metadata);
            let [old, new] = [&before, &after].map(|it| it.typed().unwrap());
            assert_eq!(new.content_revision(), old.content_revision());
            let [old, new] = [old, new].map(|it| it.data_key.unwrap());
            assert_ne!(new.id, old.id);
            assert_eq!((new.rekey, new.provider), (1, old.provider));
            assert_eq!(new.created, Some(secretvault_crds::whole_second(now)));
            assert!(new.resealed.is_some());
        }
    }

    #[test]
    fn a_vault_that_does_not_open_as_a_whole_is_not_sealed_anew() {
        let (keys, now) = (keys(), Timestamp::UNIX_EPOCH);
        let mut damaged = stored(json!({"data": {"a": "1", "b": "2"}}), &keys);
        damaged.spec["data"]["b"] = damaged.spec["data"]["a"].clone();
        let refused = reseal(&damaged, &keys, now).err().unwrap();
        assert_eq!(refused.field().as_deref(), Some("spec.data[b]"));
        let without = reseal(&vault(json!({})), &keys, now).err().unwrap();
        assert!(matches!(without, SealingError::Refused(Refusal::Spec)));
    }

    #[test]
    fn the_name_of_the_provider_stays_until_the_vault_names_another() {
        let keys = keys();
        let mut before = stored(json!({"data": {"a": "1"}}), &keys);
        before.spec["dataKey"]["provider"] = json!("of-the-cluster");
        let provider = |object: &Object| object.spec["dataKey"]["provider"].clone();
        let after = reseal(&before, &keys, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(provider(&after), "of-the-cluster");
        let mut moved = after.clone();
        moved.spec["keyProvider"] = json!("other");
        let (moved, _) = seal(Some(&after), moved, &keys, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(provider(&moved), "other");
        assert_eq!(value(&moved, &keys), b"1");
    }
}
