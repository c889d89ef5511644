//! What is refused, each beside a twin that is admitted.

use serde_json::{Value, json};

use super::fixture::{Scene, pod};

fn ours() -> Value {
    json!({
        "name": "secretvault",
        "csi": {
            "driver": "csi.secretvault.dev",
            "readOnly": true,
            "volumeAttributes": {"vaults": "app"},
        },
    })
}

#[test]
fn a_volume_by_our_name_is_exactly_ours_or_refused() {
    let scene = Scene::with_a_vault();
    let with = |volume: Value| {
        let mut pod = pod(&[]);
        pod["spec"]["volumes"] = json!([volume]);
        pod
    };
    let injected = scene.injected(&with(ours()));
    assert_eq!(injected["spec"]["volumes"], json!([ours()]));
    let mut writable = ours();
    writable["csi"]["readOnly"] = json!(false);
    let mut of_another_vault = ours();
    of_another_vault["csi"]["volumeAttributes"]["vaults"] = json!("other");
    let mut with_more = ours();
    with_more["csi"]["volumeAttributes"]["items"] = json!("db/**");
    let mut of_another_driver = ours();
    of_another_driver["csi"]["driver"] = json!("csi.example.com");
    let memory = json!({"name": "secretvault", "emptyDir": {}});
    for wrong in [
        writable,
        of_another_vault,
        with_more,
        of_another_driver,
        memory,
    ] {
        let refusal = scene.refusal(&with(wrong.clone()));
        let says = "volume secretvault is there and is not what the annotations ask for";
        assert!(refusal.contains(says), "{wrong}: {refusal}");
    }
}

#[test]
fn a_container_that_mounts_something_in_the_way_is_refused() {
    let scene = Scene::with_a_vault();
    let at = |mount: Value| {
        let mut pod = pod(&[]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
        pod
    };
    for path in [
        "/run/secrets",
        "/var/run/secrets/",
        "/run",
        "/run/secrets/tokens",
        "/run/secrets/kubernetes.io",
    ] {
        let refusal = scene.refusal(&at(json!({"name": "v", "mountPath": path})));
        let says = format!("container app mounts volume v at {path}, where it would be in the way");
        assert!(refusal.contains(&says), "{refusal}");
        assert!(
            refusal.contains("choose another secretvault.dev/mount-path"),
            "{refusal}"
        );
    }
    for path in [
        "/run/other",
        "/var/run/secrets/kubernetes.io/serviceaccount",
    ] {
        scene.injected(&at(json!({"name": "v", "mountPath": path})));
    }
}

#[test]
fn a_mount_of_ours_at_the_path_is_whole_and_read_only_or_refused() {
    let scene = Scene::with_a_vault();
    let at = |more: Value| {
        let mut mount = json!({"name": "secretvault", "mountPath": "/run/secrets"});
        let members = more.as_object().unwrap().clone();
        mount.as_object_mut().unwrap().extend(members);
        let mut pod = pod(&[]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
        pod
    };
    scene.injected(&at(json!({"readOnly": true})));
    for wrong in [
        json!({}),
        json!({"readOnly": false}),
        json!({"readOnly": true, "subPath": "db"}),
        json!({"readOnly": true, "subPathExpr": "$(X)"}),
    ] {
        let refusal = scene.refusal(&at(wrong));
        assert!(
            refusal.contains("take this mount out, it is added by itself"),
            "{refusal}"
        );
    }
}

#[test]
fn a_variable_of_the_containers_own_is_refused_however_it_is_set_and_never_shown() {
    let scene = Scene::with_a_vault();
    let with = |variable: Value| {
        let mut pod = pod(&[("env-file", "PW=db/password")]);
        pod["spec"]["containers"][0]["env"] = json!([variable]);
        pod
    };
    for variable in [
        json!({"name": "PW_FILE", "value": "hunter2"}),
        json!({"name": "PW_FILE"}),
        json!({"name": "PW_FILE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    ] {
        let refusal = scene.refusal(&with(variable));
        assert!(
            refusal.contains("container app has a variable PW_FILE of its own"),
            "{refusal}"
        );
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    scene.injected(&with(
        json!({"name": "PW_FILE", "value": "/run/secrets/db/password"}),
    ));
    scene.injected(&with(json!({"name": "PW", "value": "hunter2"})));
}

#[test]
fn a_container_that_is_not_there_is_refused_with_those_that_are() {
    let scene = Scene::with_a_vault();
    let refusal = scene.refusal(&pod(&[("containers", "ap")]));
    assert!(
        refusal.contains("no container ap, did you mean app?: there are app"),
        "{refusal}"
    );
    scene.injected(&pod(&[("containers", "app")]));
    // The launcher's container is not one of the pod's.
    let injected = scene.injected(&pod(&[("env", "true")]));
    let mut named = injected;
    named["metadata"]["annotations"]["secretvault.dev/containers"] = json!("secretvault-launcher");
    assert!(
        scene
            .refusal(&named)
            .contains("no container secretvault-launcher")
    );
}

#[test]
fn pods_that_cannot_have_our_volume_are_refused() {
    let scene = Scene::with_a_vault();
    let mut by_os = pod(&[]);
    by_os["spec"]["os"] = json!({"name": "windows"});
    let mut by_selector = pod(&[]);
    by_selector["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
    for windows in [by_os, by_selector] {
        assert!(scene.refusal(&windows).contains("Windows"));
    }
    let mut mirror = pod(&[]);
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("x");
    assert!(
        scene
            .refusal(&mirror)
            .contains("a static pod has no service account")
    );
    let mut linux = pod(&[]);
    linux["spec"]["os"] = json!({"name": "linux"});
    linux["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    scene.injected(&linux);
}

#[test]
fn what_the_attributes_cannot_mean_is_refused_by_their_annotation() {
    let scene = Scene::with_a_vault();
    for (name, text, says) in [
        ("vaults", "App!", "secretvault.dev/vaults: "),
        ("vaults", "", "secretvault.dev/vaults: name at least one"),
        ("vaults", "app, app", "listed twice"),
        ("items", "../etc", "secretvault.dev/items: "),
        ("items", "db/*=x", "secretvault.dev/items: "),
        (
            "items",
            "${pod.nme}",
            "secretvault.dev/items: there is no ${pod.nme} here",
        ),
    ] {
        let refusal = scene.refusal(&pod(&[(name, text)]));
        assert!(refusal.contains(says), "{refusal}");
    }
}

#[test]
fn files_that_cannot_all_have_variables_are_refused() {
    let scene = Scene::with([super::fixture::vault("shop", "app", &["a-b", "a/b"])]);
    let refusal = scene.refusal(&pod(&[("file-env", "true")]));
    assert!(
        refusal.contains("would both be the variable A_B"),
        "{refusal}"
    );
    scene.injected(&pod(&[("file-env", "true"), ("items", "a-b")]));
}

/// What cannot be stored is not made either, by whoever writes many variables and many containers.
#[test]
fn variables_in_many_containers_are_possible_up_to_what_a_pod_can_have() {
    let scene = Scene::with_a_vault();
    let of = |containers: usize| {
        let names: Vec<String> = (0..1000).map(|n| format!("V{n}=db/password")).collect();
        let mut pod = pod(&[("env-file", &names.join(","))]);
        let containers = (0..containers).map(|n| json!({"name": format!("c{n}"), "image": "i"}));
        pod["spec"]["containers"] = containers.collect();
        pod
    };
    let _ = scene.injected(&of(20));
    let says = "give 21 containers 1000 variables each, and 20000 are possible in all";
    let refused = scene.refusal(&of(21));
    assert!(refused.contains(says), "{refused}");
}
