use secretvault_e2e::{KeyProvider, Namespace, eventually, kubectl, kubectl_with, root};
use serde_json::{Value, json};

use super::{File, Said, kubeconfig_of, secretvault, secretvault_with};

fn doctor() -> Said {
    secretvault(&["doctor", "-o", "json"])
}

/// The findings of one check, as `state: what`.
fn found(said: &Said, check: &str) -> Vec<String> {
    let findings = said.json();
    let findings = findings.as_array().unwrap().iter();
    let of_check = findings.filter(|it| it["check"] == check);
    let text = |it: &Value| {
        let (state, what) = (it["state"].as_str(), it["what"].as_str());
        format!("{}: {}", state.unwrap(), what.unwrap())
    };
    of_check.map(text).collect()
}

/// Waits until the doctor says that something is wrong, and that it is this.
fn wait_wrong(check: &str, says: &str) {
    eventually(&format!("the doctor finds {check}: {says}"), || {
        let said = doctor();
        let wrong = found(&said, check);
        let found = wrong
            .iter()
            .any(|it| it.starts_with("wrong: ") && it.contains(says));
        if found && said.code == 1 {
            Ok(())
        } else {
            Err(said)
        }
    });
}

fn wait_healthy() -> Said {
    let mut healthy = None;
    eventually("the doctor finds nothing wrong", || {
        let said = doctor();
        if said.code != 0 {
            return Err(said);
        }
        healthy = Some(said);
        Ok(())
    });
    healthy.unwrap()
}

/// What it looks at of the installation itself.
const OF_THE_INSTALLATION: [&str; 9] = [
    "keys",
    "vaults",
    "operator",
    "certificates",
    "webhooks",
    "sealing",
    "policies",
    "agents",
    "clocks",
];

/// Waits until all that it looks at of the installation is good: what it only warns of, or cannot see
/// yet, is nothing wrong.
fn wait_sound() -> Said {
    eventually("the doctor finds the installation good", || {
        let said = doctor();
        if said.code != 0 {
            return Err(said);
        }
        let mut checks = ["kubernetes"].into_iter().chain(OF_THE_INSTALLATION);
        let good = checks.all(|check| {
            let found = found(&said, check);
            !found.is_empty() && found.iter().all(|it| it.starts_with("good: "))
        });
        // What the kernel can do is the kernel's: the agents' own word, in any case.
        let noswap = found(&said, "noswap");
        if good && !noswap.iter().any(|it| it.starts_with("unseen: ")) {
            Ok(said)
        } else {
            Err(said)
        }
    })
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_sound_cluster_is_found_sound_and_what_a_thief_would_have_is_said() {
    let said = wait_sound();
    let etcd = found(&said, "stolen etcd");
    let secret = "of KeyProvider default every value: its keyring is in the Secret";
    assert!(
        etcd[0].starts_with("warning: ") && etcd[0].contains(secret),
        "{etcd:?}"
    );
    // The cluster's own policy keeps vaults out, and logs other writes with their bodies: from outside
    // nobody can tell.
    let audit = found(&said, "api server audit").join("\n");
    let unclear = "whether those of vaults are among them, with plain values, cannot be seen";
    assert!(
        audit.starts_with("warning: ") && audit.contains(unclear),
        "{audit}"
    );
    let namespace = kubectl(&["get", "sv", "-A"]).expect_success();
    assert!(!namespace.contains("secretvault-doctor-"), "{namespace}");
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_key_provider_that_does_not_work_is_wrong_and_its_place_is_told() {
    let namespace = Namespace::create("doctor-keys");
    let name = namespace.name();
    let keyring = json!({"keyring": {"file": {"path": "/etc/no-such-keyring"}}});
    let provider = KeyProvider::local(name).spec("local", keyring);
    provider.apply();
    wait_wrong("keys", &format!("KeyProvider {name}"));
    let etcd = found(&doctor(), "stolen etcd").join("\n");
    let file = format!("good: of KeyProvider {name} nothing: its keys are in a file");
    assert!(etcd.contains(&file), "{etcd}");
    drop(provider);
    wait_healthy();
}

/// While the operator is down.
pub(crate) fn says_that_nothing_is_sealed() {
    wait_wrong("operator", "0 of 0 replicas are ready");
    wait_wrong("sealing", "a vault that is applied is refused");
}

/// When it is back.
pub(crate) fn finds_nothing_wrong() {
    let _ = wait_healthy();
}

/// An object of the chart, changed until the guard drops.
struct Changed {
    object: &'static str,
    before: String,
}

impl Changed {
    fn patch(object: &'static str, patch: &Value, back: &Value) -> Self {
        let changed = Self {
            object,
            before: back.to_string(),
        };
        changed.apply(&patch.to_string());
        changed
    }

    fn apply(&self, patch: &str) {
        let arguments = ["patch", self.object, "--type=json", "-p", patch];
        let _ = kubectl(&arguments).expect_success();
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        self.apply(&self.before);
    }
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_webhook_that_lets_things_through_and_a_policy_without_binding_are_wrong() {
    let webhooks = "mutatingwebhookconfiguration/00-secretvault";
    let path = "/webhooks/0/failurePolicy";
    let policy = |value: &str| json!([{"op": "replace", "path": path, "value": value}]);
    let changed = Changed::patch(webhooks, &policy("Ignore"), &policy("Fail"));
    wait_wrong(
        "webhooks",
        "vaults.secretvault.dev has not failurePolicy Fail",
    );
    drop(changed);
    let binding = "validatingadmissionpolicybinding/secretvault-volumes";
    let name = |value: &str| json!([{"op": "replace", "path": "/spec/policyName", "value": value}]);
    let changed = Changed::patch(binding, &name("nothing"), &name("secretvault-volumes"));
    wait_wrong("policies", "not there, or not bound: secretvault-volumes");
    drop(changed);
    wait_healthy();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_node_whose_kubelet_does_not_know_its_agent_is_named() {
    let path = ["get", "csinode", "node-b", "-o", "jsonpath={.spec.drivers}"];
    let drivers: Value = serde_json::from_str(&kubectl(&path).expect_success()).unwrap();
    let others = drivers.as_array().unwrap().iter();
    let others: Vec<&Value> = others
        .filter(|it| it["name"] != "csi.secretvault.dev")
        .collect();
    let list = |value: &Value| json!([{"op": "replace", "path": "/spec/drivers", "value": value}]);
    let changed = Changed::patch("csinode/node-b", &list(&json!(others)), &list(&drivers));
    wait_wrong("agents", "kubelet does not know the agent of node-b");
    drop(changed);
    wait_healthy();
}

/// A lease beside those of the nodes, as a kubelet with another clock would write it.
struct Lease(&'static str);

impl Lease {
    fn renewed_at(name: &'static str, time: &str) -> Self {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "renewTime": time},
        });
        let created = kubectl_with(&["create", "-f", "-"], &lease.to_string());
        let _ = created.expect_success();
        Self(name)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = kubectl(&["-n", "kube-node-lease", "delete", "lease", self.0]);
    }
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_clock_that_is_off_is_found() {
    let late = Lease::renewed_at("doctor-late", "2026-01-01T00:00:00.000000Z");
    wait_wrong("clocks", "doctor-late by -");
    drop(late);
    wait_healthy();
}

#[test]
fn an_audit_policy_that_logs_what_people_apply_is_wrong() {
    let namespace = Namespace::create("doctor-audit");
    let judged = |path: &str| {
        let said = secretvault(&["doctor", "-o", "json", "--audit-policy", path]);
        found(&said, "audit policy").join("\n")
    };
    let ours = judged(root().join("docs/audit-policy.yaml").to_str().unwrap());
    assert!(ours.starts_with("good: "), "{ours}");
    let bodies = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n  users: \
                  [nobody]\n- level: RequestResponse\n";
    let bodies = File::new(&namespace, "policy.yaml", bodies);
    let bodies = judged(bodies.path());
    assert!(
        bodies.starts_with("wrong: rules[1] logs create"),
        "{bodies}"
    );
}

#[test]
fn who_may_see_nothing_is_told_so_and_hears_of_nothing_wrong() {
    let namespace = Namespace::create("doctor-blind");
    let somebody = format!("nobody-of-{}", namespace.name());
    let config = kubeconfig_of(&somebody, &namespace);
    let said = secretvault_with(Some(config.path()), &["doctor", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    for check in OF_THE_INSTALLATION.into_iter().chain(["api server audit"]) {
        let found = found(&said, check);
        assert!(!found.is_empty(), "{check}: {said:?}");
        let unseen = found.iter().all(|it| it.starts_with("unseen: you may not"));
        assert!(unseen, "{check}: {found:?}");
    }
    let audit = found(&said, "api server audit").join("\n");
    assert!(audit.contains("--audit-policy"), "{audit}");
    let nowhere = secretvault(&["doctor", "--system", namespace.name(), "-o", "json"]);
    assert_eq!(nowhere.code, 1);
    let operator = found(&nowhere, "operator").join("\n");
    assert!(
        operator.contains("name where it is installed with --system"),
        "{operator}"
    );
}
