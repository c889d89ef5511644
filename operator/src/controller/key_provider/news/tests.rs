use jiff::Timestamp;

use super::super::keys::Keys;
use super::super::lifetime::{Hold, Retirement};
use super::super::plan::{Unrotated, status};
use super::*;
use crate::controller::rotation::Progress;
use crate::keys::{KeyInfo, ProviderFault};

/// A provider whose key wraps, and how many vaults need which key.
fn seen(primary: &str, counts: &[(&str, usize)]) -> Observed {
    let counts = counts.iter().map(|(id, count)| ((*id).to_owned(), *count));
    let keys: std::collections::BTreeMap<String, usize> = counts.collect();
    let total = keys.values().sum();
    let done = keys.get(primary).copied().unwrap_or_default();
    let key = KeyInfo {
        id: primary.to_owned(),
        created: None,
    };
    Observed {
        keys: Ok(Keys {
            scope: "ring".into(),
            primary_key_id: primary.into(),
            all: vec![key],
        }),
        vaults: total,
        progress: Some(Progress {
            keys,
            total,
            done,
            ..Progress::default()
        }),
        ..Observed::test()
    }
}

/// All that is told from one look to the next.
fn told(looks: impl IntoIterator<Item = Observed>) -> Vec<String> {
    let (mut before, mut all) = (None, Vec::new());
    for mut observed in looks {
        observed.before = before;
        let after = status(&observed, Timestamp::UNIX_EPOCH);
        let told = news(&observed, &after, &[]);
        all.push(
            told.iter()
                .map(|it| it.reason)
                .collect::<Vec<_>>()
                .join(" "),
        );
        before = Some(after);
    }
    all
}

fn with(mut observed: Observed, change: impl FnOnce(&mut Observed)) -> Observed {
    change(&mut observed);
    observed
}

#[test]
fn only_a_change_of_readiness_is_told() {
    let lost = || {
        let fault = ProviderFault::new(KeyFault::KeyringMissing, "gone");
        with(seen("k1", &[]), |it| it.keys = Err(fault))
    };
    let looks = [
        seen("k1", &[]),
        seen("k1", &[("k1", 9)]),
        lost(),
        lost(),
        seen("k1", &[]),
    ];
    assert_eq!(
        told(looks),
        ["KeyringReady", "", "KeyringMissing", "", "KeyringReady"]
    );
}

#[test]
fn a_rotation_is_told_from_its_key_to_its_last_vault() {
    let looks = [
        seen("k1", &[("k1", 3)]),
        seen("k2", &[("k1", 3)]),
        seen("k2", &[("k1", 1), ("k2", 2)]),
        seen("k2", &[("k2", 3)]),
        seen("k2", &[("k2", 3)]),
    ];
    let expected = [
        "KeyringReady",
        "KeyRotated RewrapStarted",
        "",
        "RewrapFinished",
        "",
    ];
    assert_eq!(told(looks), expected);
}

#[test]
fn a_rotation_that_nobody_saw_between_two_looks_is_told_as_a_whole() {
    let looks = [seen("k1", &[("k1", 3)]), seen("k2", &[("k2", 3)])];
    assert_eq!(told(looks)[1], "KeyRotated RewrapStarted RewrapFinished");
    let unused = [seen("k1", &[]), seen("k2", &[])];
    assert_eq!(told(unused)[1], "KeyRotated");
}

#[test]
fn another_keyring_is_no_rotation() {
    let other = with(seen("k2", &[]), |it| {
        it.keys.as_mut().unwrap().scope = "other".into();
    });
    assert_eq!(told([seen("k1", &[]), other])[1], "");
}

#[test]
fn a_move_to_another_provider_is_told_from_both_sides() {
    let leaves = |counts: &[(&str, usize)]| {
        with(seen("k1", counts), |it| {
            it.effective = Ok("transit".into());
            it.progress.as_mut().unwrap().done = 0;
        })
    };
    let looks = [seen("k1", &[("k1", 3)]), leaves(&[("k1", 3)]), leaves(&[])];
    assert_eq!(
        told(looks),
        ["KeyringReady", "RewrapStarted", "RewrapFinished"]
    );
    let looks = [seen("k1", &[("k1", 3)]), leaves(&[]), leaves(&[])];
    assert_eq!(
        told(looks),
        ["KeyringReady", "RewrapStarted RewrapFinished", ""]
    );
}

#[test]
fn numbers_and_names_are_told() {
    let mut observed = seen("k2", &[("k1", 2), ("k2", 1)]);
    observed.before = Some(status(&seen("k1", &[("k1", 3)]), Timestamp::UNIX_EPOCH));
    let after = status(&observed, Timestamp::UNIX_EPOCH);
    let notes = |observed: &Observed, after: &KeyProviderStatus| {
        let told = news(observed, after, &["k0".to_owned()]);
        told.into_iter().map(|it| it.note).collect::<Vec<_>>()
    };
    assert_eq!(
        notes(&observed, &after),
        [
            "key k0 is no longer in the keyring: no vault needed it",
            "key k2 wraps new data keys from now on, and no longer k1",
            "2 vaults are to be brought to key k2 of KeyProvider default",
        ]
    );
    let mut done = seen("k2", &[("k2", 3)]);
    done.before = Some(after);
    let after = status(&done, Timestamp::UNIX_EPOCH);
    assert_eq!(
        notes(&done, &after)[1],
        "all vaults have key k2 of KeyProvider default: 3"
    );
}

#[test]
fn what_is_in_the_way_is_told_once() {
    let failing = || {
        with(seen("k2", &[("k1", 1)]), |it| {
            let progress = it.progress.as_mut().unwrap();
            progress.failed = 1;
            progress.failures = vec![("shop/app".into(), "no".into())];
        })
    };
    let full = || {
        with(seen("k2", &[("k1", 1)]), |it| {
            it.unrotated = Some(Unrotated::Full("full".into()));
        })
    };
    let nowhere = || {
        with(seen("k2", &[("k1", 1)]), |it| {
            it.effective = Err("a -> b".into());
        })
    };
    let looks = [failing(), failing(), full(), full(), nowhere()];
    assert_eq!(
        told(looks),
        [
            "KeyringReady RewrapFailing",
            "",
            "KeyringFull",
            "",
            "MigrationImpossible"
        ]
    );
}

#[test]
fn a_key_that_stays_is_told_once() {
    let held = |hold: Hold| {
        with(seen("k2", &[]), |it| {
            it.retires = true;
            it.retirement = Some(Retirement {
                go: Vec::new(),
                stay: vec![("k1".into(), hold)],
            });
        })
    };
    let users = |name: &str| Hold::InUse(vec![name.to_owned()]);
    let looks = [
        held(users("a")),
        held(users("b")),
        held(Hold::RecentlyPrimary),
    ];
    assert_eq!(told(looks), ["KeyringReady RetireRefused", "", ""]);
}
