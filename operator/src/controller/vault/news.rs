//! What of a vault is worth an Event.

use std::collections::BTreeSet;

use secretvault_crds::{
    DataKey, EntryKind, EntryStatus, SecretVaultStatus, api::CONDITION_KEY_CURRENT,
};

use super::{
    super::condition::{condition_of, ready_of},
    key_current::{FAILING, NOT_ALLOWED},
    plan::{DAMAGED, KEY_UNAVAILABLE, SEALED},
};
use crate::{events::News, words::listed};

/// A vault's data key, as it was at the last look and as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DataKeys<'a> {
    /// None: nobody remembers.
    pub(super) before: Option<&'a DataKey>,
    pub(super) now: Option<&'a DataKey>,
}

/// What happened between two states of one vault.
pub(super) fn news(
    before: Option<&SecretVaultStatus>,
    after: &SecretVaultStatus,
    keys: DataKeys<'_>,
) -> Vec<News> {
    let contents = sealed(before, after, keys);
    let mut news: Vec<News> = contents.into_iter().collect();
    news.extend(wrapped(before, after, keys));
    news.extend(unready(before, after));
    news.extend(not_current(before, after));
    news
}

fn unready(before: Option<&SecretVaultStatus>, after: &SecretVaultStatus) -> Option<News> {
    let said = before.and_then(|before| ready_of(&before.conditions));
    let says = ready_of(&after.conditions)?;
    let reason = match says.reason.as_str() {
        DAMAGED => DAMAGED,
        KEY_UNAVAILABLE => KEY_UNAVAILABLE,
        _ => return None,
    };
    let told =
        said.is_some_and(|said| (&said.reason, &said.message) == (&says.reason, &says.message));
    (!told).then(|| News::warning(reason, &says.message))
}

/// A provider that is not ready is told of by its own Events, and by those of [`unready`].
fn not_current(before: Option<&SecretVaultStatus>, after: &SecretVaultStatus) -> Option<News> {
    let of = |status: &SecretVaultStatus| {
        let says = condition_of(&status.conditions, CONDITION_KEY_CURRENT)?;
        Some((says.reason.clone(), says.message.clone()))
    };
    let (says, message) = of(after)?;
    let reason = match says.as_str() {
        FAILING => REWRAP_FAILING,
        NOT_ALLOWED => NOT_ALLOWED,
        _ => return None,
    };
    let said = before.and_then(of);
    let told = said.is_some_and(|(said, _)| said == says);
    (!told).then(|| News::warning(reason, &message))
}

/// The entries that have another envelope, and those that are gone. Not those that were only sealed
/// anew.
fn sealed(
    before: Option<&SecretVaultStatus>,
    after: &SecretVaultStatus,
    keys: DataKeys<'_>,
) -> Option<News> {
    let entries = before.map_or(&[][..], |before| &before.entries);
    let (old, new) = (revisions(entries), revisions(&after.entries));
    if old == new {
        return None;
    }
    let known = before.and_then(|before| before.content_revision.as_ref());
    if known.is_some() && known == after.content_revision.as_ref() {
        return Some(resealed(keys));
    }
    let names = |these: &BTreeSet<(&str, &str)>, those: &BTreeSet<(&str, &str)>| {
        listed(these.difference(those).map(|(name, _)| *name))
    };
    let sealed = names(&new, &old);
    let kept = after.entries.iter().map(|entry| entry.name.as_str());
    let kept: BTreeSet<&str> = kept.collect();
    let gone = old.iter().map(|(name, _)| *name);
    let gone = listed(gone.filter(|name| !kept.contains(name)));
    let note = match (sealed.is_empty(), gone.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("sealed {sealed}"),
        (true, false) => format!("removed {gone}"),
        (false, false) => format!("sealed {sealed}; removed {gone}"),
    };
    Some(News::normal(SEALED, note))
}

fn resealed(keys: DataKeys<'_>) -> News {
    let now = keys.now.map_or("", |it| it.provider.as_str());
    match keys.before.filter(|before| before.provider != now) {
        Some(before) => News::normal(
            MOVED,
            format!(
                "moved from KeyProvider {} to {now}: a new data key, every value sealed anew, none \
                 changed",
                before.provider
            ),
        ),
        None => News::normal(
            REKEYED,
            "a new data key: every value was sealed anew, and none changed".to_owned(),
        ),
    }
}

/// The same data key under another key.
fn wrapped(
    before: Option<&SecretVaultStatus>,
    after: &SecretVaultStatus,
    keys: DataKeys<'_>,
) -> Option<News> {
    let before = before?;
    let (old, new) = (before.key_id.as_ref()?, after.key_id.as_ref()?);
    let other = match keys.before {
        Some(before) => Some(&before.id) != keys.now.map(|now| &now.id),
        None => revisions(&before.entries) != revisions(&after.entries),
    };
    if other || old == new {
        return None;
    }
    let provider = keys.now.map_or("", |it| it.provider.as_str());
    let note =
        format!("key {new} of KeyProvider {provider} wraps the data key, and no longer {old}");
    Some(News::normal(REWRAPPED, note))
}

fn revisions(entries: &[EntryStatus]) -> BTreeSet<(&str, &str)> {
    let sealed = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Secret);
    sealed
        .filter_map(|entry| Some((entry.name.as_str(), entry.revision.as_deref()?)))
        .collect()
}

const MOVED: &str = "Moved";
const REKEYED: &str = "Rekeyed";
const REWRAPPED: &str = "Rewrapped";
const REWRAP_FAILING: &str = "RewrapFailing";

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use secretvault_crds::{Resealed, SecretVault, SecretVaultSpec};

    use super::super::{
        inspect::Verdict,
        key_current::Stand,
        plan::{Seen, status},
    };
    use super::*;
    use crate::controller::rotation::Action;

    fn vault(entries: &[(&str, &str)]) -> SecretVault {
        let data_key = DataKey {
            provider: "default".into(),
            key_id: "k1".into(),
            id: "d1".into(),
            ..DataKey::default()
        };
        let mut spec = SecretVaultSpec {
            data_key: Some(data_key),
            ..SecretVaultSpec::default()
        };
        for (name, text) in entries {
            spec.data.insert((*name).into(), (*text).into());
        }
        SecretVault::new("app", spec)
    }

    fn said(vault: &SecretVault, verdict: &Verdict, stand: Option<&Stand>) -> SecretVaultStatus {
        let seen = Seen {
            verdict,
            stand,
            usage: None,
        };
        status(vault, seen, Timestamp::UNIX_EPOCH)
    }

    /// What is told when a vault goes from one verdict to another, its entries unchanged.
    fn told(before: &Verdict, after: &Verdict) -> Vec<(bool, &'static str)> {
        let vault = vault(&[("a", "sv1:A")]);
        let before = said(&vault, before, None);
        let after = said(&vault, after, None);
        let told = news(Some(&before), &after, DataKeys::default());
        told.iter().map(|it| (it.warning, it.reason)).collect()
    }

    /// What is told when a vault changes; whether its data key of before is remembered.
    fn told_of(change: impl FnOnce(&mut SecretVault), remembered: bool) -> Vec<String> {
        let before = vault(&[("a", "sv1:A"), ("b", "sv1:B")]);
        let mut after = before.clone();
        change(&mut after);
        let keys = DataKeys {
            before: before.spec.data_key.as_ref().filter(|_| remembered),
            now: after.spec.data_key.as_ref(),
        };
        let before = said(&before, &Verdict::Sealed, None);
        let after = said(&after, &Verdict::Sealed, None);
        let told = news(Some(&before), &after, keys);
        let told = told.iter();
        told.map(|it| format!("{}: {}", it.reason, it.note))
            .collect()
    }

    /// Seals every value anew, under another data key.
    fn reseal(vault: &mut SecretVault) {
        let from = vault.spec.content_revision();
        for text in vault.spec.data.values_mut() {
            *text = format!("{}2", text.expose()).into();
        }
        let to = vault.spec.stored_revision();
        let data_key = vault.spec.data_key.as_mut().unwrap();
        data_key.id = "d2".into();
        data_key.resealed = Some(Resealed { from, to });
    }

    #[test]
    fn news_are_told_once() {
        let unavailable = || Verdict::KeyUnavailable {
            message: "no key".into(),
        };
        let damaged = |names: &[&str]| Verdict::Damaged {
            entries: names.iter().map(ToString::to_string).collect(),
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
        let first = said(
            &vault(&[("a", "sv1:A"), ("b", "sv1:B")]),
            &Verdict::Sealed,
            None,
        );
        let told = news(None, &first, DataKeys::default());
        assert_eq!(told[0].note, "sealed a, b");
        let change = |vault: &mut SecretVault| {
            vault.spec.data.remove("a");
            vault.spec.data.insert("b".into(), "sv1:C".into());
        };
        assert_eq!(told_of(change, true), ["Sealed: sealed b; removed a"]);
    }

    #[test]
    fn a_data_key_under_another_key_is_told() {
        let rewrap = |vault: &mut SecretVault| {
            vault.spec.data_key.as_mut().unwrap().key_id = "k2".into();
        };
        let expected =
            ["Rewrapped: key k2 of KeyProvider default wraps the data key, and no longer k1"];
        assert_eq!(told_of(rewrap, true), expected);
        assert_eq!(told_of(rewrap, false), expected);
    }

    #[test]
    fn values_that_are_sealed_anew_are_one_event_and_not_told_as_changed() {
        let rekeyed = ["Rekeyed: a new data key: every value was sealed anew, and none changed"];
        assert_eq!(told_of(reseal, true), rekeyed);
        assert_eq!(told_of(reseal, false), rekeyed);
        let under_another_key = |vault: &mut SecretVault| {
            reseal(vault);
            vault.spec.data_key.as_mut().unwrap().key_id = "k2".into();
        };
        assert_eq!(told_of(under_another_key, true), rekeyed);
        assert_eq!(told_of(under_another_key, false), rekeyed);
        let change = |vault: &mut SecretVault| {
            reseal(vault);
            let data_key = vault.spec.data_key.as_mut().unwrap();
            data_key.provider = "transit".into();
            data_key.key_id = "v1".into();
        };
        let moved = "Moved: moved from KeyProvider default to transit: a new data key, every value \
                     sealed anew, none changed";
        assert_eq!(told_of(change, true), [moved]);
    }

    #[test]
    fn values_that_change_with_the_data_key_are_told_as_sealed() {
        let change = |vault: &mut SecretVault| {
            reseal(vault);
            vault.spec.data_key.as_mut().unwrap().resealed = None;
        };
        assert_eq!(told_of(change, true), ["Sealed: sealed a, b"]);
    }

    #[test]
    fn what_keeps_a_vault_from_its_key_is_told_once() {
        let vault = vault(&[("a", "sv1:A")]);
        let stand = |trouble: Option<&str>| Stand {
            action: Action::Rewrap,
            trouble: trouble.map(Into::into),
        };
        let say = |trouble| said(&vault, &Verdict::Sealed, Some(&stand(trouble)));
        let told = |before, after| {
            let told = news(Some(&say(before)), &say(after), DataKeys::default());
            let told = told.iter().map(|it| (it.warning, it.reason));
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(None, Some("no")), [(true, "RewrapFailing")]);
        assert_eq!(told(Some("no"), Some("other")), []);
        assert_eq!(told(Some("no"), None), []);
    }
}
