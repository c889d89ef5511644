//! A backup of the keyring that is older than its newest key.

use secretvault_e2e::{KeyProvider, Namespace, Pod, Vault, condition, eventually};
use serde_json::json;

use super::VALUE;

#[test]
fn a_backup_from_before_a_rotation_is_told_and_left_alone_and_with_a_later_one_everything_opens() {
    let namespace = Namespace::create("keyring-backup");
    let provider = KeyProvider::local(namespace.name()).ready();
    let vault = Vault::named("app").text("token", VALUE);
    let vault = vault.spec("keyProvider", json!(provider.name()));
    vault.store(&namespace);
    let running = Pod::mounting("running", "app");
    running.run(&namespace);
    let early = provider.keyring();
    let (new, _) = provider.rotate();
    eventually("the vault has the new key", || {
        match namespace.field("sv/app", "{.spec.dataKey.keyId}") {
            key if key == new => Ok(()),
            other => Err(other),
        }
    });
    let late = provider.keyring();

    provider.put_keyring(&early);
    let lost = vault.wait_condition(&namespace, "False");
    let ready = condition(&lost, "Ready");
    assert_eq!(ready["reason"], "KeyUnavailable");
    let message = ready["message"].as_str().unwrap();
    for text in [new.as_str(), "restore the keyring", "that holds it"] {
        assert!(message.contains(text), "{text}: {message}");
    }
    let waiting = Pod::mounting("waiting", "app");
    waiting.create(&namespace);
    waiting.wait_event(&namespace, "restore the keyring");
    assert_eq!(running.read(&namespace, "token"), VALUE);
    // Its key is older than the provider asks for, but a new one would be lost with the next restore.
    assert_eq!(provider.keyring(), early);

    provider.put_keyring(&late);
    waiting.wait_ready(&namespace);
    assert_eq!(waiting.read(&namespace, "token"), VALUE);
    vault.wait_ready(&namespace);
    assert_eq!(provider.keyring(), late);
}
