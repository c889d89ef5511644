//! What the status of a vault is to say, and what is worth an Event.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secretvault_crds::{EntryKind, EntryStatus, SecretVault, SecretVaultStatus};

use super::{
    super::condition::{Ready, ready_of},
    consumers::{self, Generations},
    inspect::Verdict,
};
use crate::{consumers::Usage, events::News, words::listed};

/// The status that a vault should have, by those who use it as far as that is settled.
pub(super) fn status(
    vault: &SecretVault,
    verdict: &Verdict,
    usage: Option<&Usage>,
    now: Timestamp,
) -> SecretVaultStatus {
    let before = vault.status.as_ref();
    let generation = vault.metadata.generation;
    let known = before.and_then(|before| ready_of(&before.conditions));
    let entries = vault.spec.entry_statuses(before, now);
    let (content_generation, content_revision) = vault.spec.content(before, generation);
    let mut status = SecretVaultStatus {
        observed_generation: generation,
        conditions: vec![ready(verdict, &entries).condition(generation, known, now)],
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
    consumers::tell(&mut status, usage, generations, before);
    status
}

/// What happened between two states of one vault.
pub(super) fn news(before: Option<&SecretVaultStatus>, after: &SecretVaultStatus) -> Vec<News> {
    let mut news: Vec<News> = resealed(before, after).into_iter().collect();
    let said = before.and_then(|before| ready_of(&before.conditions));
    if let Some(says) = ready_of(&after.conditions) {
        let warning = match says.reason.as_str() {
            DAMAGED => Some(DAMAGED),
            KEY_UNAVAILABLE => Some(KEY_UNAVAILABLE),
            _ => None,
        };
        let told =
            said.is_some_and(|said| (&said.reason, &said.message) == (&says.reason, &says.message));
        news.extend(warning.filter(|_| !told).map(|reason| News {
            warning: true,
            reason,
            note: says.message.clone(),
        }));
    }
    news
}

fn ready(verdict: &Verdict, entries: &[EntryStatus]) -> Ready {
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
    Ready {
        ready: verdict.is_ready(),
        reason,
        message,
    }
}

/// The entries that have another envelope, and those that are gone.
fn resealed(before: Option<&SecretVaultStatus>, after: &SecretVaultStatus) -> Option<News> {
    let before = before.map_or(&[][..], |before| &before.entries);
    let (old, new) = (revisions(before), revisions(&after.entries));
    let names = |these: &BTreeSet<(&str, &str)>, those: &BTreeSet<(&str, &str)>| {
        listed(these.difference(those).map(|(name, _)| *name))
    };
    let sealed = names(&new, &old);
    let kept: BTreeSet<&str> = after
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    let gone = listed(
        old.iter()
            .map(|(name, _)| *name)
            .filter(|name| !kept.contains(name)),
    );
    let note = match (sealed.is_empty(), gone.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("sealed {sealed}"),
        (true, false) => format!("removed {gone}"),
        (false, false) => format!("sealed {sealed}; removed {gone}"),
    };
    Some(News {
        warning: false,
        reason: SEALED,
        note,
    })
}

fn revisions(entries: &[EntryStatus]) -> BTreeSet<(&str, &str)> {
    let sealed = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Secret);
    sealed
        .filter_map(|entry| Some((entry.name.as_str(), entry.revision.as_deref()?)))
        .collect()
}

const DAMAGED: &str = "Damaged";
const KEY_UNAVAILABLE: &str = "KeyUnavailable";
const SEALED: &str = "Sealed";

#[cfg(test)]
mod tests {
    use secretvault_crds::{DataKey, SecretVaultSpec};

    use super::*;

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

    /// What is told when a vault goes from one verdict to another, its entries unchanged.
    fn told(before: &Verdict, after: &Verdict) -> Vec<(bool, &'static str)> {
        let mut vault = vault(&[("a", "sv1:A")]);
        vault.status = Some(status(&vault, before, None, at(1)));
        let after = status(&vault, after, None, at(2));
        news(vault.status.as_ref(), &after)
            .iter()
            .map(|n| (n.warning, n.reason))
            .collect()
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
            let status = status(&vault(&[("a", "sv1:A")]), &verdict, None, at(1));
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
        let status = status(&vault(&[]), &damaged(&["db/password", "x"]), None, at(1));
        assert!(status.conditions[0].message.contains("db/password, x"));
    }

    #[test]
    fn an_equal_state_is_an_equal_status_however_late() {
        let mut vault = vault(&[("a", "sv1:A"), ("b", "sv1:B")]);
        vault.spec.public_data.insert("host".into(), "db".into());
        vault.status = Some(status(&vault, &Verdict::Sealed, None, at(1)));
        assert_eq!(
            vault.status,
            Some(status(&vault, &Verdict::Sealed, None, at(1000)))
        );
    }

    #[test]
    fn only_a_change_of_the_contents_makes_them_newer() {
        let mut vault = vault(&[("a", "sv1:A")]);
        vault.status = Some(status(&vault, &Verdict::Sealed, None, at(1)));
        vault.metadata.generation = Some(8);
        vault.spec.description = Some("words".into());
        let described = status(&vault, &Verdict::Sealed, None, at(2));
        assert_eq!(described.content_generation, Some(7));
        vault.status = Some(described);
        vault.metadata.generation = Some(9);
        vault.spec.data.insert("a".into(), "sv1:B".into());
        let changed = status(&vault, &Verdict::Sealed, None, at(3));
        assert_eq!(changed.content_generation, Some(9));
    }

    #[test]
    fn sealed_at_moves_only_with_the_envelope() {
        let mut vault = vault(&[("a", "sv1:A"), ("b", "sv1:B")]);
        vault.status = Some(status(&vault, &Verdict::Sealed, None, at(1)));
        vault.spec.data.insert("b".into(), "sv1:C".into());
        let sealed_at: Vec<_> = status(&vault, &Verdict::Sealed, None, at(9))
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
        let status = status(&vault, &Verdict::Sealed, None, at(0));
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

    #[test]
    fn news_are_told_once() {
        let unavailable = || Verdict::KeyUnavailable {
            message: "no key".into(),
        };
        let cases = [
            (Verdict::Sealed, Verdict::Sealed, vec![]),
            (Verdict::Sealed, damaged(&["a"]), vec![(true, "Damaged")]),
            (damaged(&["a"]), damaged(&["a"]), vec![]),
            (
                damaged(&["a"]),
                damaged(&["a", "b"]),
                vec![(true, "Damaged")],
            ),
            (
                Verdict::Sealed,
                unavailable(),
                vec![(true, "KeyUnavailable")],
            ),
            (unavailable(), unavailable(), vec![]),
            (unavailable(), Verdict::Sealed, vec![]),
        ];
        for (before, after, expected) in cases {
            assert_eq!(told(&before, &after), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn what_was_sealed_and_removed_is_told_by_name() {
        let mut vault = vault(&[("a", "sv1:A"), ("b", "sv1:B")]);
        let first = status(&vault, &Verdict::Sealed, None, at(1));
        assert_eq!(news(None, &first)[0].note, "sealed a, b");
        vault.status = Some(first);
        vault.spec.data.remove("a");
        vault.spec.data.insert("b".into(), "sv1:C".into());
        let second = status(&vault, &Verdict::Sealed, None, at(2));
        assert_eq!(
            news(vault.status.as_ref(), &second)[0].note,
            "sealed b; removed a"
        );
    }
}
