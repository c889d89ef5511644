//! Which pods reach the webhook.

use serde_json::{Value, json};

use super::scene::{Scene, pod, reviews};

/// A pod that is created, and then waits for a node for ever.
fn unscheduled(mut pod: Value) -> Value {
    pod["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    pod
}

/// Alone: other tests' pods count too.
#[test]
#[ignore = "it needs the cluster for itself"]
fn pods_without_our_annotations_do_not_reach_the_webhook() {
    let scene = Scene::new("injection-counted");
    let plain = |n: usize| {
        let mut pod = unscheduled(pod(&format!("plain-{n}"), &[]));
        // Ours is not all that begins alike.
        pod["metadata"]["annotations"] = json!({"example.com/secretvault.dev": "app"});
        pod
    };
    let items: Vec<Value> = (0..50).map(plain).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let before = reviews();
    let created = scene.create(&list).expect_success();
    assert_eq!(created.lines().count(), 50);
    assert_eq!(reviews(), before);
    let _ = scene
        .create(&unscheduled(pod("annotated", &[])))
        .expect_success();
    assert_eq!(reviews(), before + 1);
}
