//! New keys for a keyring and for vaults: seen by a person, beside their edits, and whoever dies.

mod fleet;
mod held;
mod killed;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use secretvault_e2e::{KeyProvider, Namespace, Pod, Vault, condition, eventually, kubectl, now};
use serde_json::{Value, json};

use self::fleet::Fleet;
pub(crate) use self::held::Held;
use crate::migration::Untouched;

const VALUE: &str = "hunter2-rotation";

fn vault(provider: &KeyProvider) -> Vault {
    Vault::named("app")
        .text("token", VALUE)
        .spec("keyProvider", json!(provider.name()))
}

#[test]
fn a_person_watches_a_rotation_and_can_wait_for_its_end() {
    let namespace = Namespace::create("rotation");
    let provider = KeyProvider::local(namespace.name()).ready();
    let fleet = Fleet::create(&namespace, "app", 20, &provider);
    let (new, old) = provider.rotate();
    let object = format!("keyprovider/{}", provider.name());
    eventually("the rotation is seen", || {
        let seen = provider.stored();
        let status = &seen["status"];
        let keys = status["keys"].as_array().cloned().unwrap_or_default();
        let has = |id: &str| keys.iter().any(|key| key["id"] == id);
        if has(&new) && has(&old) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    let wait = [
        "wait",
        "--for=condition=KeyCurrent",
        &object,
        "--timeout=5m",
    ];
    let _ = kubectl(&wait).expect_success();
    eventually("all is done", || {
        let status = provider.stored()["status"].clone();
        let done = &status["rewrap"];
        let counts = [&done["total"], &done["done"], &done["failed"]].map(Value::as_i64);
        let is = counts == [Some(20), Some(20), Some(0)]
            && done["progress"] == "20/20"
            && status["keys"][0]
                == json!({
                    "id": new, "primary": true, "vaults": 20, "created": status["keys"][0]["created"],
                });
        if is { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(fleet.key_ids(), [new.clone()].into());
    fleet.assert_all_open();
    let shown = kubectl(&["get", &object]).expect_success();
    assert!(shown.contains("20/20") && shown.contains(&new), "{shown}");
    provider.wait_event("KeyRotated: ");
    provider.wait_event("RewrapFinished: ");
}

#[test]
fn an_old_key_goes_when_no_vault_needs_it_and_until_then_the_vaults_are_named() {
    let namespace = Namespace::create("rotation-retire");
    let provider = KeyProvider::local(namespace.name()).ready();
    let fleet = Fleet::create(&namespace, "app", 3, &provider);
    let held = Held::vaults(&namespace, &fleet.names()[..1]);
    let (new, old) = provider.rotate();
    let failing = eventually("a vault is named as not rewrapped", || {
        let stored = provider.stored();
        let rewrap = &stored["status"]["rewrap"];
        if rewrap["failed"] == 1 && rewrap["done"] == 2 {
            Ok(stored)
        } else {
            Err(stored["status"].to_string())
        }
    });
    let name = format!("{}/{}", namespace.name(), fleet.names()[0]);
    let failure = &failing["status"]["rewrap"]["failures"][0];
    assert_eq!(failure["vault"], name);
    assert_eq!(failing["status"]["rewrap"]["oldestKeyId"], old);
    assert_eq!(condition(&failing, "KeyCurrent")["status"], "False");

    provider.patch(&json!({"local": {"retire": [old]}}));
    let refused = provider.wait("Retired", "False", "InUse");
    let message = condition(&refused, "Retired")["message"].to_string();
    assert!(
        message.contains(&name) && message.contains(&old),
        "{message}"
    );
    provider.wait_event("RetireRefused: ");
    assert_eq!(provider.keyring_ids().len(), 2);

    // Without that vault's need it stays for some minutes: what was read before may need it.
    drop(held);
    provider.wait("Retired", "False", "RecentlyPrimary");
    assert_eq!(provider.keyring_ids().len(), 2);
    assert_eq!(fleet.key_ids(), [new.clone()].into());
    // The key that wraps is never retired.
    provider.patch(&json!({"local": {"retire": [new]}}));
    provider.wait("Retired", "False", "Primary");
    assert_eq!(provider.keyring_ids().len(), 2);
    fleet.assert_all_open();
}

#[test]
fn a_key_that_nothing_needs_any_more_is_taken_out_of_the_keyring() {
    let namespace = Namespace::create("rotation-retired");
    let (provider, old) = KeyProvider::with_an_old_key(namespace.name());
    let fleet = Fleet::create(&namespace, "app", 2, &provider);
    assert_eq!(provider.keyring_ids().len(), 2);
    provider.patch(&json!({"local": {"retire": [old]}}));
    provider.wait("Retired", "True", "Retired");
    assert_eq!(provider.keyring_ids(), [provider.primary()]);
    provider.wait_event("KeyRetired: ");
    fleet.assert_all_open();
    let pod = Pod::mounting("app", "app-0");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "token"), "app-0-hunter2");
}

#[test]
fn edits_in_the_middle_of_rotations_and_rotations_in_the_middle_of_edits_lose_nothing() {
    let namespace = Namespace::create("rotation-edits");
    let provider = KeyProvider::local(namespace.name()).ready();
    let value = |turn: usize| format!("{VALUE}-{turn}");
    let edited = |turn: usize| {
        vault(&provider)
            .text("token", &value(turn))
            .text("other", VALUE)
    };
    edited(0).store(&namespace);
    let rotations = 4;
    let edits = AtomicUsize::new(0);
    let turns = thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for rotation in 0..rotations {
                provider.rotate();
                // However slow the machine is.
                eventually("there were more edits than rotations", || {
                    match edits.load(Ordering::Relaxed) {
                        few if few <= rotation + 1 => Err(few),
                        _ => Ok(()),
                    }
                });
            }
        });
        let mut turn = 0;
        while !rotating.is_finished() {
            turn += 1;
            if turn % 2 == 0 {
                edited(turn).store(&namespace);
            } else {
                let _ = edited(turn).replace(&namespace).expect_success();
            }
            let held = vault(&provider).holds(&namespace, "token", &value(turn));
            assert!(held, "edit {turn} is lost");
            edits.store(turn, Ordering::Relaxed);
        }
        turn
    });
    assert!(turns > rotations, "{turns} edits only");
    let primary = provider.primary();
    eventually("the vault has the newest key", || {
        match namespace.field("sv/app", "{.spec.dataKey.keyId}") {
            key if key == primary => Ok(()),
            other => Err(other),
        }
    });
    assert_eq!(provider.keyring_ids().len(), rotations + 1);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    pod.wait_content(&namespace, "token", &value(turns));
    assert_eq!(pod.read(&namespace, "other"), VALUE);
}

#[test]
fn a_data_key_gets_no_older_than_it_may_and_pods_do_not_notice() {
    let namespace = Namespace::create("rotation-rekey");
    let provider = KeyProvider::local(namespace.name()).ready();
    let vault = vault(&provider);
    vault.store(&namespace);
    let pods = Untouched::start(&namespace);
    let first = vault.stored(&namespace)["spec"]["dataKey"].clone();
    let patch = |after: &Value| {
        let patch = json!({"spec": {"rekeyAfter": after}}).to_string();
        let patch = ["patch", "sv/app", "--type=merge", "-p", &patch];
        let _ = namespace.kubectl(&patch).expect_success();
    };
    patch(&json!("1s"));
    let stored = eventually("the vault has another data key", || {
        let stored = vault.stored(&namespace);
        if stored["spec"]["dataKey"]["id"] == first["id"] {
            Err(stored["status"].to_string())
        } else {
            Ok(stored)
        }
    });
    patch(&json!(null));
    assert!(stored["spec"]["dataKey"]["rekey"].as_u64() > first["rekey"].as_u64());
    assert!(vault.holds(&namespace, "token", VALUE));
    pods.assert_as_before(&namespace, "rekeyed");
}

#[test]
fn keys_are_rotated_by_age() {
    let namespace = Namespace::create("rotation-age");
    let provider = KeyProvider::local(namespace.name()).ready();
    let fleet = Fleet::create(&namespace, "app", 2, &provider);
    let first = provider.primary();
    provider.patch(&json!({"local": {"rotateAfter": "1s"}}));
    eventually("there is another key", || {
        let ids = provider.keyring_ids();
        if ids.len() > 1 { Ok(()) } else { Err(ids) }
    });
    provider.patch(&json!({"local": {"rotateAfter": null, "rotatedSince": now()}}));
    eventually("no vault has the first key", || {
        let ids = fleet.key_ids();
        if ids.contains(&first) {
            Err(ids)
        } else {
            Ok(())
        }
    });
    fleet.assert_all_open();
}
