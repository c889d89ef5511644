//! Key providers: what works without the keyring, what does not, and that none is ever made in
//! place of one that is lost.
//!
//! Each test has a key provider of its own, with a keyring in a Secret of its own. The provider
//! `default` differs from these by its name only.

mod backup;
mod command;
mod machine;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_e2e::{Answer, Namespace, Pod, SYSTEM, Vault, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-keyring";
const NEW: &str = "correct-horse-keyring";

/// A key provider of the test's own. Deleted with its keyring when it drops.
struct Provider {
    name: String,
}

impl Provider {
    /// One whose keyring is not there: the operator makes it.
    fn create(namespace: &Namespace) -> Self {
        let provider = Self::over_existing_keyring(namespace);
        provider.apply();
        provider.wait("True", "KeyringReady");
        provider
    }

    /// One that is not applied yet.
    fn over_existing_keyring(namespace: &Namespace) -> Self {
        Self {
            name: namespace.name().to_owned(),
        }
    }

    fn apply(&self) {
        let manifest = json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "KeyProvider",
            "metadata": {"name": self.name},
            "spec": {"local": {"keyring": {"secret": {"name": self.name}}}},
        });
        let _ = kubectl_with(&["apply", "-f", "-"], &manifest.to_string()).expect_success();
    }

    fn delete(&self) {
        let _ = kubectl(&["delete", "keyprovider", &self.name]).expect_success();
    }

    /// Waits until the provider says so, and returns it.
    fn wait(&self, status: &str, reason: &str) -> Value {
        eventually(&format!("KeyProvider {} says {reason}", self.name), || {
            let answer = kubectl(&["get", "keyprovider", &self.name, "-o", "json"]);
            let provider: Value = serde_json::from_str(&answer.into_result()?).unwrap();
            let ready = &provider["status"]["conditions"][0];
            if ready["status"] == status && ready["reason"] == reason {
                Ok(provider)
            } else {
                Err(ready.to_string())
            }
        })
    }

    /// The keyring's Secret, as a backup keeps it; none if there is none.
    fn keyring(&self) -> Option<Value> {
        let get = [
            "get",
            "secret",
            &self.name,
            "-n",
            SYSTEM,
            "-o",
            "json",
            "--ignore-not-found",
        ];
        let text = kubectl(&get).expect_success();
        serde_json::from_str(&text).ok()
    }

    fn delete_keyring(&self) {
        let _ = kubectl(&["delete", "secret", &self.name, "-n", SYSTEM]).expect_success();
    }

    /// Puts this under the keyring's key, whatever is there.
    fn put_keyring(&self, document: &str) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": SYSTEM},
            "data": {"keyring": BASE64_STANDARD.encode(document)},
        });
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let _ = kubectl_with(&apply, &secret.to_string()).expect_success();
    }

    fn vault(&self) -> Vault {
        Vault::named("app")
            .text("db/password", VALUE)
            .spec("keyProvider", json!(self.name))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "keyprovider", &self.name, "--ignore-not-found"]);
        let place = ["-n", SYSTEM, "--ignore-not-found"];
        let _ = kubectl(&[&["delete", "secret", &self.name], &place[..]].concat());
    }
}

/// The text of a keyring's document.
fn document(secret: &Value) -> String {
    let encoded = secret["data"]["keyring"].as_str().unwrap();
    String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
}

/// A new value for the vault, from a person who sees what the API server answered.
fn change(namespace: &Namespace) -> Answer {
    let patch = json!({"spec": {"data": {"db/password": NEW}}}).to_string();
    // Level 6 prints the HTTP status of each response, and no body.
    namespace.kubectl(&["patch", "sv/app", "--type=merge", "-v=6", "-p", &patch])
}

/// Waits until every replica knows, and checks how each refuses: nothing is stored.
fn assert_no_usable_key(namespace: &Namespace, vault: &Vault, says: &[&str]) {
    let before = vault.stored(namespace);
    let new = vault.clone().renamed("new");
    let dry_run = ["create", "--dry-run=server", "-f", "-"];
    let mut refused = 0;
    eventually("no replica finds a usable key", || {
        let answer = namespace.kubectl_with(&dry_run, &new.manifest());
        refused = if answer.succeeded { 0 } else { refused + 1 };
        if refused >= 8 { Ok(()) } else { Err(refused) }
    });
    let says = [&["ServiceUnavailable", "no usable key: "], says].concat();
    new.create(namespace).expect_refusal(&says, VALUE);
    new.apply_server_side(namespace)
        .expect_refusal(&says, VALUE);
    assert!(!new.is_stored(namespace));
    let answer = change(namespace);
    assert!(
        answer.stderr.contains("503 Service Unavailable"),
        "{}",
        answer.stderr
    );
    assert!(!answer.succeeded);
    let after = vault.stored(namespace);
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(
        after["metadata"]["generation"],
        before["metadata"]["generation"]
    );
}

/// What needs no key, because nothing is sealed or opened for it.
fn assert_what_needs_no_key_works(namespace: &Namespace, vault: &Vault) {
    let before = vault.wait_condition(namespace, "False");
    let ready = &before["status"]["conditions"][0];
    assert_eq!(ready["reason"], "KeyUnavailable");
    let _ = namespace
        .kubectl(&["label", "sv/app", "team=shop", "--overwrite"])
        .expect_success();
    let envelopes = Vault::from_backup(&before);
    let _ = envelopes.replace(namespace).expect_success();
    let _ = envelopes.apply_server_side(namespace).expect_success();
    let described = json!({"spec": {"description": ready["message"]}}).to_string();
    let _ = namespace
        .kubectl(&["patch", "sv/app", "--type=merge", "-p", &described])
        .expect_success();
    let after = vault.wait_condition(namespace, "False");
    assert_ne!(
        after["metadata"]["generation"],
        before["metadata"]["generation"]
    );
    assert_eq!(after["status"]["entries"], before["status"]["entries"]);
    assert_eq!(after["spec"]["data"], before["spec"]["data"]);
}

/// The vault opens again, holds what it held, and takes a new value.
fn assert_recovered(namespace: &Namespace, provider: &Provider) {
    provider.wait("True", "KeyringReady");
    let vault = provider.vault();
    vault.wait_ready(namespace);
    eventually("every replica has the key again", || {
        change(namespace).into_result()
    });
    assert!(vault.holds(namespace, "db/password", NEW));
    vault.wait_ready(namespace);
}

#[test]
fn a_key_provider_with_an_absent_secret_gets_a_keyring_and_vaults_are_sealed_with_it() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let vault = provider.vault();
    vault.store(&namespace);
    let stored = vault.wait_ready(&namespace);
    let status = eventually("the provider counts the vault", || {
        let status = provider.wait("True", "KeyringReady")["status"].clone();
        if status["vaults"] == 1 {
            Ok(status)
        } else {
            Err(status)
        }
    });
    assert_eq!(stored["spec"]["dataKey"]["provider"], json!(provider.name));
    assert_eq!(stored["spec"]["dataKey"]["keyId"], status["primaryKeyId"]);
    let keyring: Value = serde_json::from_str(&document(&provider.keyring().unwrap())).unwrap();
    assert_eq!(keyring["id"], status["scope"]);
    assert_eq!(keyring["primary"], status["primaryKeyId"]);
    assert_eq!(keyring["keys"].as_array().unwrap().len(), 1);
    let source = status["keyringSource"].as_str().unwrap();
    assert!(
        source.contains("a stolen backup of etcd yields the keyring"),
        "{source}"
    );
}

#[test]
fn a_keyring_outlives_its_provider_and_is_found_again() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let vault = provider.vault();
    vault.store(&namespace);
    vault.wait_ready(&namespace);
    let before = provider.keyring();
    assert!(before.is_some());
    provider.delete();
    let says = ["there is no KeyProvider", &provider.name, "create it"];
    assert_no_usable_key(&namespace, &vault, &says);
    assert_what_needs_no_key_works(&namespace, &vault);
    provider.apply();
    assert_recovered(&namespace, &provider);
    assert_eq!(provider.keyring(), before);
}

#[test]
fn a_lost_keyring_is_told_and_never_made_anew_and_with_its_backup_all_is_as_before() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let vault = provider.vault();
    vault.store(&namespace);
    let before = vault.wait_ready(&namespace);
    let backup = document(&provider.keyring().unwrap());
    provider.delete_keyring();
    let lost = provider.wait("False", "KeyringMissing");
    let message = lost["status"]["conditions"][0]["message"].as_str().unwrap();
    let scope = lost["status"]["scope"].as_str().unwrap();
    for text in ["1 vault is sealed with", scope, "restore it from backup"] {
        assert!(message.contains(text), "{text}: {message}");
    }

    let says = [
        "is not ready",
        "there is no Secret",
        "restore it from backup",
    ];
    assert_no_usable_key(&namespace, &vault, &says);
    assert_what_needs_no_key_works(&namespace, &vault);
    // Another provider's keyring is made meanwhile: a whole round passed this one over.
    let later = Namespace::create("keyring-later");
    let _later = Provider::create(&later);
    assert_eq!(provider.keyring(), None);

    provider.put_keyring(&backup);
    assert_recovered(&namespace, &provider);
    assert_eq!(
        vault.stored(&namespace)["spec"]["dataKey"],
        before["spec"]["dataKey"]
    );
}

#[test]
fn a_lost_keyring_that_nothing_is_sealed_with_is_made_anew() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let first = document(&provider.keyring().unwrap());
    provider.delete_keyring();
    eventually("a keyring is made", || provider.keyring().ok_or("none"));
    provider.wait("True", "KeyringReady");
    assert_ne!(document(&provider.keyring().unwrap()), first);
}

#[test]
fn a_broken_keyring_is_told_without_its_content_and_stays_as_it_is() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let vault = provider.vault();
    vault.store(&namespace);
    vault.wait_ready(&namespace);
    let backup = document(&provider.keyring().unwrap());
    let broken = backup.replace("\"version\"", "\"vision\"");
    provider.put_keyring(&broken);
    let ready = provider.wait("False", "KeyringInvalid")["status"]["conditions"][0].clone();
    let keyring: Value = serde_json::from_str(&backup).unwrap();
    let key = keyring["keys"][0]["key"].as_str().unwrap();
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("does not hold a keyring"), "{message}");
    assert!(!message.contains(key), "{message}");

    assert_no_usable_key(&namespace, &vault, &["does not hold a keyring"]);
    assert_what_needs_no_key_works(&namespace, &vault);
    assert_eq!(document(&provider.keyring().unwrap()), broken);
    provider.put_keyring(&backup);
    assert_recovered(&namespace, &provider);
}

#[test]
fn a_keyring_with_a_key_of_another_length_is_refused() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let backup = document(&provider.keyring().unwrap());
    let keyring: Value = serde_json::from_str(&backup).unwrap();
    let key = keyring["keys"][0]["key"].as_str().unwrap();
    for length in [16, 31, 33] {
        let other = BASE64_STANDARD.encode(vec![7; length]);
        provider.put_keyring(&backup.replace(key, &other));
        provider.wait("False", "KeyringInvalid");
        provider.put_keyring(&backup);
        provider.wait("True", "KeyringReady");
    }
}

#[test]
fn another_keyring_in_the_place_of_the_right_one_opens_nothing_and_harms_nothing() {
    let namespace = Namespace::create("keyring");
    let provider = Provider::create(&namespace);
    let vault = provider.vault();
    vault.store(&namespace);
    vault.wait_ready(&namespace);
    let right = document(&provider.keyring().unwrap());
    provider.put_keyring(&command::generate());
    let unavailable = vault.wait_condition(&namespace, "False");
    let ready = &unavailable["status"]["conditions"][0];
    assert_eq!(ready["reason"], "KeyUnavailable");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("restore the keyring that holds it"),
        "{message}"
    );
    eventually("a new value is refused", || {
        let answer = change(&namespace);
        if answer.stderr.contains("restore the keyring that holds it") {
            Ok(())
        } else {
            Err(answer.stderr)
        }
    });
    provider.put_keyring(&right);
    assert_recovered(&namespace, &provider);
}

#[test]
fn a_withdrawn_right_takes_its_file_away_also_while_another_vault_has_no_key() {
    let namespace = Namespace::create("keyring-withdrawn");
    let provider = Provider::create(&namespace);
    provider.vault().store(&namespace);
    let allowing = |entry: &str| {
        Vault::named("shared")
            .text("kept", VALUE)
            .text("withdrawn", VALUE)
            .spec("access", json!([{"entries": ["kept", entry]}]))
    };
    allowing("withdrawn").store(&namespace);
    let pod = Pod::mounting("app", "app, shared");
    pod.run(&namespace);
    provider.delete_keyring();
    provider.wait("False", "KeyringMissing");
    allowing("kept").store(&namespace);
    eventually("the withdrawn file goes", || {
        let listed = namespace.sh("app", "ls /run/secrets").expect_success();
        if listed.contains("withdrawn") {
            Err(listed)
        } else {
            Ok(())
        }
    });
    assert_eq!(pod.read(&namespace, "kept"), VALUE);
    assert_eq!(pod.read(&namespace, "db/password"), VALUE);
}
