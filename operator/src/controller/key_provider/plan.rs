//! What becomes of a key provider: decided from what was found, and nothing else.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use secretvault_crds::{
    KeyProviderStatus,
    api::{CONDITION_KEY_CURRENT, CONDITION_READY, CONDITION_RETIRED},
};

use super::super::condition::{Says, condition_of};
use super::super::rotation::Progress;
use super::keys::{self, Keys};
use super::lifetime::Retirement;
use super::{key_current, retired};
use crate::{
    keys::{KeyFault, ProviderFault, Source},
    metrics::KeyProviderState,
};

/// What was found of one key provider.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// `metadata.generation`.
    pub(super) generation: Option<i64>,
    /// The namespace of the operator, where keyring Secrets are.
    pub(super) namespace: String,
    /// Where the keys should be.
    pub(super) source: Option<Source>,
    /// What is there.
    pub(super) keys: Result<Keys, ProviderFault>,
    /// How many vaults are sealed with it.
    pub(super) vaults: usize,
    /// How far they are, if that can be said.
    pub(super) progress: Option<Progress>,
    /// The provider that stands for it, or why there is none.
    pub(super) effective: Result<String, String>,
    /// Why it got no new key, though one is due.
    pub(super) unrotated: Option<Unrotated>,
    /// What became of the keys that are to be retired; none: there are no such, or nobody knows.
    pub(super) retirement: Option<Retirement>,
    /// Whether there are any.
    pub(super) retires: bool,
    /// Why those that should go did not.
    pub(super) unretired: Option<String>,
    /// What the status says by now.
    pub(super) before: Option<KeyProviderStatus>,
    /// The provider's own name.
    pub(super) name: String,
}

/// Why a keyring got no new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unrotated {
    /// It has no room.
    Full(String),
    /// It lacks this key, which a vault needs: it is an old one.
    Missing(String),
    /// It could not be written.
    Unwritten(String),
}

/// What to do about a keyring that cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// Makes one: nothing is sealed with the one that is missing.
    Create,
    /// Says what is wrong. A person must mend it.
    Report,
    /// Keeps quiet: nobody knows what is wrong while the API server does not answer.
    Wait,
}

/// Decides about keys that cannot be had. `absent`: the whole Secret is, as read just now; `sealed`:
/// how many vaults need it, as listed just now.
///
/// A keyring that is made where another was loses everything sealed with that. So nothing is made
/// in place of a Secret that is there, whatever it holds.
pub(super) fn remedy(source: &Source, fault: KeyFault, absent: bool, sealed: usize) -> Remedy {
    let secret = matches!(source, Source::Secret { .. });
    match fault {
        KeyFault::KeyringMissing if secret && absent && sealed == 0 => Remedy::Create,
        KeyFault::Unreachable if !matches!(source, Source::Transit { .. }) => Remedy::Wait,
        KeyFault::BadCertificate
        | KeyFault::CredentialMissing
        | KeyFault::FileUnreadable
        | KeyFault::KeyDeleted
        | KeyFault::KeyMissing
        | KeyFault::KeyringInvalid
        | KeyFault::KeyringMissing
        | KeyFault::LoginFailed
        | KeyFault::PermissionDenied
        | KeyFault::Sealed
        | KeyFault::ServerError
        | KeyFault::TokenRejected
        | KeyFault::Unreachable
        | KeyFault::Unsupported
        | KeyFault::VersionTooOld
        | KeyFault::WrongMount => Remedy::Report,
    }
}

/// The status that a key provider should have. What is known of keys that are missing now is kept:
/// it says which ones to look for.
pub(super) fn status(observed: &Observed, now: Timestamp) -> KeyProviderStatus {
    let before = observed.before.as_ref();
    let keys = observed.keys.as_ref().ok();
    let scope = keys.map(|keys| keys.scope.clone());
    let primary = keys.map(|keys| keys.primary_key_id.clone());
    let counted = keys.zip(observed.progress.as_ref());
    let counted = counted.map(|(keys, progress)| keys::told(keys, progress));
    let (keys, rewrap) = match counted {
        Some((keys, rewrap)) => (keys, Some(rewrap)),
        None => before.map_or_else(Default::default, |before| {
            (before.keys.clone(), before.rewrap.clone())
        }),
    };
    let source = observed.source.as_ref();
    let source = source.map(|source| said(source, &observed.namespace));
    // Of keys in another place, nothing is known.
    let same = before.filter(|before| before.keyring_source == source);
    KeyProviderStatus {
        observed_generation: observed.generation,
        conditions: conditions(observed, now),
        primary_key_id: primary.or_else(|| same?.primary_key_id.clone()),
        scope: scope.or_else(|| before?.scope.clone()),
        keyring_source: source,
        vaults: i32::try_from(observed.vaults).ok(),
        keys,
        rewrap,
    }
}

/// What is not known is said as before.
fn conditions(observed: &Observed, now: Timestamp) -> Vec<Condition> {
    let generation = observed.generation;
    let before = observed.before.as_ref();
    let before = before.map_or(&[][..], |before| &before.conditions);
    let condition = |kind: &str, says: Says| says.condition(kind, generation, before, now);
    let kept = |kind: &str| condition_of(before, kind).cloned();
    let ready = condition(CONDITION_READY, ready(observed));
    let key_current = match key_current::says(observed) {
        Some(says) => Some(condition(CONDITION_KEY_CURRENT, says)),
        None => kept(CONDITION_KEY_CURRENT),
    };
    let retired = match retired::says(observed) {
        Some(says) => Some(condition(CONDITION_RETIRED, says)),
        None => kept(CONDITION_RETIRED).filter(|_| observed.retires),
    };
    [ready]
        .into_iter()
        .chain(key_current)
        .chain(retired)
        .collect()
}

/// How the provider is, as a label.
pub(super) fn state(observed: &Observed) -> KeyProviderState {
    let transit = is_transit(observed);
    match observed.keys.as_ref().map_err(|fault| fault.reason) {
        Ok(_) if transit => KeyProviderState::TransitReady,
        Ok(_) => KeyProviderState::KeyringReady,
        Err(KeyFault::BadCertificate) => KeyProviderState::BadCertificate,
        Err(KeyFault::CredentialMissing) => KeyProviderState::CredentialMissing,
        Err(KeyFault::FileUnreadable) => KeyProviderState::FileUnreadable,
        Err(KeyFault::KeyDeleted) => KeyProviderState::KeyDeleted,
        Err(KeyFault::KeyMissing) => KeyProviderState::KeyMissing,
        Err(KeyFault::KeyringInvalid) => KeyProviderState::KeyringInvalid,
        Err(KeyFault::KeyringMissing) => KeyProviderState::KeyringMissing,
        Err(KeyFault::LoginFailed) => KeyProviderState::LoginFailed,
        Err(KeyFault::PermissionDenied) => KeyProviderState::PermissionDenied,
        Err(KeyFault::Sealed) => KeyProviderState::Sealed,
        Err(KeyFault::ServerError) => KeyProviderState::ServerError,
        Err(KeyFault::TokenRejected) => KeyProviderState::TokenRejected,
        Err(KeyFault::Unreachable) if transit => KeyProviderState::Unreachable,
        Err(KeyFault::Unreachable) => KeyProviderState::Unknown,
        Err(KeyFault::Unsupported) => KeyProviderState::Unsupported,
        Err(KeyFault::VersionTooOld) => KeyProviderState::VersionTooOld,
        Err(KeyFault::WrongMount) => KeyProviderState::WrongMount,
    }
}

fn ready(observed: &Observed) -> Says {
    match &observed.keys {
        Ok(keys) => Says {
            holds: true,
            reason: if is_transit(observed) {
                TRANSIT_READY
            } else {
                READY
            },
            message: format!("key {} wraps new data keys", keys.primary_key_id),
        },
        Err(fault) => Says {
            holds: false,
            reason: fault.reason.as_str(),
            message: trouble(observed, fault),
        },
    }
}

fn is_transit(observed: &Observed) -> bool {
    matches!(observed.source, Some(Source::Transit { .. }))
}

fn trouble(observed: &Observed, fault: &ProviderFault) -> String {
    let scope = observed.before.as_ref();
    let scope = scope.and_then(|before| before.scope.as_deref());
    let keys = match scope {
        _ if is_transit(observed) => "its key".to_owned(),
        Some(id) => format!("the keyring with id {id}"),
        None => "the keyring".to_owned(),
    };
    match observed.vaults {
        0 => fault.message.clone(),
        1 => format!("1 vault is sealed with {keys}: {}", fault.message),
        many => format!("{many} vaults are sealed with {keys}: {}", fault.message),
    }
}

/// Where the keyring is, and what a stolen backup of etcd yields there.
fn said(source: &Source, namespace: &str) -> String {
    match source {
        Source::File(path) => format!(
            "file {} in the operator's container: a stolen backup of etcd yields nothing",
            path.display()
        ),
        Source::Secret { name, key } => format!(
            "key {key} of Secret {namespace}/{name}: a stolen backup of etcd yields the keyring \
             itself, unless the API server encrypts Secrets at rest"
        ),
        Source::Transit { .. } => format!("{source}: a stolen backup of etcd yields nothing"),
    }
}

pub(super) const READY: &str = "KeyringReady";
pub(super) const TRANSIT_READY: &str = "TransitReady";

#[cfg(test)]
impl Observed {
    /// A provider of which nothing is known.
    pub(super) fn test() -> Self {
        Self {
            generation: None,
            namespace: "secretvault".into(),
            source: None,
            keys: Err(ProviderFault::new(KeyFault::Unsupported, "none")),
            vaults: 0,
            progress: None,
            effective: Ok("default".into()),
            unrotated: None,
            retirement: None,
            retires: false,
            unretired: None,
            before: None,
            name: "default".into(),
        }
    }
}

#[cfg(test)]
mod tests;
