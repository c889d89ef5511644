//! The chart: what it installs, and what an upgrade and an uninstall leave alone.

use http::Method;
use secretvault_e2e::{
    Answer, Namespace, NodeVolume, Pod, SYSTEM, Vault, api, eventually, helm, kubectl, root, run,
    wait_system,
};
use serde_json::{Value, json};

use crate::running::{Running, vault};

#[test]
fn the_chart_passes_helm_lint_with_each_set_of_values() {
    let chart = root().join("charts/secretvault");
    let lint = |values: &[&str]| {
        let arguments = ["lint", "--strict", chart.to_str().unwrap()];
        run("helm", &[&arguments, values].concat())
    };
    let _ = lint(&[]).expect_success();
    for file in std::fs::read_dir(chart.join("ci")).unwrap() {
        let values = file.unwrap().path();
        let _ = lint(&["--values", values.to_str().unwrap()]).expect_success();
    }
    let unknown = lint(&["--set", "operator.replica=3"]);
    assert!(!unknown.succeeded, "{unknown:?}");
    assert!(unknown.stdout.contains("'replica'"), "{unknown:?}");
}

#[test]
fn the_operators_pods_meet_the_restricted_pod_security_standard() {
    let namespace = Namespace::create("install-restricted");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    let _ = kubectl(&["label", "namespace", namespace.name(), label]).expect_success();
    let path = [
        "-n",
        SYSTEM,
        "get",
        "deployment/secretvault-operator",
        "-o",
        "json",
    ];
    let operator: Value = serde_json::from_str(&kubectl(&path).expect_success()).unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}});
    pod["spec"] = operator["spec"]["template"]["spec"].clone();
    // Its account is in its own namespace.
    pod["spec"]["serviceAccountName"] = json!("default");
    pod["spec"]["serviceAccount"] = json!("default");
    let create = |pod: &Value| {
        let arguments = ["create", "--dry-run=server", "-f", "-"];
        namespace.kubectl_with(&arguments, &pod.to_string())
    };
    let mut rising = pod.clone();
    rising["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    // First, for until the API server has heard of the label it admits every pod.
    eventually("the label is heeded", || {
        let answer = create(&rising);
        if !answer.succeeded && answer.stderr.contains("violates PodSecurity") {
            Ok(())
        } else {
            Err(answer)
        }
    });
    let _ = create(&pod).expect_success();
}

/// What there is before an upgrade, and a pod that runs.
pub(crate) struct BeforeUpgrade {
    running: Running,
    installed: Installed,
}

impl BeforeUpgrade {
    /// Values that make the upgrade replace every pod.
    pub(crate) const VALUES: &str =
        "operator.podLabels.upgraded=once,agent.podLabels.upgraded=once";

    pub(crate) fn look() -> Self {
        Self {
            running: Running::start("install-upgrade"),
            installed: Installed::look(),
        }
    }

    pub(crate) fn the_upgrade_leaves_keys_and_running_pods_as_they_are(&self) {
        let selector = "labelSelector=upgraded%3Donce";
        let pods = format!("/api/v1/namespaces/{SYSTEM}/pods?{selector}");
        let pods = api::ask(&Method::GET, &pods, None).unwrap();
        let pods = pods["items"].as_array().unwrap().len();
        assert_eq!(pods, 4, "not every pod was replaced");
        assert_eq!(Installed::look(), self.installed);
        self.running.assert_unharmed();
        self.running.assert_the_next_change_arrives();
    }

    pub(crate) fn and_so_does_the_rollback(&self) {
        assert_eq!(Installed::look(), self.installed);
    }
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn after_an_uninstall_and_a_reinstall_everything_is_as_before() {
    let running = Running::start("install-uninstall");
    let doomed = running.another("doomed");
    doomed.run(&running.namespace);
    let doomed_volume = NodeVolume::of(&running.namespace, "doomed");
    let before = Installed::look();
    let stored = vault("t-1").stored(&running.namespace);
    let gone = uninstall();
    // Kinds, vaults and keys stay, and so do files.
    let kept = vault("t-1").stored(&running.namespace);
    assert_eq!(kept["spec"], stored["spec"]);
    assert_eq!(Installed::keyring(), before.keyring);
    running.assert_unharmed();
    // Nothing plain can be stored: the schema itself refuses it.
    let plain = Vault::named("plain").text("token", "hunter2");
    plain
        .apply(&running.namespace)
        .expect_refusal(&["sealed"], "hunter2");
    // A pod ends, and waits for an agent to take its volume away.
    let delete = ["delete", "pod", "doomed", "--wait=false"];
    let _ = running.namespace.kubectl(&delete).expect_success();
    eventually("kubelet misses the driver", || {
        let containers =
            running.namespace.try_get("pod/doomed")?["status"]["containerStatuses"].clone();
        if containers[0]["state"]["terminated"].is_object() {
            Ok(())
        } else {
            Err(containers.to_string())
        }
    });
    assert_eq!(doomed_volume.mounts().len(), 1, "who unmounted it?");
    drop(gone);
    eventually("the pod that waited goes", || {
        let found = running.namespace.kubectl(&["get", "pod", "doomed"]);
        if found.succeeded { Err(found) } else { Ok(()) }
    });
    assert_eq!(doomed_volume.mounts(), []);
    assert_eq!(Installed::look().keyring, before.keyring);
    // The old envelopes open in new pods,
    let late = Pod::mounting("late", "app");
    late.run(&running.namespace);
    assert_eq!(late.read(&running.namespace, "token"), "t-1");
    // and the old pod is served on.
    running.assert_unharmed();
    running.assert_the_next_change_arrives();
}

/// What outlives upgrades.
#[derive(Debug, PartialEq, Eq)]
struct Installed {
    keyring: String,
    authority: String,
    ca_bundle: String,
    /// The CRDs' UIDs: other ones would mean that all vaults are gone.
    kinds: String,
}

impl Installed {
    fn look() -> Self {
        let webhook = "mutatingwebhookconfiguration/00-secretvault";
        let kinds = [
            "crd/secretvaults.secretvault.dev",
            "crd/keyproviders.secretvault.dev",
        ];
        Self {
            keyring: Self::keyring(),
            authority: field(&["secret/secretvault-ca"], "{.data}"),
            ca_bundle: field(&[webhook], "{.webhooks[*].clientConfig.caBundle}"),
            kinds: kinds
                .map(|kind| field(&[kind], "{.metadata.uid}"))
                .join(" "),
        }
    }

    fn keyring() -> String {
        field(&["secret/secretvault-keyring"], "{.data}")
    }
}

/// A hash of a field, so that no key is shown when a comparison fails.
fn field(object: &[&str], path: &str) -> String {
    let path = format!("jsonpath={path}");
    let get = [&["-n", SYSTEM, "get"], object, &["-o", &path]].concat();
    let found = kubectl(&get).expect_success();
    assert!(!found.is_empty(), "{object:?} has no {path}");
    let hash = secretvault_e2e::run_with("sha256sum", &[], &found);
    hash.expect_success()
}

/// A cluster without SecretVault. Installs it again when it drops.
struct Uninstalled(());

fn uninstall() -> Uninstalled {
    let guard = Uninstalled(());
    let _ = helm(&["uninstall", "secretvault", "--wait"]).expect_success();
    eventually("the operator's and the agents' pods go", || {
        let left = kubectl(&["-n", SYSTEM, "get", "pods", "-o", "name"]).expect_success();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    guard
}

impl Drop for Uninstalled {
    fn drop(&mut self) {
        let installed = install();
        if !std::thread::panicking() {
            let _ = installed.expect_success();
            wait_system();
        }
    }
}

/// As `make cluster` does it, with the images that are there.
fn install() -> Answer {
    run(root().join("tests/install").to_str().unwrap(), &[])
}
