//! Texts that are planted on purpose, and the places where they must be found.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use secretvault_delivery::POD_AUDIENCE;
use secretvault_e2e::Namespace;
use serde_json::{Value, json};

use super::life::random_text;
use super::places::Findings;
use super::scanner::Canary;
use crate::attacker::{Bound, mint};

/// What was planted.
pub(crate) struct Plants {
    canaries: Vec<Canary>,
    /// The name of a canary, and a place where it must be found.
    places: Vec<(&'static str, &'static str)>,
}

impl Plants {
    /// Plants in every kind of place that can be reached from outside.
    #[must_use]
    pub(crate) fn sow(namespace: &Namespace) -> Self {
        let mut plants = Self {
            canaries: vec![Canary::text(METRIC, METRIC)],
            places: vec![(METRIC, "metrics")],
        };
        plants.sow_name(namespace);
        plants.sow_files(namespace, "node-a", FILE_A, &FILE_A_PLACES);
        plants.sow_files(namespace, "node-b", FILE_B, &FILE_B_PLACES);
        plants.sow_forms(namespace);
        plants.sow_token(namespace);
        plants
    }

    /// All of them.
    #[must_use]
    pub(crate) fn canaries(&self) -> Vec<Canary> {
        self.canaries.clone()
    }

    /// What was not found where it was planted.
    #[must_use]
    pub(crate) fn not_in(&self, findings: &Findings) -> BTreeSet<(&str, &str, &'static str)> {
        let mut missing = BTreeSet::new();
        for (canary, place) in &self.places {
            if !findings.of(canary).any(|it| it.place == *place) {
                missing.insert((*canary, *place, "any form"));
            }
        }
        let forms = self.canaries.iter().find(|canary| canary.name() == FORMS);
        for form in forms.expect("planted").forms() {
            let mut found = findings.of(FORMS);
            if !found.any(|it| it.place == "etcd" && it.form == form) {
                missing.insert((FORMS, "etcd", form));
            }
        }
        missing
    }

    /// A pod's name, and its vault's, are in everything that is said about it.
    fn sow_name(&mut self, namespace: &Namespace) {
        let name = format!("plant-{}", random_text());
        let mut pod = pod(&name, "node-a");
        let csi = json!({
            "driver": "csi.secretvault.dev",
            "readOnly": true,
            "volumeAttributes": {"vaults": name},
        });
        pod["spec"]["volumes"] = json!([{"name": "secrets", "csi": csi}]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "secrets", "mountPath": "/run/secrets", "readOnly": true}]);
        create(namespace, &pod);
        self.canaries.push(Canary::text(NAME, &name));
        self.places.extend(NAME_PLACES.map(|place| (NAME, place)));
    }

    /// A pod that writes a text onto its node's disk, in each way that a pod can.
    fn sow_files(
        &mut self,
        namespace: &Namespace,
        node: &str,
        canary: &'static str,
        places: &[&'static str],
    ) {
        let text = random_text();
        let mut pod = pod(&format!("plant-on-{node}"), node);
        let script = "echo $TEXT | tee /disk/text >/text; echo $TEXT; exec sleep infinity";
        let container = &mut pod["spec"]["containers"][0];
        container["command"] = json!(["sh", "-c", script]);
        container["env"] = json!([{"name": "TEXT", "value": text}]);
        container["volumeMounts"] = json!([{"name": "disk", "mountPath": "/disk"}]);
        pod["spec"]["volumes"] = json!([{"name": "disk", "emptyDir": {}}]);
        create(namespace, &pod);
        self.canaries.push(Canary::text(canary, &text));
        self.places
            .extend(places.iter().map(|place| (canary, *place)));
    }

    /// A ConfigMap that holds a text in every form.
    fn sow_forms(&mut self, namespace: &Namespace) {
        let text = format!("{}<\"{}", random_text(), random_text());
        let canary = Canary::text(FORMS, &text);
        let forms = (0..3).flat_map(|before| natural_forms(&text, before));
        let data = forms.enumerate();
        let data = data.map(|(index, form)| (format!("form-{index}"), json!(form)));
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "plant"},
            "data": data.collect::<serde_json::Map<String, Value>>(),
        });
        let create = ["create", "-f", "-"];
        let _ = namespace
            .kubectl_with(&create, &map.to_string())
            .expect_success();
        self.canaries.push(canary);
        self.places.push((FORMS, "all objects"));
    }

    /// A pod's token, kept where none should be.
    fn sow_token(&mut self, namespace: &Namespace) {
        let pod = namespace.get("pod/plant-on-node-a");
        let token = mint(namespace.name(), ACCOUNT, POD_AUDIENCE, Bound::to_pod(&pod));
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "plant-token"},
            "data": {"token": token.text()},
        });
        let create = ["create", "-f", "-"];
        let _ = namespace
            .kubectl_with(&create, &map.to_string())
            .expect_success();
        let uid = pod["metadata"]["uid"].as_str().expect("a UID");
        self.canaries.push(Canary::within_base64(TOKEN, uid));
        self.places
            .extend([(TOKEN, "etcd"), (TOKEN, "all objects")]);
    }
}

/// A text as programs write it, after `before` other bytes.
#[must_use]
pub(crate) fn natural_forms(text: &str, before: usize) -> Vec<String> {
    let longer = format!("{}{text}", "x".repeat(before));
    let bytes = longer.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let go = format!("{bytes:?}").replace(',', "");
    let json = json!({"text": longer}).to_string();
    let go_json = json.replace('<', "\\u003c");
    vec![
        BASE64_STANDARD.encode(bytes),
        BASE64_URL_SAFE.encode(bytes),
        hex.to_uppercase(),
        hex,
        format!("{bytes:?}"),
        go,
        json!(bytes).to_string(),
        format!("\"{}\"", bytes.escape_ascii()),
        json!({"manifest": json}).to_string(),
        json,
        go_json,
        longer,
    ]
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "app",
                "image": "busybox:stable",
                "command": ["sleep", "infinity"],
            }],
        },
    })
}

fn create(namespace: &Namespace, pod: &Value) {
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT},
    });
    let _ = namespace.apply(&account.to_string()).expect_success();
    let create = ["create", "-f", "-"];
    let _ = namespace
        .kubectl_with(&create, &pod.to_string())
        .expect_success();
}

const ACCOUNT: &str = "plants";

const NAME: &str = "a planted name";
const NAME_PLACES: [&str; 8] = [
    "etcd",
    "audit",
    "logs",
    "node-a/log",
    "Events",
    "all objects",
    "log of operator",
    "log of node agent",
];

const FILE_A: &str = "a text planted on node-a";
const FILE_A_PLACES: [&str; 3] = ["node-a/kubelet", "node-a/containerd", "node-a/log"];

const FILE_B: &str = "a text planted on node-b";
const FILE_B_PLACES: [&str; 3] = ["node-b/kubelet", "node-b/containerd", "node-b/log"];

const FORMS: &str = "a text planted in every form";

const TOKEN: &str = "a planted token";

/// Nothing can be planted in metrics: their labels are a closed set. This is there.
const METRIC: &str = "secretvault_release_verdicts";
