//! Containers that start through the launcher.

use serde_json::{Value, json};

use super::fixture::{Scene, pod};

fn run(flags: &[&str]) -> Vec<Value> {
    let start = ["/secretvault/launcher", "run", "--files", "/run/secrets"];
    let all = start.iter().chain(flags).chain(&["--", "serve"]);
    all.map(|it| json!(it)).collect()
}

#[test]
fn the_launcher_is_brought_first_and_stands_before_the_command() {
    let scene = Scene::with_a_vault();
    let mut asked = pod(&[("env", "true"), ("containers", "app")]);
    asked["spec"]["containers"][0]["args"] = json!(["--port", "80"]);
    asked["spec"]["initContainers"] = json!([{"name": "init", "image": "i"}]);
    let spec = &scene.injected(&asked)["spec"];
    let app = &spec["containers"][0];
    assert_eq!(app["command"], json!(run(&["--env"])));
    assert_eq!(app["args"], json!(["--port", "80"]));
    let launcher = &spec["initContainers"][0];
    assert_eq!(launcher["name"], "secretvault-launcher");
    assert_eq!(launcher["image"], "launcher:1");
    assert_eq!(launcher["imagePullPolicy"], "IfNotPresent");
    let install = ["/secretvault-launcher", "install", "/secretvault/launcher"];
    assert_eq!(launcher["command"], json!(install));
    assert_eq!(
        launcher["resources"]["limits"],
        launcher["resources"]["requests"]
    );
    assert_eq!(launcher["securityContext"]["runAsNonRoot"], true);
    let writable = json!([{"name": "secretvault-launcher", "mountPath": "/secretvault"}]);
    assert_eq!(launcher["volumeMounts"], writable);
    let read_only = json!({
        "name": "secretvault-launcher", "mountPath": "/secretvault", "readOnly": true,
    });
    assert_eq!(app["volumeMounts"][1], read_only);
    let memory = json!({"medium": "Memory", "sizeLimit": "16Mi"});
    assert_eq!(spec["volumes"][1]["emptyDir"], memory);
    assert_eq!(
        spec["initContainers"][1],
        json!({"name": "init", "image": "i"})
    );
}

#[test]
fn a_signal_is_for_containers_that_last() {
    let scene = Scene::with_a_vault();
    let mut asked = pod(&[("on-change", "signal:HUP")]);
    asked["spec"]["initContainers"] = json!([
        {"name": "init", "image": "i"},
        {"name": "sidecar", "image": "i", "command": ["serve"], "restartPolicy": "Always"},
    ]);
    let spec = &scene.injected(&asked)["spec"];
    let signalled = json!(run(&["--on-change", "signal:HUP"]));
    assert_eq!(spec["containers"][0]["command"], signalled);
    assert_eq!(spec["initContainers"][2]["command"], signalled);
    // The one that ends needs no command, and no launcher.
    assert!(spec["initContainers"][1].get("command").is_none());
    asked["metadata"]["annotations"]["secretvault.dev/env"] = json!("true");
    asked["spec"]["initContainers"][0]["command"] = json!(["serve"]);
    let spec = &scene.injected(&asked)["spec"];
    assert_eq!(spec["initContainers"][1]["command"], json!(run(&["--env"])));
    let both = json!(run(&["--env", "--on-change", "signal:HUP"]));
    assert_eq!(spec["containers"][0]["command"], both);
}

#[test]
fn who_needs_no_launcher_gets_none() {
    let scene = Scene::with_a_vault();
    for annotations in [
        vec![("on-change", "restart")],
        vec![("on-change", "none"), ("env", "false")],
        vec![("on-change", "signal:HUP"), ("containers", "init")],
    ] {
        let mut asked = pod(&annotations);
        asked["spec"]["initContainers"] = json!([{"name": "init", "image": "i"}]);
        let spec = &scene.injected(&asked)["spec"];
        assert_eq!(
            spec["volumes"].as_array().unwrap().len(),
            1,
            "{annotations:?}"
        );
        assert_eq!(spec["initContainers"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_container_without_a_command_is_refused_with_what_to_write() {
    let scene = Scene::with_a_vault();
    for (annotation, text) in [("env", "true"), ("on-change", "signal:HUP")] {
        let mut asked = pod(&[(annotation, text)]);
        asked["spec"]["containers"][0]
            .as_object_mut()
            .unwrap()
            .remove("command");
        asked["spec"]["containers"][0]["args"] = json!(["--port"]);
        let refusal = scene.refusal(&asked);
        let expected = format!("container app has no command, and secretvault.dev/{annotation}");
        assert!(refusal.contains(&expected), "{refusal}");
        assert!(refusal.contains("write command: [program, …]"), "{refusal}");
        asked["spec"]["containers"][0]["command"] = json!(["serve"]);
        scene.injected(&asked);
    }
}

#[test]
fn others_may_change_what_they_care_for_in_the_launchers_container() {
    let scene = Scene::with_a_vault();
    let mut injected = scene.injected(&pod(&[("env", "true")]));
    let launcher = &mut injected["spec"]["initContainers"][0];
    launcher["image"] = json!("mirror/launcher:1");
    launcher["resources"] = json!({});
    launcher["terminationMessagePath"] = json!("/dev/termination-log");
    let token =
        json!({"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    launcher["volumeMounts"].as_array_mut().unwrap().push(token);
    assert_eq!(scene.injected(&injected), injected);
}

#[test]
fn an_init_container_that_another_put_before_the_launcher_goes_without() {
    let scene = Scene::with_a_vault();
    let mut injected = scene.injected(&pod(&[("env", "true")]));
    let early = json!({"name": "early", "image": "i", "command": ["early"]});
    injected["spec"]["initContainers"]
        .as_array_mut()
        .unwrap()
        .insert(0, early.clone());
    let (again, warnings) = scene.admitted(&injected);
    assert_eq!(again["spec"]["initContainers"][0], early);
    assert!(
        warnings[0].contains("stands before secretvault-launcher"),
        "{warnings:?}"
    );
    injected["metadata"]["annotations"]["secretvault.dev/containers"] = json!("app, early");
    assert!(
        scene
            .refusal(&injected)
            .contains("stands before secretvault-launcher")
    );
}

#[test]
fn a_command_that_starts_the_launcher_in_another_way_is_refused() {
    let scene = Scene::with_a_vault();
    let mut asked = pod(&[("env", "true")]);
    asked["spec"]["containers"][0]["command"] = json!(["/secretvault/launcher", "run", "--", "x"]);
    assert!(
        scene
            .refusal(&asked)
            .contains("write the command that it shall run")
    );
    asked["spec"]["containers"][0]["command"] = json!(run(&["--env"]));
    scene.injected(&asked);
}

#[test]
fn what_stands_in_the_launchers_place_is_refused() {
    let scene = Scene::with_a_vault();
    let asked = pod(&[("env", "true")]);
    let mut container = asked.clone();
    container["spec"]["initContainers"] = json!([{"name": "secretvault-launcher", "image": "i"}]);
    assert!(scene.refusal(&container).contains("is not the launcher"));
    let mut other_command = scene.injected(&asked);
    other_command["spec"]["initContainers"][0]["command"] = json!(["/secretvault-launcher"]);
    assert!(
        scene
            .refusal(&other_command)
            .contains("is not the launcher")
    );
    let mut elsewhere = scene.injected(&asked);
    elsewhere["spec"]["initContainers"][0]["volumeMounts"] = json!([]);
    assert!(scene.refusal(&elsewhere).contains("is not the launcher"));
    let mut volume = asked.clone();
    volume["spec"]["volumes"] = json!([{"name": "secretvault-launcher", "emptyDir": {}}]);
    assert!(
        scene
            .refusal(&volume)
            .contains("volume secretvault-launcher")
    );
    let mut mount = asked.clone();
    mount["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/secretvault/x"}]);
    assert!(scene.refusal(&mount).contains("in the way of /secretvault"));
    // Who needs no launcher may have all that.
    mount["metadata"]["annotations"]["secretvault.dev/env"] = json!("false");
    scene.injected(&mount);
}

#[test]
fn without_an_image_nobody_gets_a_launcher() {
    let mut scene = Scene::with_a_vault();
    scene.launcher = None;
    let refusal = scene.refusal(&pod(&[("on-change", "signal:HUP")]));
    assert!(refusal.contains("secretvault.dev/on-change: the operator has no launcher image"));
    scene.injected(&pod(&[("on-change", "restart")]));
}

#[test]
fn variables_that_the_launcher_will_set_are_the_containers_no_more() {
    let scene = Scene::with_a_vault();
    let mut asked = pod(&[("env", "true")]);
    asked["spec"]["containers"][0]["env"] = json!([{"name": "DB_PASSWORD", "value": "hunter2"}]);
    let refusal = scene.refusal(&asked);
    assert!(
        refusal.contains("container app has a variable DB_PASSWORD"),
        "{refusal}"
    );
    assert!(!refusal.contains("hunter2"), "{refusal}");
    asked["spec"]["containers"][0]["env"] = json!([{"name": "DB_USER", "value": "hunter2"}]);
    scene.injected(&asked);
}
