//! All replicas are killed at each named state. Nothing but the objects remembers how far they were.

use std::thread;

use secretvault_e2e::{
    Bao, KeyProvider, Namespace, Part, SYSTEM, eventually, kubectl, now, wait_system,
};
use serde_json::json;

use super::fleet::Fleet;
use super::held::Held;

/// A provider whose vaults are at one state, and what keeps them there.
struct Stage<'a> {
    name: &'static str,
    provider: KeyProvider,
    fleet: Fleet<'a>,
    held: Option<Held>,
}

impl<'a> Stage<'a> {
    fn new(namespace: &'a Namespace, name: &'static str, vaults: usize) -> Self {
        let provider = KeyProvider::local(&format!("{}-{name}", namespace.name())).ready();
        let fleet = Fleet::create(namespace, name, vaults, &provider);
        Self {
            name,
            provider,
            fleet,
            held: None,
        }
    }

    fn rotate(&self) {
        self.provider
            .patch(&json!({"local": {"rotatedSince": now()}}));
    }

    /// Waits until so many vaults have another value there than the first one has.
    fn wait_changed(&self, field: &str, before: &str, count: usize) {
        eventually(
            &format!("{}: {count} vaults are changed", self.name),
            || {
                let now = self.fleet.data_keys(field);
                let changed = now.iter().filter(|value| *value != before).count();
                if changed == count {
                    Ok(())
                } else {
                    Err(changed)
                }
            },
        );
    }
}

/// The new key is made, and no vault has it.
fn made<'a>(namespace: &'a Namespace) -> Stage<'a> {
    let mut stage = Stage::new(namespace, "made", 4);
    stage.held = Some(Held::vaults(namespace, stage.fleet.names()));
    stage.rotate();
    eventually("the new key is made", || {
        match stage.provider.keyring_ids().len() {
            2 => Ok(()),
            other => Err(other),
        }
    });
    stage
}

/// A part of the vaults is rewrapped.
fn part<'a>(namespace: &'a Namespace) -> Stage<'a> {
    let mut stage = Stage::new(namespace, "part", 60);
    let old = stage.provider.primary();
    stage.held = Some(Held::vaults(namespace, &stage.fleet.names()[..25]));
    stage.rotate();
    stage.wait_changed("keyId", &old, 35);
    stage
}

/// All are rewrapped, and the status does not say so.
fn untold<'a>(namespace: &'a Namespace) -> Stage<'a> {
    let mut stage = Stage::new(namespace, "untold", 4);
    let old = stage.provider.primary();
    stage.held = Some(Held::status(&stage.provider));
    stage.rotate();
    stage.wait_changed("keyId", &old, 4);
    assert_eq!(stage.provider.primary(), old);
    stage
}

/// An old key is to go, and is still there.
fn retiring<'a>(namespace: &'a Namespace) -> Stage<'a> {
    // The keyring's id comes from the end of the name.
    let name = namespace.name().replacen("rotation", "retiring", 1);
    let (provider, old) = KeyProvider::with_an_old_key(&name);
    let fleet = Fleet::create(namespace, "retiring", 4, &provider);
    let held = Some(Held::keyring(&provider));
    provider.patch(&json!({"local": {"retire": [old]}}));
    provider.wait("Retired", "False", "RetireFailed");
    Stage {
        name: "retiring",
        provider,
        fleet,
        held,
    }
}

/// A part of the vaults has moved to Transit.
fn moving<'a>(namespace: &'a Namespace, to: &KeyProvider) -> Stage<'a> {
    let mut stage = Stage::new(namespace, "moving", 12);
    stage.held = Some(Held::vaults(namespace, &stage.fleet.names()[..6]));
    stage.provider.patch(&json!({"migrateTo": to.name()}));
    stage.wait_changed("provider", stage.provider.name(), 6);
    stage
}

/// Kills every replica at once, and lets new pods take their place: containers that are killed again
/// and again would only be started after minutes.
fn kill_all() {
    let replicas = Part::operators();
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    thread::scope(|scope| {
        for replica in &replicas {
            scope.spawn(|| replica.end());
        }
    });
    for replica in &replicas {
        let delete = [
            "-n",
            SYSTEM,
            "delete",
            "pod",
            &replica.name,
            "--force",
            "--grace-period=0",
        ];
        let _ = kubectl(&delete).expect_success();
    }
    wait_system();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn whenever_all_replicas_are_killed_their_successors_finish_and_every_vault_opens() {
    let namespace = Namespace::create("rotation-killed");
    let transit = Bao::shared().key(namespace.name());
    let transit = KeyProvider::transit(namespace.name(), &transit.transit()).ready();
    let place = &namespace;
    let mut stages = thread::scope(|scope| {
        let at_rest = [
            scope.spawn(|| made(place)),
            scope.spawn(|| part(place)),
            scope.spawn(|| untold(place)),
            scope.spawn(|| retiring(place)),
            scope.spawn(|| moving(place, &transit)),
        ];
        at_rest.map(|stage| stage.join().unwrap())
    });
    let before = stages.each_ref().map(|stage| stage.fleet.data_keys("id"));
    // And one in full flight, killed wherever it is.
    let flying = Stage::new(place, "flying", 20);
    let first = flying.provider.primary();
    flying.rotate();
    kill_all();
    for stage in &mut stages {
        stage.held = None;
    }
    flying.wait_changed("keyId", &first, 20);
    stages[3].provider.wait("Retired", "True", "Retired");
    for (stage, before) in stages.iter().zip(&before) {
        stage.provider.wait("KeyCurrent", "True", "");
        stage.fleet.assert_all_open();
        let moved = stage.name == "moving";
        let kept = stage.fleet.data_keys("id") == *before;
        assert_eq!(kept, !moved, "{}: data keys", stage.name);
        let keys = stage.provider.keyring_ids();
        let count = if moved || stage.name == "retiring" {
            1
        } else {
            2
        };
        // No second key was made by who did not know of the first.
        assert_eq!(keys.len(), count, "{}: {keys:?}", stage.name);
        let ids = stage.fleet.key_ids();
        let newest = if moved {
            "v1".to_owned()
        } else {
            stage.provider.primary()
        };
        assert_eq!(ids, [newest].into(), "{}", stage.name);
    }
    flying.fleet.assert_all_open();
    assert_eq!(flying.provider.keyring_ids().len(), 2);
}
