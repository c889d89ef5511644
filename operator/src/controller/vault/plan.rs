//! What the status of a vault is to say.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use secretvault_crds::{
    EntryKind, EntryStatus, SecretVault, SecretVaultStatus,
    api::{CONDITION_KEY_CURRENT, CONDITION_READY},
};

use super::{
    super::condition::{Says, condition_of},
    consumers::{self, Generations},
    inspect::Verdict,
    key_current::Stand,
};
use crate::{consumers::Usage, words::listed};

/// What was seen of a vault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) verdict: &'a Verdict,
    /// How it stands to the key that it should have, if that is known.
    pub(super) stand: Option<&'a Stand>,
    /// Who uses it, as far as that is settled.
    pub(super) usage: Option<&'a Usage>,
}

/// The status that a vault should have.
pub(super) fn status(vault: &SecretVault, seen: Seen<'_>, now: Timestamp) -> SecretVaultStatus {
    let before = vault.status.as_ref();
    let generation = vault.metadata.generation;
    let entries = vault.spec.entry_statuses(before, now);
    let (content_generation, content_revision) = vault.spec.content(before, generation);
    let mut status = SecretVaultStatus {
        observed_generation: generation,
        conditions: conditions(vault, seen, &entries, now),
        entry_count: i32::try_from(entries.len()).ok(),
        entries,
        key_id: vault
            .spec
            .data_key
            .as_ref()
            .map(|data_key| data_key.key_id.clone()),
        content_generation,
        content_revision: Some(content_revision),
        ..SecretVaultStatus::default()
    };
    let generations = Generations {
        current: generation.unwrap_or_default(),
        content: content_generation.unwrap_or_default(),
    };
    consumers::tell(&mut status, seen.usage, generations, before);
    status
}

/// What is not known is said as before.
fn conditions(
    vault: &SecretVault,
    seen: Seen<'_>,
    entries: &[EntryStatus],
    now: Timestamp,
) -> Vec<Condition> {
    let generation = vault.metadata.generation;
    let before = vault.status.as_ref();
    let before = before.map_or(&[][..], |before| &before.conditions);
    let ready = ready(seen.verdict, entries);
    let ready = ready.condition(CONDITION_READY, generation, before, now);
    let key_current = match seen.stand {
        Some(stand) => {
            let says = stand.says(vault);
            Some(says.condition(CONDITION_KEY_CURRENT, generation, before, now))
        }
        None => condition_of(before, CONDITION_KEY_CURRENT).cloned(),
    };
    [ready].into_iter().chain(key_current).collect()
}

fn ready(verdict: &Verdict, entries: &[EntryStatus]) -> Says {
    let secret = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Secret)
        .count();
    let public = entries.len() - secret;
    let (reason, message) = match verdict {
        Verdict::Damaged { entries } => (
            DAMAGED,
            format!(
                "these entries do not open: {}; apply their values again, or restore the vault from a backup",
                listed(entries.iter().map(String::as_str)),
            ),
        ),
        Verdict::Empty => ("Empty", "the vault has no entries".to_owned()),
        Verdict::KeyUnavailable { message } => (KEY_UNAVAILABLE, message.clone()),
        Verdict::Sealed => (
            SEALED,
            format!("{secret} sealed and {public} public entries"),
        ),
    };
    Says {
        holds: verdict.is_ready(),
        reason,
        message,
    }
}

pub(super) const DAMAGED: &str = "Damaged";
pub(super) const KEY_UNAVAILABLE: &str = "KeyUnavailable";
pub(super) const SEALED: &str = "Sealed";

#[cfg(test)]
mod tests {
    use secretvault_crds::{DataKey, Resealed, SecretVaultSpec};

    use super::*;
    use crate::controller::rotation::Action;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn vault(entries: &[(&str, &str)]) -> SecretVault {
        let data_key = DataKey {
            key_id: "k1".into(),
            ..DataKey::default()
        };
        let mut spec = SecretVaultSpec {
            data_key: Some(data_key),
            ..SecretVaultSpec::default()
        };
        for (name, text) in entries {
            spec.data.insert((*name).into(), (*text).into());
        }
        let mut vault = SecretVault::new("app", spec);
        vault.metadata.generation = Some(7);
        vault
    }

    fn damaged(names: &[&str]) -> Verdict {
        Verdict::Damaged {
            entries: names.iter().map(ToString::to_string).collect(),
        }
    }

    fn said(vault: &SecretVault, verdict: &Verdict, now: Timestamp) -> SecretVaultStatus {
        let seen = Seen {
            verdict,
            stand: None,
            usage: None,
        };
        status(vault, seen, now)
    }

    #[test]
    fn reasons_by_verdict() {
        let unavailable = Verdict::KeyUnavailable {
            message: "no key".into(),
        };
        let cases = [
            (damaged(&["a"]), "False", "Damaged"),
            (Verdict::Empty, "True", "Empty"),
            (unavailable, "False", "KeyUnavailable"),
            (Verdict::Sealed, "True", "Sealed"),
        ];
        for (verdict, expected, reason) in cases {
            let status = said(&vault(&[("a", "sv1:A")]), &verdict, at(1));
            let ready = &status.conditions[0];
            assert_eq!(
                (ready.status.as_str(), ready.reason.as_str()),
                (expected, reason)
            );
            assert_eq!(
                (ready.observed_generation, status.observed_generation),
                (Some(7), Some(7))
            );
        }
    }

    #[test]
    fn a_damaged_vault_names_its_entries() {
        let status = said(&vault(&[]), &damaged(&["db/password", "x"]), at(1));
        assert!(status.conditions[0].message.contains("db/password, x"));
    }

    #[test]
    fn an_equal_state_is_an_equal_status_however_late() {
        let mut vault = vault(&[("a", "sv1:A"), ("b", "sv1:B")]);
        vault.spec.public_data.insert("host".into(), "db".into());
        vault.status = Some(said(&vault, &Verdict::Sealed, at(1)));
        assert_eq!(vault.status, Some(said(&vault, &Verdict::Sealed, at(1000))));
    }

    #[test]
    fn whether_the_key_is_current_is_said_beside_ready_and_kept_while_it_is_not_known() {
        let mut vault = vault(&[("a", "sv1:A")]);
        let verdict = Verdict::Sealed;
        let mut look = |stand: Option<Stand>, second| {
            let seen = Seen {
                verdict: &verdict,
                stand: stand.as_ref(),
                usage: None,
            };
            let status = status(&vault, seen, at(second));
            let conditions = status.conditions.iter();
            let said = conditions.map(|it| format!("{}={}", it.type_, it.status));
            let said: Vec<String> = said.collect();
            vault.status = Some(status);
            said.join(" ")
        };
        let stand = |action| {
            Some(Stand {
                action,
                trouble: None,
            })
        };
        assert_eq!(look(None, 1), "Ready=True");
        let rewrap = look(stand(Action::Rewrap), 2);
        assert_eq!(rewrap, "Ready=True KeyCurrent=False");
        assert_eq!(look(None, 3), "Ready=True KeyCurrent=False");
        let current = look(stand(Action::Nothing), 4);
        assert_eq!(current, "Ready=True KeyCurrent=True");
        let conditions = vault.status.unwrap().conditions;
        assert_eq!(conditions[0].last_transition_time.0, at(1));
        assert_eq!(conditions[1].last_transition_time.0, at(4));
    }

    #[test]
    fn values_that_are_sealed_anew_are_no_other_contents() {
        let mut vault = vault(&[("a", "sv1:A")]);
        vault.status = Some(said(&vault, &Verdict::Sealed, at(1)));
        let from = vault.spec.content_revision();
        vault.metadata.generation = Some(8);
        vault.spec.data.insert("a".into(), "sv1:B".into());
        let to = vault.spec.stored_revision();
        vault.spec.data_key.as_mut().unwrap().resealed = Some(Resealed { from, to });
        let resealed = said(&vault, &Verdict::Sealed, at(2));
        assert_eq!(resealed.content_generation, Some(7));
        let before = vault.status.as_ref().unwrap();
        assert_eq!(resealed.content_revision, before.content_revision);
        let sealed_at = resealed.entries[0].sealed_at.clone().unwrap();
        assert_eq!(sealed_at.0, at(2), "the envelope is another one");
    }

    #[test]
    fn only_a_change_of_the_contents_makes_them_newer() {
        let mut vault = vault(&[("a", "sv1:A")]);
        vault.status = Some(said(&vault, &Verdict::Sealed, at(1)));
        vault.metadata.generation = Some(8);
        vault.spec.description = Some("words".into());
        let described = said(&vault, &Verdict::Sealed, at(2));
        assert_eq!(described.content_generation, Some(7));
        vault.status = Some(described);
        vault.metadata.generation = Some(9);
        vault.spec.data.insert("a".into(), "sv1:B".into());
        let changed = said(&vault, &Verdict::Sealed, at(3));
        assert_eq!(changed.content_generation, Some(9));
    }

    #[test]
    fn sealed_at_moves_only_with_the_envelope() {
        let mut vault = vault(&[("a", "sv1:A"), ("b", "sv1:B")]);
        vault.status = Some(said(&vault, &Verdict::Sealed, at(1)));
        vault.spec.data.insert("b".into(), "sv1:C".into());
        let sealed_at: Vec<_> = said(&vault, &Verdict::Sealed, at(9))
            .entries
            .iter()
            .map(|entry| entry.sealed_at.clone().unwrap().0)
            .collect();
        assert_eq!(sealed_at, [at(1), at(9)]);
    }

    #[test]
    fn an_entry_shows_names_and_no_trace_of_its_value() {
        let mut vault = vault(&[("a", "sv1:A")]);
        vault.spec.public_data.insert("host".into(), "db".into());
        let status = said(&vault, &Verdict::Sealed, at(0));
        insta::assert_snapshot!(serde_json::to_string_pretty(&status.entries).unwrap(), @r#"
        [
          {
            "name": "a",
            "kind": "Secret",
            "keyId": "k1",
            "sealedAt": "1970-01-01T00:00:00Z",
            "revision": "fcb860702748f920"
          },
          {
            "name": "host",
            "kind": "Public",
            "changedAt": "1970-01-01T00:00:00Z",
            "revision": "7bdc25d1694ef984"
          }
        ]
        "#);
    }
}
