//! What becomes of a key provider: decided from what was found, and nothing else.

use jiff::Timestamp;
use secretvault_crds::KeyProviderStatus;

use super::super::condition::{Ready, ready_of};
use crate::{
    events::News,
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
    /// Where the keyring should be.
    pub(super) source: Option<Source>,
    /// What is there.
    pub(super) keyring: Result<Keys, ProviderFault>,
    /// How many vaults are sealed with it.
    pub(super) vaults: usize,
    /// What the status says by now.
    pub(super) before: Option<KeyProviderStatus>,
}

/// What a keyring tells of itself. No key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Keys {
    pub(super) scope: String,
    pub(super) primary_key_id: String,
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

/// Decides about a keyring that cannot be had. `absent`: the whole Secret is, as read just now;
/// `sealed`: how many vaults need it, as listed just now.
///
/// A keyring that is made where another was loses everything sealed with that. So nothing is made
/// in place of a Secret that is there, whatever it holds.
pub(super) fn remedy(fault: KeyFault, absent: bool, sealed: usize) -> Remedy {
    match fault {
        KeyFault::KeyringMissing if absent && sealed == 0 => Remedy::Create,
        KeyFault::Unreachable => Remedy::Wait,
        KeyFault::FileUnreadable
        | KeyFault::KeyringInvalid
        | KeyFault::KeyringMissing
        | KeyFault::Unsupported => Remedy::Report,
    }
}

/// The status that a key provider should have. What is known of a keyring that is missing now is
/// kept: it says which one to look for.
pub(super) fn status(observed: &Observed, now: Timestamp) -> KeyProviderStatus {
    let before = observed.before.as_ref();
    let known = before.and_then(|before| ready_of(&before.conditions));
    let keys = observed.keyring.as_ref().ok();
    let scope = keys.map(|keys| keys.scope.clone());
    let primary = keys.map(|keys| keys.primary_key_id.clone());
    KeyProviderStatus {
        observed_generation: observed.generation,
        conditions: vec![ready(observed).condition(observed.generation, known, now)],
        primary_key_id: primary.or_else(|| before?.primary_key_id.clone()),
        scope: scope.or_else(|| before?.scope.clone()),
        keyring_source: observed
            .source
            .as_ref()
            .map(|source| said(source, &observed.namespace)),
        vaults: i32::try_from(observed.vaults).ok(),
    }
}

/// How the provider is, as a label.
pub(super) fn state(keyring: &Result<Keys, ProviderFault>) -> KeyProviderState {
    match keyring.as_ref().map_err(|fault| fault.reason) {
        Ok(_) => KeyProviderState::KeyringReady,
        Err(KeyFault::FileUnreadable) => KeyProviderState::FileUnreadable,
        Err(KeyFault::KeyringInvalid) => KeyProviderState::KeyringInvalid,
        Err(KeyFault::KeyringMissing) => KeyProviderState::KeyringMissing,
        Err(KeyFault::Unreachable) => KeyProviderState::Unknown,
        Err(KeyFault::Unsupported) => KeyProviderState::Unsupported,
    }
}

/// What is worth an Event: whether the provider is ready, or why not, changed.
pub(super) fn news(before: Option<&KeyProviderStatus>, after: &KeyProviderStatus) -> Option<News> {
    let says = ready_of(&after.conditions)?;
    let said = before.and_then(|before| ready_of(&before.conditions));
    if said.is_some_and(|said| (&said.status, &said.reason) == (&says.status, &says.reason)) {
        return None;
    }
    let mut reasons = FAULTS.into_iter().map(KeyFault::as_str).chain([READY]);
    let reason = reasons.find(|reason| *reason == says.reason)?;
    Some(News {
        warning: says.status != "True",
        reason,
        note: says.message.clone(),
    })
}

fn ready(observed: &Observed) -> Ready {
    let (ready, reason, message) = match &observed.keyring {
        Ok(keys) => (
            true,
            READY,
            format!("key {} wraps new data keys", keys.primary_key_id),
        ),
        Err(fault) => (false, fault.reason.as_str(), trouble(observed, fault)),
    };
    Ready {
        ready,
        reason,
        message,
    }
}

fn trouble(observed: &Observed, fault: &ProviderFault) -> String {
    let scope = observed
        .before
        .as_ref()
        .and_then(|before| before.scope.as_deref());
    let keyring = scope.map_or("the keyring".to_owned(), |id| {
        format!("the keyring with id {id}")
    });
    match observed.vaults {
        0 => fault.message.clone(),
        1 => format!("1 vault is sealed with {keyring}: {}", fault.message),
        many => format!("{many} vaults are sealed with {keyring}: {}", fault.message),
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
    }
}

const READY: &str = "KeyringReady";
const FAULTS: [KeyFault; 5] = [
    KeyFault::FileUnreadable,
    KeyFault::KeyringInvalid,
    KeyFault::KeyringMissing,
    KeyFault::Unreachable,
    KeyFault::Unsupported,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn secret() -> Source {
        Source::Secret {
            name: "secretvault-keyring".into(),
            key: "keyring".into(),
        }
    }

    fn keys() -> Keys {
        Keys {
            scope: "ring".into(),
            primary_key_id: "k1".into(),
        }
    }

    fn fault(reason: KeyFault) -> ProviderFault {
        ProviderFault::new(reason, "there is no Secret: restore it from backup")
    }

    fn observed(keyring: Result<Keys, ProviderFault>) -> Observed {
        Observed {
            generation: Some(3),
            namespace: "secretvault".into(),
            source: Some(secret()),
            keyring,
            vaults: 0,
            before: None,
        }
    }

    #[test]
    fn a_keyring_is_made_only_where_none_was_and_nothing_needs_it() {
        use KeyFault::{FileUnreadable, KeyringInvalid, KeyringMissing, Unreachable, Unsupported};
        let cases = [
            (KeyringMissing, true, 0, Remedy::Create),
            (KeyringMissing, true, 1, Remedy::Report),
            (KeyringMissing, false, 0, Remedy::Report),
            (KeyringInvalid, false, 0, Remedy::Report),
            (KeyringInvalid, true, 0, Remedy::Report),
            (FileUnreadable, true, 0, Remedy::Report),
            (Unsupported, true, 0, Remedy::Report),
            (Unreachable, true, 0, Remedy::Wait),
        ];
        for (fault, absent, sealed, expected) in cases {
            assert_eq!(
                remedy(fault, absent, sealed),
                expected,
                "{fault:?} {absent} {sealed}"
            );
        }
    }

    #[test]
    fn a_ready_provider_names_its_key_and_what_a_stolen_backup_yields() {
        let status = status(&observed(Ok(keys())), at(1));
        insta::assert_snapshot!(serde_json::to_string_pretty(&status).unwrap(), @r#"
        {
          "observedGeneration": 3,
          "conditions": [
            {
              "lastTransitionTime": "1970-01-01T00:00:01Z",
              "message": "key k1 wraps new data keys",
              "observedGeneration": 3,
              "reason": "KeyringReady",
              "status": "True",
              "type": "Ready"
            }
          ],
          "primaryKeyId": "k1",
          "scope": "ring",
          "keyringSource": "key keyring of Secret secretvault/secretvault-keyring: a stolen backup of etcd yields the keyring itself, unless the API server encrypts Secrets at rest",
          "vaults": 0
        }
        "#);
    }

    #[test]
    fn of_a_file_a_stolen_backup_yields_nothing() {
        let mut observed = observed(Ok(keys()));
        observed.source = Some(Source::File("/etc/secretvault/keyring".into()));
        let source = status(&observed, at(1)).keyring_source.unwrap();
        assert!(source.ends_with("yields nothing"), "{source}");
    }

    #[test]
    fn a_missing_keyring_says_how_many_vaults_need_which_one_and_what_to_do() {
        let mut lost = observed(Err(fault(KeyFault::KeyringMissing)));
        lost.vaults = 3;
        lost.before = Some(status(&observed(Ok(keys())), at(1)));
        let status = status(&lost, at(2));
        assert_eq!(
            status.scope.as_deref(),
            Some("ring"),
            "kept, to know what to look for"
        );
        let ready = &status.conditions[0];
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            ("False", "KeyringMissing")
        );
        assert_eq!(
            ready.message,
            "3 vaults are sealed with the keyring with id ring: there is no Secret: restore it \
             from backup"
        );
    }

    #[test]
    fn an_equal_state_is_an_equal_status_however_late() {
        let mut observed = observed(Ok(keys()));
        observed.before = Some(status(&observed, at(1)));
        assert_eq!(observed.before, Some(status(&observed, at(1000))));
    }

    #[test]
    fn only_a_change_of_readiness_is_told() {
        let good = status(&observed(Ok(keys())), at(1));
        let bad = status(&observed(Err(fault(KeyFault::KeyringMissing))), at(1));
        let more = KeyProviderStatus {
            vaults: Some(9),
            ..good.clone()
        };
        assert!(!news(None, &good).unwrap().warning);
        assert_eq!(news(Some(&good), &more), None);
        assert_eq!(news(Some(&good), &bad).unwrap().reason, "KeyringMissing");
        assert!(news(Some(&good), &bad).unwrap().warning);
        assert_eq!(news(Some(&bad), &good).unwrap().reason, "KeyringReady");
    }
}
