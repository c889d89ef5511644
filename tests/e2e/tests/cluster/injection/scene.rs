//! Annotated pods, and what the API server makes of them.

use secretvault_e2e::{Answer, Namespace, SYSTEM, Vault, eventually, kubectl};
use serde_json::{Value, json};

/// A namespace with the vault `app`.
pub(super) struct Scene {
    pub(super) namespace: Namespace,
}

impl Scene {
    pub(super) fn new(prefix: &str) -> Self {
        let namespace = Namespace::create(prefix);
        let vault = Vault::named("app")
            .text("db/password", PASSWORD)
            .text("smtp/token", "t-1");
        vault.store(&namespace);
        Self { namespace }
    }

    /// Creates an object; its output, and on standard error the API server's warnings.
    pub(super) fn create(&self, object: &Value) -> Answer {
        let create = ["create", "-f", "-"];
        self.namespace.kubectl_with(&create, &object.to_string())
    }

    /// Has an object admitted, without creating it.
    pub(super) fn dry_run(&self, object: &Value) -> Answer {
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        self.namespace.kubectl_with(&create, &object.to_string())
    }

    /// The object as it would be stored.
    pub(super) fn admitted(&self, object: &Value) -> Value {
        serde_json::from_str(&self.dry_run(object).expect_success()).unwrap()
    }

    /// Waits until all containers of a pod that have ended or run have logged this.
    pub(super) fn wait_logs(&self, of: &[&str], says: &str) {
        eventually(&format!("{of:?} log {says:?}"), || {
            let logs = self.namespace.kubectl(&[&["logs"], of].concat());
            let logs = logs.into_result()?;
            if logs == says { Ok(()) } else { Err(logs) }
        });
    }
}

/// What the vault `app` has as `db/password`.
pub(super) const PASSWORD: &str = "hunter2";

/// That, as [`reader`] logs it.
pub(super) const LOGGED: &str = "hunter2\n";

/// A container that shows the file to which `DB_PASSWORD_FILE` leads. With a line's end: without,
/// containerd shows nothing before the container ends.
pub(super) fn reader(name: &str, then: &str) -> Value {
    let script = format!("cat \"$DB_PASSWORD_FILE\" && echo && {then}");
    json!({"name": name, "image": "busybox:stable", "command": ["sh", "-c", script]})
}

/// Metadata and spec of a pod with these annotations beside the vault `app`.
pub(super) fn template(annotations: &[(&str, &str)], containers: &[Value]) -> Value {
    let mut all = json!({"secretvault.dev/vaults": "app"});
    for (name, text) in annotations {
        all[format!("secretvault.dev/{name}")] = json!(text);
    }
    json!({
        "metadata": {"annotations": all},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": containers,
            "terminationGracePeriodSeconds": 0,
        },
    })
}

/// A pod of that template.
pub(super) fn pod(name: &str, annotations: &[(&str, &str)]) -> Value {
    let container = json!({
        "name": "app",
        "image": "busybox:stable",
        "command": ["sleep", "infinity"],
    });
    pod_of(name, template(annotations, &[container]))
}

pub(super) fn pod_of(name: &str, mut template: Value) -> Value {
    template["apiVersion"] = json!("v1");
    template["kind"] = json!("Pod");
    template["metadata"]["name"] = json!(name);
    template
}

/// The volume that a person would write for the vault `app`.
pub(super) fn by_hand(name: &str) -> Value {
    json!({
        "name": name,
        "csi": {
            "driver": "csi.secretvault.dev",
            "readOnly": true,
            "volumeAttributes": {"vaults": "app"},
        },
    })
}

/// How many pods all replicas have reviewed.
pub(super) fn reviews() -> u64 {
    let path = "jsonpath={.items[*].metadata.name}";
    let operators = "app.kubernetes.io/component=operator";
    let names = kubectl(&["-n", SYSTEM, "get", "pods", "-l", operators, "-o", path]);
    let names = names.expect_success();
    let lines = names.split_whitespace().map(|name| {
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics");
        kubectl(&["get", "--raw", &path]).expect_success()
    });
    lines.map(|metrics| reviews_in(&metrics)).sum()
}

fn reviews_in(metrics: &str) -> u64 {
    let families = metrics.lines();
    let lines = families.filter(|it| it.starts_with("secretvault_pod_admission_reviews_total{"));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}
