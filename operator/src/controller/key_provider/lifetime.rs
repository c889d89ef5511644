//! When a keyring gets a new key, and when it loses one: decided from what was found, and nothing
//! else.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secretvault_crds::LocalProvider;

use crate::keys::KeyInfo;

/// Whether the keyring is to get a new key now, by when the one was made that wraps.
///
/// A new key is younger than every reason for which it was made, so that there is one for each
/// reason, whoever dies when.
pub(super) fn is_due(spec: &LocalProvider, primary: Timestamp, now: Timestamp) -> bool {
    // A length that does not fit is for ever.
    let most = spec.rotate_after.as_ref();
    let most = most.and_then(|most| SignedDuration::try_from(most.duration()).ok());
    let too_old = most.is_some_and(|most| now.duration_since(primary) >= most);
    // A time that is yet to come would make a new key each time until it has come.
    let since = spec.rotated_since.as_ref().filter(|since| since.0 <= now);
    too_old || since.is_some_and(|since| primary < since.0)
}

/// A key that a vault needs and the keyring lacks, if there is one: a backup from before was put in
/// place. A new key in it would be lost when the right one comes back.
pub(super) fn missing(users: &BTreeMap<String, Vec<String>>, keys: &[KeyInfo]) -> Option<String> {
    let mut needed = users.keys();
    let missing = needed.find(|id| keys.iter().all(|key| key.id != **id));
    missing.cloned()
}

/// What is known where keys are to be retired.
pub(super) struct Found<'a> {
    /// The keyring's keys, the primary first.
    pub(super) keys: &'a [KeyInfo],
    /// Who needs each key, as listed just now.
    pub(super) users: &'a BTreeMap<String, Vec<String>>,
    /// When a key was last seen to be the primary one.
    pub(super) primary_at: &'a BTreeMap<String, Timestamp>,
}

/// What becomes of the keys that are to be retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Retirement {
    /// These go.
    pub(super) go: Vec<String>,
    /// These stay, and why.
    pub(super) stay: Vec<(String, Hold)>,
}

/// Why a key is not retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// These vaults need it.
    InUse(Vec<String>),
    /// It wraps new data keys.
    Primary,
    /// It wrapped new data keys a moment ago: some may be on their way.
    RecentlyPrimary,
}

/// Decides about the keys that are to be retired. Ids that the keyring lacks are done.
pub(super) fn retirement(wanted: &[String], found: &Found<'_>, now: Timestamp) -> Retirement {
    let mut retirement = Retirement::default();
    for id in wanted {
        let Some(key) = found.keys.iter().find(|key| key.id == *id) else {
            continue;
        };
        match hold(key, found, now) {
            Some(hold) => retirement.stay.push((id.clone(), hold)),
            None => retirement.go.push(id.clone()),
        }
    }
    retirement
}

/// Whether any of these keys could go, so that it is worth asking who needs them.
pub(super) fn is_worth_asking(wanted: &[String], keys: &[KeyInfo]) -> bool {
    let others = keys.iter().skip(1);
    others.into_iter().any(|key| wanted.contains(&key.id))
}

fn hold(key: &KeyInfo, found: &Found<'_>, now: Timestamp) -> Option<Hold> {
    let primary = found.keys.first();
    if primary.is_some_and(|primary| primary.id == key.id) {
        return Some(Hold::Primary);
    }
    if let Some(users) = found.users.get(&key.id).filter(|users| !users.is_empty()) {
        return Some(Hold::InUse(users.clone()));
    }
    let seen = found.primary_at.get(&key.id).copied();
    let recent = seen.max(followed(key, found.keys));
    recent
        .is_some_and(|recent| now.duration_since(recent) < RECENT)
        .then_some(Hold::RecentlyPrimary)
}

/// When the next younger key was made: until then this one was the primary, if it ever was.
fn followed(key: &KeyInfo, keys: &[KeyInfo]) -> Option<Timestamp> {
    let younger = keys.iter().filter_map(|other| other.created);
    younger.filter(|other| Some(*other) > key.created).min()
}

/// How long a key that was the primary one stays: longer than any request that wraps with it, and
/// than a replica takes to see that there is another.
pub(super) const RECENT: SignedDuration = SignedDuration::from_mins(10);

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_key_is_made_when_the_last_one_is_too_old_or_older_than_it_may_be() {
        let cases = [
            ("nothing is wanted", None, None, 100, 1 << 33, false),
            ("younger", Some("60s"), None, 100, 159, false),
            ("as old", Some("60s"), None, 100, 160, true),
            (
                "made after it, by a clock ahead",
                Some("60s"),
                None,
                200,
                160,
                false,
            ),
            ("since before", None, Some(100), 100, 160, false),
            ("since later", None, Some(101), 100, 160, true),
            ("since just now", None, Some(160), 100, 160, true),
            ("since a time to come", None, Some(161), 100, 160, false),
        ];
        for (case, after, since, primary, now, expected) in cases {
            let spec = LocalProvider {
                rotate_after: after.map(|text| text.parse().unwrap()),
                rotated_since: since.map(|second| Time(at(second))),
                ..LocalProvider::default()
            };
            assert_eq!(is_due(&spec, at(primary), at(now)), expected, "{case}");
            // The key that was made satisfies both.
            assert!(!is_due(&spec, at(now), at(now)), "{case}");
        }
    }

    fn key(id: &str, created: i64) -> KeyInfo {
        KeyInfo {
            id: id.to_owned(),
            created: Some(at(created)),
        }
    }

    /// What becomes of key `old`.
    fn decided(
        keys: &[KeyInfo],
        users: &[&str],
        primary_at: &[(&str, i64)],
        now: i64,
    ) -> Option<Hold> {
        let users = users.iter().map(ToString::to_string).collect();
        let seen = primary_at.iter();
        let found = Found {
            keys,
            users: &[("old".to_owned(), users)].into(),
            primary_at: &seen.map(|(id, at_)| ((*id).to_owned(), at(*at_))).collect(),
        };
        let wanted = ["old".to_owned(), "gone".to_owned()];
        let mut retirement = retirement(&wanted, &found, at(now));
        assert_eq!(retirement.go.len() + retirement.stay.len(), 1);
        retirement.stay.pop().map(|(_, hold)| hold)
    }

    #[test]
    fn a_key_goes_only_when_nothing_needs_it_any_more() {
        let keys = [key("new", 1000), key("old", 0)];
        assert_eq!(decided(&keys, &[], &[], 1600), None);
        assert_eq!(
            decided(&keys, &["shop/app"], &[], 1600),
            Some(Hold::InUse(vec!["shop/app".to_owned()]))
        );
        let primary = [key("old", 0), key("new", 1000)];
        assert_eq!(decided(&primary, &[], &[], 1600), Some(Hold::Primary));
    }

    #[test]
    fn a_key_that_wrapped_a_moment_ago_stays() {
        let recently = Some(Hold::RecentlyPrimary);
        let keys = [key("new", 1000), key("old", 0)];
        assert_eq!(decided(&keys, &[], &[], 1599), recently);
        // The last one's successor is old enough, and its successor's is not its own.
        let three = [key("newest", 5000), key("new", 1000), key("old", 0)];
        assert_eq!(decided(&three, &[], &[], 5001), None);
        // Somebody made an older key the primary one.
        let older = [key("older", 0), key("old", 1000)];
        assert_eq!(decided(&older, &[], &[("old", 2000)], 2599), recently);
        assert_eq!(decided(&older, &[], &[("old", 2000)], 2600), None);
        assert_eq!(decided(&older, &[], &[], 2599), None);
    }

    #[test]
    fn nobody_is_asked_about_keys_that_cannot_go() {
        let keys = [key("new", 1000), key("old", 0)];
        let ask = |id: &str| is_worth_asking(&[id.to_owned()], &keys);
        assert!(ask("old"));
        assert!(!ask("new"));
        assert!(!ask("gone"));
    }
}
