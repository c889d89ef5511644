use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::SYSTEM;
use crate::api;
use crate::kubectl::kubectl_with;
use crate::vault::Vault;
use crate::wait::eventually;

/// A key provider of a test's own. Deleted when it drops, with its keyring if it has one.
pub struct KeyProvider {
    name: String,
    spec: Value,
}

impl KeyProvider {
    /// One with a keyring in the Secret of its own name, which the operator makes.
    #[must_use]
    pub fn local(name: &str) -> Self {
        let keyring = json!({"keyring": {"secret": {"name": name}}});
        Self {
            name: name.to_owned(),
            spec: json!({"local": keyring}),
        }
    }

    /// One with this `spec.vaultTransit`.
    #[must_use]
    pub fn transit(name: &str, transit: &Value) -> Self {
        Self {
            name: name.to_owned(),
            spec: json!({"vaultTransit": transit}),
        }
    }

    /// One whose keyring is there already, with two keys that were made long ago. Returns it with the
    /// id of the one that does not wrap.
    #[must_use]
    pub fn with_an_old_key(name: &str) -> (Self, String) {
        let random = name.rsplit('-').next().unwrap_or_default();
        let key = |digit: &str, byte: u8, created: &str| {
            let key = BASE64_STANDARD.encode([byte; 32]);
            json!({"id": digit.repeat(16), "key": key, "created": created})
        };
        let keyring = json!({
            "version": 1,
            // A keyring of its own: a namespace's name ends with eight random digits.
            "id": random.repeat(4),
            "primary": "2".repeat(16),
            "keys": [key("2", 2, "2026-02-01T00:00:00Z"), key("1", 1, "2026-01-01T00:00:00Z")],
        });
        put_keyring(name, &keyring.to_string());
        (Self::local(name).ready(), "1".repeat(16))
    }

    /// Sets a field of `spec`.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    /// Applies it and waits until it can be used: of a server, by every replica of the operator. Its
    /// status tells what one of them found.
    #[must_use]
    pub fn ready(self) -> Self {
        self.apply();
        self.wait("Ready", "True", "");
        if self.spec["vaultTransit"].is_object() {
            wait_for_all_replicas(&self.name, "default");
        }
        self
    }

    /// Applies it.
    pub fn apply(&self) {
        let manifest = json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "KeyProvider",
            "metadata": {"name": self.name},
            "spec": self.spec,
        });
        let _ = kubectl_with(&["apply", "-f", "-"], &manifest.to_string()).expect_success();
    }

    /// Changes fields of `spec`; null takes one out.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn patch(&self, spec: &Value) {
        let patched = api::merge("", &self.object(), &json!({"spec": spec}));
        let _ = patched.unwrap_or_else(|error| panic!("{}: {error}", self.object()));
    }

    /// Asks for a new key of the keyring, and waits until it wraps. Returns its id and the last one.
    pub fn rotate(&self) -> (String, String) {
        let before = self.primary();
        self.patch(&json!({"local": {"rotatedSince": now()}}));
        let after = eventually(&format!("{} has a new key", self.object()), || {
            match self.primary() {
                same if same == before => Err(self.stored()["status"].to_string()),
                other => Ok(other),
            }
        });
        (after, before)
    }

    /// The key that wraps, as the status says.
    #[must_use]
    pub fn primary(&self) -> String {
        let primary = &self.stored()["status"]["primaryKeyId"];
        primary.as_str().unwrap_or_default().to_owned()
    }

    /// The keyring's document.
    #[must_use]
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    pub fn keyring(&self) -> String {
        let secret = api::get(SYSTEM, &format!("secret/{}", self.name)).expect("a stored keyring");
        let document = secret["data"]["keyring"].as_str().unwrap_or_default();
        let document = BASE64_STANDARD.decode(document).expect("base64");
        String::from_utf8(document).expect("text")
    }

    /// Puts a document in the keyring's place, as from a backup.
    pub fn put_keyring(&self, document: &str) {
        put_keyring(&self.name, document);
    }

    /// The ids in the keyring.
    #[must_use]
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    pub fn keyring_ids(&self) -> Vec<String> {
        let keyring: Value = serde_json::from_str(&self.keyring()).expect("JSON");
        let keys = keyring["keys"].as_array().expect("keys");
        let ids = keys.iter().filter_map(|key| key["id"].as_str());
        ids.map(str::to_owned).collect()
    }

    /// Waits until a condition of the present spec has this status and this reason (empty: any),
    /// and returns the object.
    pub fn wait(&self, kind: &str, status: &str, reason: &str) -> Value {
        let what = format!("{} has {kind}={status} {reason}", self.object());
        eventually(&what, || {
            let stored = self.stored();
            let found = condition(&stored, kind);
            let matches = found["status"] == status
                && (reason.is_empty() || found["reason"] == reason)
                && found["observedGeneration"] == stored["metadata"]["generation"];
            if matches {
                Ok(stored)
            } else {
                Err(stored["status"].to_string())
            }
        })
    }

    /// The stored object.
    #[must_use]
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    pub fn stored(&self) -> Value {
        api::get("", &self.object()).expect("a stored provider")
    }

    /// Waits until an Event about it says this. It may come some moments after the status.
    pub fn wait_event(&self, text: &str) {
        eventually(
            &format!("an Event of {} says {text:?}", self.object()),
            || {
                let events = self.events();
                if events.contains(text) {
                    Ok(())
                } else {
                    Err(events)
                }
            },
        );
    }

    /// The messages of all Events about it, joined by lines.
    #[must_use]
    pub fn events(&self) -> String {
        let of = format!(
            "involvedObject.kind=KeyProvider,involvedObject.name={}",
            self.name
        );
        api::events("/api/v1", &of)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn object(&self) -> String {
        format!("keyprovider/{}", self.name)
    }
}

impl Drop for KeyProvider {
    fn drop(&mut self) {
        let _ = api::delete("", &self.object());
        if self.spec["local"].is_object() {
            let _ = api::delete(SYSTEM, &format!("secret/{}", self.name));
        }
    }
}

/// Waits until every replica of the operator can wrap with a provider, for vaults of this namespace.
pub fn wait_for_all_replicas(provider: &str, namespace: &str) {
    let vault = Vault::named(provider).text("token", "none");
    let vault = vault.spec("keyProvider", json!(provider)).manifest();
    let vault = serde_json::from_str(&vault).unwrap_or_default();
    let path = format!("{}?dryRun=All", api::path(namespace, "sv"));
    let mut sealed = 0;
    eventually(&format!("every replica can use {provider}"), || {
        let answer = api::ask(&Method::POST, &path, Some(&vault));
        sealed = if answer.is_ok() { sealed + 1 } else { 0 };
        if sealed >= 6 { Ok(()) } else { Err(answer) }
    });
}

fn put_keyring(name: &str, document: &str) {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM},
        "data": {"keyring": BASE64_STANDARD.encode(document)},
    });
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let _ = kubectl_with(&apply, &secret.to_string()).expect_success();
}

/// A condition of an object; null if it has none of that type.
#[must_use]
pub fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array();
    let found = all.and_then(|all| all.iter().find(|it| it["type"] == kind));
    found.cloned().unwrap_or_default()
}

/// The present time as the API has it: in whole seconds, of which a new one has begun. So all that was
/// made before the call is older.
#[must_use]
pub fn now() -> String {
    std::thread::sleep(std::time::Duration::from_secs(1));
    let date = crate::kubectl::run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
    date.expect_success().trim().to_owned()
}
