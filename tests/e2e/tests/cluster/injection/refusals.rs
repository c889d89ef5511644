//! What the webhook refuses.

use secretvault_e2e::Vault;
use serde_json::{Value, json};

use super::scene::{PASSWORD, Scene, by_hand, pod};

/// A pod, changed.
fn with(annotations: &[(&str, &str)], pointer: &str, value: Value) -> Value {
    let mut pod = pod("web", annotations);
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[member] = value;
    pod
}

fn refused(scene: &Scene, pod: &Value, says: &str) {
    let says = ["is invalid: metadata.annotations: ", says];
    scene.dry_run(pod).expect_refusal(&says, PASSWORD);
}

#[test]
fn a_typo_is_refused_with_what_was_meant() {
    let scene = Scene::new("injection-typo");
    refused(
        &scene,
        &pod("web", &[("envfile", "A=db/password")]),
        "did you mean env-file?",
    );
    scene.admitted(&pod("web", &[("env-file", "A=db/password")]));
    let vaults = "/metadata/annotations";
    let typo = with(&[], vaults, json!({"secretvault.dev/vault": "app"}));
    refused(&scene, &typo, "did you mean vaults?");
    let nothing = with(&[], vaults, json!({"secretvault.dev/items": "db/**"}));
    refused(&scene, &nothing, "of no use without secretvault.dev/vaults");
    scene.admitted(&with(&[], vaults, json!({"secretvault.dev/vaults": "app"})));
    let on_change = |text| pod("web", &[("on-change", text)]);
    refused(
        &scene,
        &on_change("signal:KILL"),
        "signal:NAME with one of HUP",
    );
    scene.admitted(&on_change("signal:USR1"));
}

#[test]
fn a_variable_that_leads_to_no_file_is_refused_with_the_files_that_there_are() {
    let scene = Scene::new("injection-path");
    Vault::named("app").wait_ready(&scene.namespace);
    let there = "there will be db/password, smtp/token";
    refused(&scene, &pod("web", &[("env-file", "A=db/pasword")]), there);
    scene.admitted(&pod("web", &[("env-file", "A=db/password")]));
    let mut other_vault = pod("web", &[("file-env", "true")]);
    other_vault["metadata"]["annotations"]["secretvault.dev/vaults"] = json!("app, missing");
    refused(&scene, &other_vault, "apply the vault first");
    scene.admitted(&pod("web", &[("file-env", "true")]));
}

#[test]
fn what_is_in_the_way_is_refused() {
    let scene = Scene::new("injection-conflict");
    let mount = |path: &str, volume: &str| {
        let mounts = json!([{"name": volume, "mountPath": path}]);
        let mut pod = with(&[], "/spec/containers/0/volumeMounts", mounts);
        pod["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
        pod
    };
    for path in ["/run/secrets", "/run", "/var/run/secrets/tokens"] {
        refused(
            &scene,
            &mount(path, "tmp"),
            "choose another secretvault.dev/mount-path",
        );
    }
    scene.admitted(&mount("/run/other", "tmp"));
    let variable = |name: &str| {
        let env = json!([{"name": name, "value": PASSWORD}]);
        with(
            &[("env-file", "A=db/password")],
            "/spec/containers/0/env",
            env,
        )
    };
    refused(
        &scene,
        &variable("A_FILE"),
        "has a variable A_FILE of its own",
    );
    scene.admitted(&variable("A"));
    let volume = |volume: Value| with(&[], "/spec/volumes", json!([volume]));
    let memory = json!({"name": "secretvault", "emptyDir": {}});
    refused(&scene, &volume(memory), "volume secretvault is there");
    scene.admitted(&volume(by_hand("secretvault")));
}

#[test]
fn the_pods_own_token_is_not_in_the_way() {
    let scene = Scene::new("injection-token");
    let mut pod = pod("web", &[]);
    pod["spec"]["automountServiceAccountToken"] = json!(true);
    let admitted = scene.admitted(&pod);
    let mounts = admitted["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    let paths: Vec<&str> = mounts
        .iter()
        .filter_map(|it| it["mountPath"].as_str())
        .collect();
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert!(
        paths.contains(&"/run/secrets") && paths.contains(&token),
        "{paths:?}"
    );
    let _ = scene.create(&pod).expect_success();
    let ready = ["wait", "--for=condition=Ready", "pod/web", "--timeout=5m"];
    let _ = scene.namespace.kubectl(&ready).expect_success();
    let both = format!("cat /run/secrets/db/password && test -s {token}/token");
    assert_eq!(scene.namespace.sh("web", &both).expect_success(), PASSWORD);
}

#[test]
fn a_container_that_is_not_there_is_refused() {
    let scene = Scene::new("injection-container");
    let refusal = "no container ap, did you mean app?";
    refused(&scene, &pod("web", &[("containers", "ap")]), refusal);
    scene.admitted(&pod("web", &[("containers", "app")]));
}

#[test]
fn a_windows_pod_is_refused() {
    let scene = Scene::new("injection-windows");
    refused(
        &scene,
        &with(&[], "/spec/os", json!({"name": "windows"})),
        "Windows",
    );
    scene.admitted(&with(&[], "/spec/os", json!({"name": "linux"})));
}
