use secretvault_e2e::{Namespace, NodeVolume, Pod, Vault, eventually};
use serde_json::{Value, json};

use super::{BYTES, TEXT};

/// Pods that must not notice: one by hand, and a Deployment that is rolled when its vault changes.
pub(crate) struct Untouched {
    pod: Pod,
    before: String,
}

impl Untouched {
    /// Runs them with the vault `app`.
    pub(crate) fn start(namespace: &Namespace) -> Self {
        let pod = Pod::mounting("running", "app");
        pod.run(namespace);
        let _ = namespace.apply(&deployment().to_string()).expect_success();
        let rollout = ["rollout", "status", "deployment/web", "--timeout=5m"];
        let _ = namespace.kubectl(&rollout).expect_success();
        eventually("the operator knows the consumers", || {
            match namespace
                .field("sv/app", "{.status.consumerCount}")
                .as_str()
            {
                "2" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
        let before = look(namespace);
        Self { pod, before }
    }

    /// The same files at the same place of the same mount, in the same container; the same pods of
    /// the Deployment, which nobody wanted to restart.
    pub(crate) fn assert_as_before(&self, namespace: &Namespace, stage: &str) {
        assert_eq!(look(namespace), self.before, "{stage}");
        let events = namespace.kubectl(&["get", "events"]).expect_success();
        assert!(
            !events.contains("estart is not enabled"),
            "{stage}: {events}"
        );
    }

    /// A new pod reads the same bytes.
    pub(crate) fn assert_a_new_one_reads(&self, namespace: &Namespace, stage: &str) {
        let pod = Pod::mounting(&format!("new-{stage}"), "app");
        pod.run(namespace);
        assert_eq!(pod.read(namespace, "token"), TEXT, "{stage}");
        let bytes = namespace.sh(pod.name(), "base64 /run/secrets/key.der");
        assert_eq!(bytes.expect_success().trim(), BYTES, "{stage}");
        let delete = ["delete", "pod", pod.name(), "--wait=false"];
        let _ = namespace.kubectl(&delete).expect_success();
    }

    /// The control: a changed value arrives, and is a reason to restart.
    pub(crate) fn assert_a_change_is_seen(&self, namespace: &Namespace, vault: &Vault) {
        let changed = vault.clone().text("token", "another");
        changed.store(namespace);
        self.pod.wait_content(namespace, "token", "another");
        assert_ne!(look(namespace), self.before);
        eventually("somebody wants a restart", || {
            let events = namespace.kubectl(&["get", "events"]).into_result()?;
            if events.contains("estart is not enabled") {
                Ok(())
            } else {
                Err(events)
            }
        });
    }
}

fn look(namespace: &Namespace) -> String {
    let files = "cd /run/secrets; readlink ..data; stat -c '%i %Y %n' ..data ..data/*; cat token";
    let files = namespace.sh("running", files).expect_success();
    let container = "{.status.containerStatuses[0]['containerID','restartCount']}";
    let container = namespace.field("pod/running", container);
    let mounts = NodeVolume::of(namespace, "running").mounts();
    let generation = namespace.field("deployment/web", "{.metadata.generation}");
    let pods = [
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[*].metadata.uid}",
    ];
    let pods = namespace.kubectl(&pods).expect_success();
    format!("{files}\n{container}\n{mounts:?}\n{generation}\n{pods}")
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {
                        "secretvault.dev/vaults": "app",
                        "secretvault.dev/on-change": "restart",
                    },
                },
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "app",
                        "image": "busybox:stable",
                        "command": ["sleep", "infinity"],
                    }],
                },
            },
        },
    })
}
