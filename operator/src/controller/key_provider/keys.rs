//! What is told of a provider's keys, and of how far its vaults are.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secretvault_crds::{KeyStatus, RewrapFailure, RewrapStatus, limits::MAX_KEYS, whole_second};
use secretvault_keyring::Keyring;

use super::super::rotation::Progress;
use crate::keys::{KeyInfo, Provider};
use crate::words::shortened;

/// What a provider tells of its keys. No key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Keys {
    pub(super) scope: String,
    pub(super) primary_key_id: String,
    /// As far as they are known, the primary first.
    pub(super) all: Vec<KeyInfo>,
}

impl From<&Keyring> for Keys {
    fn from(keyring: &Keyring) -> Self {
        let all = keyring.keys_made().map(|(id, created)| KeyInfo {
            id: id.to_string(),
            created: Some(created),
        });
        Self {
            scope: keyring.id().to_owned(),
            primary_key_id: keyring.primary_id().to_string(),
            all: all.collect(),
        }
    }
}

impl From<&Provider> for Keys {
    fn from(provider: &Provider) -> Self {
        Self {
            scope: provider.scope().to_owned(),
            primary_key_id: provider.primary_key_id(),
            all: provider.key_infos(),
        }
    }
}

/// The keys, and how far the vaults are.
pub(super) fn told(keys: &Keys, progress: &Progress) -> (Vec<KeyStatus>, RewrapStatus) {
    let all = statuses(keys, progress);
    let oldest = all.iter().rev().find(|key| key.vaults > 0);
    let rewrap = RewrapStatus {
        progress: format!("{}/{}", progress.done, progress.total),
        total: number(progress.total),
        done: number(progress.done),
        failed: number(progress.failed),
        oldest_key_id: oldest.map(|key| key.id.clone()),
        failures: progress.failures.iter().map(failure).collect(),
    };
    (all.into_iter().take(MAX_KEYS).collect(), rewrap)
}

/// The primary key first, then by age, the youngest first.
fn statuses(keys: &Keys, progress: &Progress) -> Vec<KeyStatus> {
    let ids = keys.all.iter().map(|key| &key.id);
    let ids = ids
        .chain(progress.keys.keys())
        .chain([&keys.primary_key_id]);
    let ids: BTreeSet<&String> = ids.collect();
    let statuses = ids.into_iter().map(|id| {
        let known = keys.all.iter().find(|key| key.id == *id);
        let created = known.and_then(|key| key.created);
        KeyStatus {
            id: id.clone(),
            created: created.map(whole_second),
            primary: *id == keys.primary_key_id,
            vaults: number(progress.keys.get(id).copied().unwrap_or_default()),
        }
    });
    let mut statuses: Vec<KeyStatus> = statuses.collect();
    let made = |key: &KeyStatus| key.created.as_ref().map(|Time(at)| *at);
    statuses.sort_by_key(|key| {
        (
            !key.primary,
            Reverse(made(key)),
            Reverse(version(&key.id)),
            key.id.clone(),
        )
    });
    statuses
}

/// Which version of a Transit key this is: "v10" is younger than "v9".
fn version(key_id: &str) -> Option<u64> {
    key_id.strip_prefix('v')?.parse().ok()
}

fn failure((vault, message): &(String, String)) -> RewrapFailure {
    RewrapFailure {
        vault: vault.clone(),
        message: shortened(message.clone(), MAX_MESSAGE),
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

const MAX_MESSAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn keys(primary: &str, all: &[(&str, Option<i64>)]) -> Keys {
        let key = |(id, created): &(&str, Option<i64>)| KeyInfo {
            id: (*id).to_owned(),
            created: created.map(|second| Timestamp::from_second(second).unwrap()),
        };
        Keys {
            scope: "ring".into(),
            primary_key_id: primary.into(),
            all: all.iter().map(key).collect(),
        }
    }

    fn said(keys: &Keys, counts: &[(&str, usize)]) -> (Vec<String>, Option<String>) {
        let counts = counts.iter().map(|(id, count)| ((*id).to_owned(), *count));
        let progress = Progress {
            keys: counts.collect(),
            ..Progress::default()
        };
        let (keys, rewrap) = told(keys, &progress);
        let keys = keys.iter().map(|key| format!("{} {}", key.id, key.vaults));
        (keys.collect(), rewrap.oldest_key_id)
    }

    #[test]
    fn keys_stand_with_the_primary_first_then_the_youngest_and_the_oldest_in_use_is_named() {
        let ring = [("k3", Some(5)), ("k1", Some(1)), ("k2", Some(9))];
        let told = said(&keys("k3", &ring), &[("k3", 4), ("k2", 1), ("lost", 2)]);
        assert_eq!(told.0, ["k3 4", "k2 1", "k1 0", "lost 2"]);
        assert_eq!(told.1.as_deref(), Some("lost"), "nobody knows its age");
        let told = said(&keys("k3", &ring), &[("k3", 4), ("k2", 1)]);
        assert_eq!(told.1.as_deref(), Some("k2"));
        assert_eq!(said(&keys("k3", &ring), &[]).1, None);
    }

    #[test]
    fn versions_are_older_the_smaller_they_are() {
        let transit = keys("v11", &[("v11", None)]);
        let told = said(&transit, &[("v9", 1), ("v10", 1), ("v11", 0)]);
        assert_eq!(told.0, ["v11 0", "v10 1", "v9 1"]);
        assert_eq!(told.1.as_deref(), Some("v9"));
    }
}
