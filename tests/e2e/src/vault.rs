use std::iter;

use serde_json::{Value, json};

use crate::api;
use crate::kubectl::{Answer, Namespace};
use crate::provider::condition;
use crate::wait::eventually;

/// A vault to be applied, as a person would write it.
#[derive(Clone)]
pub struct Vault {
    name: String,
    manifest: Value,
}

impl Vault {
    /// An empty vault.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let manifest = json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "SecretVault",
            "metadata": {"name": name},
            "spec": {},
        });
        Self {
            name: name.to_owned(),
            manifest,
        }
    }

    /// The manifest of a stored object, as a backup keeps it: without what the API server adds.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a stored vault has a name")]
    pub fn from_backup(stored: &Value) -> Self {
        let name = stored["metadata"]["name"].as_str().expect("a stored vault");
        let mut vault = Self::named(name);
        vault.manifest["spec"] = stored["spec"].clone();
        vault
    }

    /// Adds an entry to `data`.
    #[must_use]
    pub fn text(self, entry: &str, value: &str) -> Self {
        self.value("data", entry, json!(value))
    }

    /// Adds an entry to `binaryData`: base64.
    #[must_use]
    pub fn binary(self, entry: &str, base64: &str) -> Self {
        self.value("binaryData", entry, json!(base64))
    }

    /// Adds an entry to `publicData`.
    #[must_use]
    pub fn public(self, entry: &str, value: &str) -> Self {
        self.value("publicData", entry, json!(value))
    }

    /// Adds an entry to one of the four maps, of whatever type.
    #[must_use]
    pub fn value(mut self, map: &str, entry: &str, value: Value) -> Self {
        self.manifest["spec"][map][entry] = value;
        self
    }

    /// Takes an entry out of a map.
    #[must_use]
    pub fn without(mut self, map: &str, entry: &str) -> Self {
        if let Some(entries) = self.manifest["spec"][map].as_object_mut() {
            entries.remove(entry);
        }
        self
    }

    /// Sets a field of `spec`; null takes it out.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.manifest["spec"][field] = value;
        if let Some(spec) = self.manifest["spec"].as_object_mut() {
            spec.retain(|_, value| !value.is_null());
        }
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.metadata("annotations", key, value)
    }

    /// Sets a label.
    #[must_use]
    pub fn label(self, key: &str, value: &str) -> Self {
        self.metadata("labels", key, value)
    }

    fn metadata(mut self, field: &str, key: &str, value: &str) -> Self {
        self.manifest["metadata"][field][key] = json!(value);
        self
    }

    /// Gives it another name.
    #[must_use]
    pub fn renamed(mut self, name: &str) -> Self {
        self.manifest["metadata"]["name"] = json!(name);
        name.clone_into(&mut self.name);
        self
    }

    /// The manifest, to be applied.
    #[must_use]
    pub fn manifest(&self) -> String {
        self.manifest.to_string()
    }

    /// Stores it as it is, for a test that is not about how: as `kubectl apply --server-side
    /// --force-conflicts` would, without a process.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn store(&self, namespace: &Namespace) {
        let stored = api::apply(namespace.name(), &self.object(), &self.manifest);
        let _ = stored.unwrap_or_else(|error| panic!("{}: {error}", self.object()));
    }

    /// As `kubectl apply -f -`.
    #[must_use]
    pub fn apply(&self, namespace: &Namespace) -> Answer {
        namespace.apply(&self.manifest())
    }

    /// As `kubectl create -f -`.
    #[must_use]
    pub fn create(&self, namespace: &Namespace) -> Answer {
        namespace.kubectl_with(&["create", "-f", "-"], &self.manifest())
    }

    /// As `kubectl replace -f -`.
    #[must_use]
    pub fn replace(&self, namespace: &Namespace) -> Answer {
        unless_modified(|| namespace.kubectl_with(&["replace", "-f", "-"], &self.manifest()))
    }

    /// As `kubectl apply --server-side -f -`.
    #[must_use]
    pub fn apply_server_side(&self, namespace: &Namespace) -> Answer {
        namespace.kubectl_with(&["apply", "--server-side", "-f", "-"], &self.manifest())
    }

    /// The stored object.
    #[must_use]
    pub fn stored(&self, namespace: &Namespace) -> Value {
        namespace.get(&self.object())
    }

    /// Whether there is a stored object.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn is_stored(&self, namespace: &Namespace) -> bool {
        match namespace.try_get(&self.object()) {
            Ok(_) => true,
            Err(error) if error.contains("NotFound") => false,
            Err(error) => panic!("get {}: {error}", self.object()),
        }
    }

    /// Whether an entry of `data` holds this value. There is no read-back: asked of a dry run, in
    /// which the same value keeps its envelope.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn holds(&self, namespace: &Namespace, entry: &str, value: &str) -> bool {
        let patch = json!({"spec": {"data": {entry: value}}});
        let answer = api::try_merge(namespace.name(), &self.object(), &patch, &[]);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", self.object()));
        let stored = self.stored(namespace);
        let envelope = |vault: &Value| vault["spec"]["data"][entry].as_str().map(str::to_owned);
        envelope(&stored).is_some() && envelope(&stored) == envelope(&answer)
    }

    /// Waits until the status speaks of the stored spec and says Ready, and returns the object.
    pub fn wait_ready(&self, namespace: &Namespace) -> Value {
        self.wait_condition(namespace, "True")
    }

    /// Waits until the status speaks of the stored spec and Ready has this status.
    pub fn wait_condition(&self, namespace: &Namespace, status: &str) -> Value {
        let object = self.object();
        eventually(&format!("{object} has Ready={status}"), || {
            let vault = namespace.try_get(&object)?;
            let generation = &vault["metadata"]["generation"];
            let ready = condition(&vault, "Ready");
            if ready["status"] == status && ready["observedGeneration"] == *generation {
                Ok(vault)
            } else {
                Err(vault["status"].to_string())
            }
        })
    }

    /// As kubectl names it: `sv/NAME`.
    #[must_use]
    pub fn object(&self) -> String {
        format!("sv/{}", self.name)
    }
}

/// The answer to `kubectl replace`, which reads before it writes: where the operator wrote a status in
/// between, one tries again.
pub fn unless_modified(replace: impl Fn() -> Answer) -> Answer {
    let modified = |answer: &Answer| answer.stderr.contains("the object has been modified");
    let mut answers = iter::repeat_with(&replace).take(10);
    let first = answers.find(|answer| !modified(answer));
    first.unwrap_or_else(replace)
}
