//! What is admitted, but said.

use serde_json::json;

use super::fixture::{Scene, pod, vault};

#[test]
fn nothing_is_said_of_a_pod_that_is_all_right() {
    let mut asked = pod(&[("on-change", "restart"), ("env", "true")]);
    asked["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u"}]);
    asked["spec"]["securityContext"] = json!({"runAsUser": 999});
    assert_eq!(Scene::with_a_vault().warnings(&asked), "");
}

#[test]
fn an_empty_vault_and_what_one_vault_hides_of_another_are_said() {
    let empty = Scene::with([vault("shop", "app", &[])]);
    assert_eq!(empty.warnings(&pod(&[])), "vault shop/app has no entries");
    let both = Scene::with([vault("shop", "app", &["a"]), vault("shop", "more", &["a"])]);
    let warnings = both.warnings(&pod(&[("vaults", "app, more")]));
    assert!(
        warnings.contains("a is taken from vault shop/more"),
        "{warnings}"
    );
}

#[test]
fn a_restart_that_nobody_will_make_is_said() {
    let scene = Scene::with_a_vault();
    let bare = pod(&[("on-change", "restart")]);
    assert!(scene.warnings(&bare).contains("nothing will restart it"));
    let mut job = bare.clone();
    job["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]);
    assert!(scene.warnings(&job).contains("nothing will restart it"));
}

#[test]
fn what_runs_beside_the_command_is_said_to_see_no_variables() {
    let scene = Scene::with_a_vault();
    let mut asked = pod(&[("env", "true")]);
    asked["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["ready"]}});
    assert!(scene.warnings(&asked).contains("probes or hooks with exec"));
    asked["metadata"]["annotations"]["secretvault.dev/env"] = json!("false");
    assert_eq!(scene.warnings(&asked), "");
}

#[test]
fn files_that_a_containers_user_cannot_read_are_said() {
    let scene = Scene::with_a_vault();
    let runs_as = |pod_level: serde_json::Value, mode: &str| {
        let mut asked = pod(&[("mode", mode)]);
        asked["spec"]["securityContext"] = pod_level;
        scene.warnings(&asked)
    };
    let told = runs_as(json!({"runAsUser": 999}), "0400");
    let expected = "container app runs as user 999 and cannot read db/password, smtp/token";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!(runs_as(json!({"runAsUser": 999}), "0444"), "");
    assert_eq!(runs_as(json!({"runAsUser": 0}), "0400"), "");
    assert_eq!(runs_as(json!({}), "0400"), "", "the image says as whom");
    // The image may say that the user is of group 0.
    assert_eq!(runs_as(json!({"runAsUser": 999}), "0440"), "");
    assert_ne!(
        runs_as(json!({"runAsUser": 999, "runAsGroup": 999}), "0440"),
        ""
    );
    let grouped = json!({"runAsUser": 999, "runAsGroup": 999, "fsGroup": 7});
    assert_eq!(runs_as(grouped, "0440"), "");
}
