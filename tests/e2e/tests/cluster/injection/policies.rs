//! What is admitted with a warning.

use serde_json::{Value, json};

use super::scene::{Scene, by_hand, pod};

/// A pod with a volume that somebody wrote, mounted so.
fn mounting(volume: Value, mount: Value) -> Value {
    let mut pod = pod("web", &[]);
    pod["metadata"]["annotations"] = json!({});
    pod["spec"]["containers"][0]["volumeMounts"] = Value::Array(vec![mount]);
    pod["spec"]["volumes"] = Value::Array(vec![volume]);
    pod
}

fn part(volume: &str) -> Value {
    json!({"name": volume, "mountPath": "/etc/pw", "subPath": "db/password", "readOnly": true})
}

fn warnings(scene: &Scene, pod: &Value) -> String {
    let answer = scene.dry_run(pod);
    assert!(answer.succeeded, "{answer:?}");
    answer.stderr
}

#[test]
fn a_part_of_a_volume_is_warned_of_whoever_wrote_it() {
    let scene = Scene::new("injection-warnings");
    let says = "sees no change";
    let by_hand_whole = json!({"name": "secrets", "mountPath": "/etc/pw", "readOnly": true});
    assert_eq!(
        warnings(&scene, &mounting(by_hand("secrets"), by_hand_whole)),
        ""
    );
    let told = warnings(&scene, &mounting(by_hand("secrets"), part("secrets")));
    assert!(told.contains(says), "{told}");
    let memory = json!({"name": "secrets", "emptyDir": {}});
    assert_eq!(warnings(&scene, &mounting(memory, part("secrets"))), "");
    let mut injected = pod("web", &[]);
    assert_eq!(warnings(&scene, &injected), "");
    injected["spec"]["containers"][0]["volumeMounts"] = json!([part("secretvault")]);
    let told = warnings(&scene, &injected);
    assert!(told.contains(says), "{told}");
}

#[test]
fn a_volume_that_is_not_read_only_is_warned_of() {
    let scene = Scene::new("injection-writable");
    let mount = json!({"name": "secrets", "mountPath": "/etc/pw"});
    let mut writable = by_hand("secrets");
    writable["csi"]["readOnly"] = json!(false);
    let told = warnings(&scene, &mounting(writable, mount.clone()));
    assert!(told.contains("has no `readOnly: true`"), "{told}");
    assert_eq!(warnings(&scene, &mounting(by_hand("secrets"), mount)), "");
}

#[test]
fn a_restart_that_nobody_will_make_is_warned_of() {
    let scene = Scene::new("injection-restart");
    let told = warnings(&scene, &pod("web", &[("on-change", "restart")]));
    assert!(told.contains("nothing will restart it"), "{told}");
    assert_eq!(warnings(&scene, &pod("web", &[("on-change", "none")])), "");
}
