use serde_json::{Value, json};

use crate::api;
use crate::kubectl::Namespace;
use crate::wait::eventually;

/// A pod that mounts vaults at `/run/secrets` and sleeps.
#[derive(Clone)]
pub struct Pod {
    name: String,
    manifest: Value,
}

impl Pod {
    /// A pod that mounts these vaults, as in the volume attribute `vaults`.
    #[must_use]
    pub fn mounting(name: &str, vaults: &str) -> Self {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "app",
                    "image": "busybox:stable",
                    "command": ["sleep", "infinity"],
                    "volumeMounts": [{"name": "secrets", "mountPath": "/run/secrets", "readOnly": true}],
                }],
                "volumes": [{
                    "name": "secrets",
                    "csi": {
                        "driver": "csi.secretvault.dev",
                        "readOnly": true,
                        "volumeAttributes": {"vaults": vaults},
                    },
                }],
            },
        });
        Self {
            name: name.to_owned(),
            manifest,
        }
    }

    /// Sets a volume attribute.
    #[must_use]
    pub fn attribute(self, key: &str, value: &str) -> Self {
        self.with(
            &format!("/spec/volumes/0/csi/volumeAttributes/{key}"),
            json!(value),
        )
    }

    /// Sets a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.manifest["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Runs on this node.
    #[must_use]
    pub fn on(self, node: &str) -> Self {
        self.with("/spec/nodeName", json!(node))
    }

    /// Runs as this service account.
    #[must_use]
    pub fn service_account(self, name: &str) -> Self {
        self.with("/spec/serviceAccountName", json!(name))
    }

    /// Gives the container a second to end. Without, the API server forgets a deleted pod at once,
    /// before its node has taken it down.
    #[must_use]
    pub fn that_ends_in_order(self) -> Self {
        self.with("/spec/terminationGracePeriodSeconds", json!(1))
    }

    /// Sets any field: a JSON Pointer whose parent exists.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test names a place that exists")]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, member) = pointer.rsplit_once('/').expect("a JSON Pointer");
        let parent = self
            .manifest
            .pointer_mut(parent)
            .expect("the parent exists");
        parent[member] = value;
        self
    }

    /// The manifest, to be applied.
    #[must_use]
    pub fn manifest(&self) -> String {
        self.manifest.to_string()
    }

    /// Creates the pod and waits until it runs.
    pub fn run(&self, namespace: &Namespace) {
        self.create(namespace);
        self.wait_ready(namespace);
    }

    /// Creates the pod.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn create(&self, namespace: &Namespace) {
        let created = api::create(namespace.name(), "pod", &self.manifest);
        let _ = created.unwrap_or_else(|error| panic!("pod {}: {error}", self.name));
    }

    /// Waits until the pod is Ready.
    pub fn wait_ready(&self, namespace: &Namespace) {
        let object = format!("pod/{}", self.name);
        eventually(&format!("{object} runs"), || {
            let pod = namespace.try_get(&object)?;
            let conditions = pod["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let ready = conditions
                .iter()
                .any(|it| it["type"] == "Ready" && it["status"] == "True");
            if ready {
                Ok(())
            } else {
                Err(namespace.events(&self.name))
            }
        });
    }

    /// Waits until an Event about the pod contains a text.
    pub fn wait_event(&self, namespace: &Namespace, text: &str) -> String {
        eventually(
            &format!("an Event of pod {} says {text:?}", self.name),
            || {
                let events = namespace.events(&self.name);
                if events.contains(text) {
                    Ok(events)
                } else {
                    Err(events)
                }
            },
        )
    }

    /// Waits until an Event says that the volume cannot be mounted and why. Of a pod that runs, an
    /// Event of another kind may say the same words.
    pub fn wait_refused(&self, namespace: &Namespace, why: &str) {
        eventually(
            &format!("pod {} is not mounted: {why:?}", self.name),
            || {
                let events = namespace.events(&self.name);
                let failed = events.lines().filter(|it| it.starts_with("FailedMount: "));
                if failed.into_iter().any(|line| line.contains(why)) {
                    Ok(())
                } else {
                    Err(events)
                }
            },
        );
    }

    /// The content of a file in the volume.
    #[must_use]
    pub fn read(&self, namespace: &Namespace, path: &str) -> String {
        namespace
            .kubectl(&[
                "exec",
                &self.name,
                "--",
                "cat",
                &format!("/run/secrets/{path}"),
            ])
            .expect_success()
    }

    /// Waits until a file in the volume has this content.
    pub fn wait_content(&self, namespace: &Namespace, path: &str, content: &str) {
        eventually(
            &format!("{path} in pod {} holds {content:?}", self.name),
            || {
                let path = format!("/run/secrets/{path}");
                let seen = namespace
                    .kubectl(&["exec", &self.name, "--", "cat", &path])
                    .into_result();
                if seen.as_deref() == Ok(content) {
                    Ok(())
                } else {
                    Err(seen)
                }
            },
        );
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
