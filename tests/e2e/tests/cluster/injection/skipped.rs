//! Where the webhook did not run, the API server refuses by itself.

use secretvault_e2e::{Answer, SYSTEM, eventually, kubectl_with};
use serde_json::{Value, json};

use super::scene::{Scene, by_hand, pod};
use crate::schema::WithoutWebhook;

const KUBE_SYSTEM: &str = "kube-system";
const NO_VOLUME: &str = "has no read-only volume of csi.secretvault.dev with them";

/// Has a pod admitted in some namespace, without creating it.
fn dry_run_in(namespace: &str, pod: &Value) -> Answer {
    let create = ["-n", namespace, "create", "--dry-run=server", "-f", "-"];
    kubectl_with(&create, &pod.to_string())
}

fn written_by_hand(volume: Value) -> Value {
    let mut pod = pod("web", &[]);
    pod["spec"]["volumes"] = Value::Array(vec![volume]);
    pod
}

fn plain() -> Value {
    let mut pod = pod("web", &[]);
    pod["metadata"]["annotations"] = json!({"example.com/x": "y"});
    pod
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn without_the_webhook_annotated_pods_are_refused_everywhere_and_all_others_are_admitted() {
    let scene = Scene::new("injection-skipped");
    let namespace = scene.namespace.name();
    let annotated = pod("web", &[("env-file", "A=db/password")]);
    let without = WithoutWebhook::new();
    let not_called = "The webhook pods.secretvault.dev was not called";
    eventually("the API server forgets the webhook", || {
        match dry_run_in(namespace, &annotated).into_result() {
            Err(complaint) if complaint.contains(not_called) => Ok(()),
            other => Err(other),
        }
    });
    for namespace in [namespace, KUBE_SYSTEM, SYSTEM] {
        let complaint = dry_run_in(namespace, &annotated).expect_failure();
        assert!(complaint.contains(NO_VOLUME), "{namespace}: {complaint}");
        let _ = dry_run_in(namespace, &plain()).expect_success();
        let _ = dry_run_in(namespace, &written_by_hand(by_hand("secrets"))).expect_success();
    }
    // Controllers are refused like everybody else.
    let refused = scene.create(&annotated).expect_failure();
    assert!(refused.contains("ValidatingAdmissionPolicy"), "{refused}");
    drop(without);
    eventually("annotated pods are admitted again", || {
        dry_run_in(namespace, &annotated).into_result()
    });
}

#[test]
fn where_the_webhook_does_not_work_a_volume_is_written_by_hand_or_the_pod_refused() {
    for namespace in [KUBE_SYSTEM, SYSTEM] {
        let refused = dry_run_in(namespace, &pod("web", &[])).expect_failure();
        let says = format!("In namespace {namespace} none is added: write the volume by hand");
        assert!(refused.contains(&says), "{refused}");
        let _ = dry_run_in(namespace, &written_by_hand(by_hand("secrets"))).expect_success();
    }
    let mut writable = by_hand("secrets");
    writable["csi"]["readOnly"] = json!(false);
    let mut of_another_vault = by_hand("secrets");
    of_another_vault["csi"]["volumeAttributes"]["vaults"] = json!("app, other");
    let mut of_another_driver = by_hand("secrets");
    of_another_driver["csi"]["driver"] = json!("csi.example.com");
    let mut without_attributes = by_hand("secrets");
    without_attributes["csi"]
        .as_object_mut()
        .unwrap()
        .remove("volumeAttributes");
    let memory = json!({"name": "secrets", "emptyDir": {}});
    for wrong in [
        writable,
        of_another_vault,
        of_another_driver,
        without_attributes,
        memory,
    ] {
        let refused = dry_run_in(KUBE_SYSTEM, &written_by_hand(wrong.clone())).expect_failure();
        assert!(refused.contains(NO_VOLUME), "{wrong}: {refused}");
    }
}

#[test]
fn annotations_without_vaults_are_refused_where_the_webhook_does_not_work() {
    let mut pod = written_by_hand(by_hand("secrets"));
    pod["metadata"]["annotations"] = json!({"secretvault.dev/on-change": "restart"});
    let refused = dry_run_in(KUBE_SYSTEM, &pod).expect_failure();
    assert!(
        refused.contains("of no use without secretvault.dev/vaults"),
        "{refused}"
    );
    pod["metadata"]["annotations"]["secretvault.dev/vaults"] = json!("app");
    let _ = dry_run_in(KUBE_SYSTEM, &pod).expect_success();
}

/// It stays in a template from which somebody took all others out.
#[test]
fn the_annotation_of_a_restart_that_was_made_asks_for_nothing() {
    let scene = Scene::new("injection-restarted");
    let mut pod = plain();
    pod["metadata"]["annotations"] = json!({"secretvault.dev/restarted-at": "u@2"});
    for namespace in [scene.namespace.name(), KUBE_SYSTEM] {
        let _ = dry_run_in(namespace, &pod).expect_success();
    }
    pod["metadata"]["annotations"]["secretvault.dev/env"] = json!("true");
    let refused = dry_run_in(scene.namespace.name(), &pod).expect_failure();
    assert!(
        refused.contains("of no use without secretvault.dev/vaults"),
        "{refused}"
    );
}

#[test]
fn a_pod_that_is_there_is_not_annotated_later_and_can_be_labelled() {
    let scene = Scene::new("injection-later");
    let mut plain = plain();
    plain["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    let _ = scene.create(&plain).expect_success();
    let annotate = |text: &str| scene.namespace.kubectl(&["annotate", "pod/web", text]);
    let refused = annotate("secretvault.dev/vaults=app").expect_failure();
    assert!(
        refused.contains("annotate the template of its owner"),
        "{refused}"
    );
    let _ = annotate("example.com/vaults=app").expect_success();
    let mut injected = pod("injected", &[]);
    injected["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    let _ = scene.create(&injected).expect_success();
    let label = ["label", "pod/injected", "team=shop"];
    let _ = scene.namespace.kubectl(&label).expect_success();
    let other = [
        "annotate",
        "--overwrite",
        "pod/injected",
        "secretvault.dev/vaults=other",
    ];
    let refused = scene.namespace.kubectl(&other).expect_failure();
    assert!(refused.contains(NO_VOLUME), "{refused}");
}
