//! What the audit log says of requests.

use serde_json::{Value, json};

use super::scene::{OPERATOR, Scene, USER, plain, raised};
use crate::audit::OnFailure;

/// What the last line says beside who asked for what.
fn last(scene: &Scene) -> Value {
    let mut line = scene.log.records().pop().unwrap();
    let members = line.as_object_mut().unwrap();
    let common = ["v", "chain", "seq", "prev", "time", "request", "dryRun"];
    for member in common {
        assert!(members.remove(member).is_some(), "{member}");
    }
    line
}

fn admitted(scene: &Scene, mut said: Value) -> Value {
    let stored = json!({
        "audit": "admission", "verdict": "grant", "reason": "Admitted", "user": USER,
        "operation": "update", "vault": {"namespace": "shop", "name": "app"},
        "keyId": scene.providers.get("default").unwrap().primary_key_id(),
    });
    for (member, value) in stored.as_object().unwrap() {
        if said.get(member).is_none() {
            said[member] = value.clone();
        }
    }
    said
}

#[tokio::test(start_paused = true)]
async fn a_line_says_which_entries_came_changed_and_went() {
    let scene = Scene::new();
    let three = json!({"data": {"a": "1", "b": "2"}, "publicData": {"c": "3"}});
    let stored = scene.put(USER, None, &three).await;
    let created = json!({"operation": "create", "created": ["a", "b", "c"], "dataKey": "new"});
    assert_eq!(last(&scene), admitted(&scene, created));
    // Applied as it was written, with one value changed, one gone, and one that is new.
    let edited = json!({
        "data": {"a": "1", "b": "new", "d": "4"},
        "description": "words",
        "dataKey": stored["dataKey"],
    });
    let edited = scene.put(USER, Some(&stored), &edited).await;
    let changes = json!({
        "created": ["d"], "changed": ["b"], "removed": ["c"], "fields": ["spec.description"],
    });
    assert_eq!(last(&scene), admitted(&scene, changes));
    scene.put(USER, Some(&edited), &edited).await;
    assert_eq!(last(&scene), admitted(&scene, json!({})));
}

#[tokio::test(start_paused = true)]
async fn a_line_says_what_became_of_the_data_key() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let rewrapped = scene.rewrapped(&stored).await;
    let rewrapped = scene.put(OPERATOR, Some(&stored), &rewrapped).await;
    let said = json!({"user": OPERATOR, "dataKey": "rewrap"});
    assert_eq!(last(&scene), admitted(&scene, said));
    let rekeyed = scene
        .put(OPERATOR, Some(&rewrapped), &raised(&rewrapped))
        .await;
    let said = json!({"user": OPERATOR, "dataKey": "rekey"});
    assert_eq!(
        last(&scene),
        admitted(&scene, said),
        "no entry has another value"
    );
    let mut moved = rekeyed.clone();
    moved["keyProvider"] = json!("prod");
    let moved = scene.put(USER, Some(&rekeyed), &moved).await;
    let said = json!({
        "dataKey": "migrate", "keyId": moved["dataKey"]["keyId"], "fields": ["spec.keyProvider"],
    });
    assert_eq!(last(&scene), admitted(&scene, said));
}

#[tokio::test(start_paused = true)]
async fn a_denial_says_what_was_asked_for_and_why_not() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    scene.allow(false);
    let mut opened = stored.clone();
    opened["access"] = json!([{"serviceAccounts": ["*"]}]);
    opened["data"]["b"] = json!("never-in-a-line");
    let refused = scene.refused(Some(&stored), &opened).await;
    let expected = json!({
        "audit": "admission", "verdict": "denial", "reason": "Forbidden", "user": USER,
        "operation": "update", "vault": {"namespace": "shop", "name": "app"},
        "created": ["b"], "fields": ["spec.access"], "message": refused.message,
    });
    assert_eq!(last(&scene), expected);
    for secret in ["hunter2", "never-in-a-line", "sv1:", "wrapped"] {
        assert!(!scene.log.text().contains(secret), "{secret}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_is_not_stored() {
    let scene = Scene::new();
    scene.log.full(true);
    let refused = scene.refused(None, &plain()).await;
    assert_eq!((refused.code, refused.field), (503, None));
    let expected = "the audit log cannot be written, and nothing is allowed that is not in it: try \
                    again";
    assert_eq!(refused.message, expected);
    scene.log.on_failure(OnFailure::Release);
    scene.put(USER, None, &plain()).await;
    assert_eq!(scene.log.text(), "");
}
