mod files;
mod fixture;
mod launcher;
mod properties;
mod refusals;
mod warnings;

use serde_json::json;

use fixture::{Scene, pod};

#[test]
fn a_pod_gets_one_volume_and_every_container_a_mount() {
    let scene = Scene::with_a_vault();
    let mut pod = pod(&[]);
    pod["spec"]["initContainers"] = json!([{"name": "init", "image": "i"}]);
    let injected = scene.injected(&pod);
    let volume = json!([{
        "name": "secretvault",
        "csi": {
            "driver": "csi.secretvault.dev",
            "readOnly": true,
            "volumeAttributes": {"vaults": "app"},
        },
    }]);
    assert_eq!(injected["spec"]["volumes"], volume);
    let mount = json!([{"name": "secretvault", "mountPath": "/run/secrets", "readOnly": true}]);
    assert_eq!(injected["spec"]["initContainers"][0]["volumeMounts"], mount);
    assert_eq!(injected["spec"]["containers"][0]["volumeMounts"], mount);
    assert!(injected["spec"]["containers"][0].get("env").is_none());
    assert_eq!(
        injected["spec"]["containers"][0]["command"],
        json!(["serve"])
    );
}

#[test]
fn a_pod_without_our_annotations_stays_as_it_is() {
    let scene = Scene::with_a_vault();
    let mut pod = pod(&[]);
    pod["metadata"]["annotations"] = json!({"example.com/vaults": "app"});
    assert_eq!(scene.injected(&pod), pod);
    pod["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    assert_eq!(scene.injected(&pod), pod);
}

#[test]
fn a_pod_whose_owner_was_rolled_once_and_that_asks_for_nothing_any_more_stays_as_it_is() {
    let mut pod = pod(&[]);
    pod["metadata"]["annotations"] = json!({"secretvault.dev/restarted-at": "u@2"});
    assert_eq!(Scene::with_a_vault().injected(&pod), pod);
}

#[test]
fn volume_attributes_are_passed_on_as_they_are_written() {
    let attributes = [
        ("items", "db/password = pw , smtp/**"),
        ("uid", "999"),
        ("gid", " 0"),
        ("mode", "0400"),
    ];
    let injected = Scene::with_a_vault().injected(&pod(&attributes));
    let expected = json!({
        "vaults": "app",
        "items": "db/password = pw , smtp/**",
        "uid": "999",
        "gid": " 0",
        "mode": "0400",
    });
    let volume = &injected["spec"]["volumes"][0];
    assert_eq!(volume["csi"]["volumeAttributes"], expected);
}

#[test]
fn volumes_mounts_and_variables_of_others_stay_beside_ours() {
    let mut pod = pod(&[("env-file", "PW=db/password")]);
    pod["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
    let container = &mut pod["spec"]["containers"][0];
    container["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
    container["env"] = json!([{"name": "PASSWORD_FILE", "value": "$(PW_FILE)"}]);
    let injected = Scene::with_a_vault().injected(&pod);
    let spec = &injected["spec"];
    assert_eq!(spec["volumes"][0]["name"], "tmp");
    assert_eq!(spec["volumes"][1]["name"], "secretvault");
    let container = &spec["containers"][0];
    assert_eq!(container["volumeMounts"][0]["name"], "tmp");
    assert_eq!(container["volumeMounts"][1]["name"], "secretvault");
    // First, or the container's own could not refer to it.
    let ours = json!({"name": "PW_FILE", "value": "/run/secrets/db/password"});
    assert_eq!(container["env"][0], ours);
    assert_eq!(container["env"][1]["name"], "PASSWORD_FILE");
}

#[test]
fn only_the_containers_that_are_named_get_something() {
    let mut pod = pod(&[("containers", "app, init"), ("mount-path", "/etc/app")]);
    pod["spec"]["initContainers"] = json!([{"name": "init", "image": "i"}]);
    let other = json!({"name": "other", "image": "i"});
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(other.clone());
    let injected = Scene::with_a_vault().injected(&pod);
    let path = |container: &serde_json::Value| container["volumeMounts"][0]["mountPath"].clone();
    assert_eq!(path(&injected["spec"]["initContainers"][0]), "/etc/app");
    assert_eq!(path(&injected["spec"]["containers"][0]), "/etc/app");
    assert_eq!(injected["spec"]["containers"][1], other);
}

#[test]
fn a_container_that_comes_later_is_given_the_same() {
    let scene = Scene::with_a_vault();
    let mut injected = scene.injected(&pod(&[("env-file", "PW=db/password")]));
    let sidecar = json!({"name": "sidecar", "image": "i"});
    injected["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(sidecar);
    let again = scene.injected(&injected);
    let containers = &again["spec"]["containers"];
    for field in ["volumeMounts", "env"] {
        assert_eq!(containers[1][field], containers[0][field]);
    }
    assert_eq!(again["spec"]["volumes"], injected["spec"]["volumes"]);
}

#[test]
fn a_container_that_comes_later_and_cannot_have_it_goes_without_and_that_is_said() {
    let scene = Scene::with_a_vault();
    let sidecar = json!({
        "name": "mesh", "image": "i",
        "volumeMounts": [{"name": "t", "mountPath": "/var/run/secrets/tokens"}],
    });
    let with_sidecar = |mut pod: serde_json::Value| {
        pod["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(sidecar.clone());
        pod
    };
    let later = with_sidecar(scene.injected(&pod(&[])));
    let (again, warnings) = scene.admitted(&later);
    assert_eq!(again, later);
    assert!(warnings[0].starts_with("container mesh was added later and gets no secrets: "));
    // At the first time it is the pod's author who is told.
    let refusal = scene.refusal(&with_sidecar(pod(&[])));
    assert!(
        refusal.contains("container mesh mounts volume t at"),
        "{refusal}"
    );
    // And one that is named gets it, or nobody does.
    let mut named = later;
    named["metadata"]["annotations"]["secretvault.dev/containers"] = json!("app, mesh");
    assert!(scene.refusal(&named).contains("container mesh"));
    // A volume alone is no sign that the webhook was here: the pod would run without its files.
    let mut written = with_sidecar(pod(&[]));
    written["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    written["spec"]["volumes"] = again["spec"]["volumes"].clone();
    assert!(
        scene
            .refusal(&written)
            .contains("container mesh mounts volume t at")
    );
}

#[test]
fn a_container_that_has_the_files_and_was_changed_later_is_refused() {
    let scene = Scene::with_a_vault();
    let mut injected = scene.injected(&pod(&[("env-file", "PW=db/password")]));
    injected["spec"]["containers"][0]["env"][0]["value"] = json!("/etc/other");
    let refusal = scene.refusal(&injected);
    assert!(
        refusal.contains("container app has a variable PW_FILE"),
        "{refusal}"
    );
}
