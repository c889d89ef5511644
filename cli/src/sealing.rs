//! What becomes of a manifest: the cluster's own decision, with this machine's keyring.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secretvault_crds::SecretVaultStatus;
use secretvault_seal::{NoKey, Refusal, examine};
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
    let changes = {
        let stored = stored.map(|stored| stored.manifest(&stored_annotations));
        let examined = examine(stored, incoming.manifest(&annotations))?;
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
