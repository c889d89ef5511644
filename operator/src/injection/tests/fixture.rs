//! A pod, a vault, and what becomes of the pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use secretvault_crds::SecretVault;
use secretvault_vault::labels_of_name;
use serde_json::{Value, json};

use crate::{
    config::PullPolicy,
    injection::{Known, Launcher, Refusal, inject},
    vaults::Vaults,
};

/// The pod `shop/web` of a container `app`, annotated with the vault `app` and these.
pub(super) fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"secretvault.dev/vaults": "app"}},
        "spec": {"containers": [{"name": "app", "image": "i", "command": ["serve"]}]},
    });
    for (name, text) in annotations {
        pod["metadata"]["annotations"][format!("secretvault.dev/{name}")] = json!(text);
    }
    pod
}

/// A vault with these entries.
pub(super) fn vault(namespace: &str, name: &str, entries: &[&str]) -> SecretVault {
    let entries = entries
        .iter()
        .map(|entry| ((*entry).to_owned(), json!("v")));
    let entries: serde_json::Map<String, Value> = entries.collect();
    serde_json::from_value(json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"namespace": namespace, "name": name, "uid": "u", "generation": 1},
        "spec": {"publicData": entries},
    }))
    .unwrap()
}

/// What a webhook knows.
pub(super) struct Scene {
    pub(super) vaults: Option<Vaults>,
    pub(super) namespace_labels: Option<BTreeMap<String, String>>,
    pub(super) launcher: Option<Launcher>,
}

impl Scene {
    /// The vault `shop/app` with `db/password` and `smtp/token`.
    pub(super) fn with_a_vault() -> Self {
        Self::with([vault("shop", "app", &["db/password", "smtp/token"])])
    }

    pub(super) fn with<const N: usize>(vaults: [SecretVault; N]) -> Self {
        Self {
            vaults: Some(Vaults::of(vaults)),
            namespace_labels: Some(labels_of_name("shop")),
            launcher: Some(Launcher {
                image: "launcher:1".to_owned(),
                pull_policy: PullPolicy::IfNotPresent,
            }),
        }
    }

    /// The pod as it is created, after a second look that changes nothing.
    pub(super) fn injected(&self, pod: &Value) -> Value {
        self.admitted(pod).0
    }

    /// The same with the warnings.
    pub(super) fn admitted(&self, pod: &Value) -> (Value, Vec<String>) {
        let (once, warnings) = self.patched(pod).unwrap();
        let (twice, _) = self.patched(&once).unwrap();
        assert_eq!(twice, once, "a second look changes something");
        (once, warnings)
    }

    pub(super) fn warnings(&self, pod: &Value) -> String {
        self.admitted(pod).1.join("\n")
    }

    pub(super) fn refusal(&self, pod: &Value) -> String {
        self.patched(pod).unwrap_err().to_string()
    }

    pub(super) fn patched(&self, pod: &Value) -> Result<(Value, Vec<String>), Refusal> {
        let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
        let known = Known {
            vaults: self.vaults.as_ref(),
            namespace_labels: self.namespace_labels.as_ref(),
        };
        let decision = inject(&typed, "shop", known, self.launcher.as_ref())?;
        let mut pod = pod.clone();
        json_patch::patch(&mut pod, &decision.patch).unwrap();
        Ok((pod, decision.warnings))
    }
}
