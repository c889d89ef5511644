//! The webhook, asked by somebody who only says that he is the API server: it answers whoever reaches it.

use secretvault_e2e::Part;
use serde_json::{Value, json};

use super::answers::Answers;
use super::{Scene, stored};
use crate::attacker::Operator;

/// Reviews of changes that were never made, in an administrator's name.
pub(super) fn forged_reviews(scene: &Scene, answers: &mut Answers) {
    let stored = stored(scene);
    let envelope = stored["spec"]["data"]["password"].clone();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut object = stored.clone();
        change(&mut object);
        object
    };
    let update = |object: &Value| review("UPDATE", object, Some(&stored));
    let moved = with(&|object| {
        object["spec"]["publicData"]["password"] = envelope.clone();
        object["spec"]["data"] = json!({});
    });
    let elsewhere = with(&|object| object["metadata"]["namespace"] = json!("default"));
    let anew = with(&|object| object["spec"]["dataKey"]["rekey"] = json!(7));
    let same = with(&|object| object["spec"]["data"]["password"] = json!(scene.private));
    for (name, review) in [
        ("the same", update(&stored)),
        (
            "words",
            update(&with(&|object| {
                object["spec"]["description"] = json!("words");
            })),
        ),
        ("moved to where it is public", update(&moved)),
        (
            "copied",
            update(&with(&|object| {
                object["spec"]["data"]["copy"] = envelope.clone();
            })),
        ),
        ("sealed anew", update(&anew)),
        ("the right guess", update(&same)),
        ("restored", review("CREATE", &stored, None)),
        ("restored elsewhere", review("CREATE", &elsewhere, None)),
    ] {
        let answer = post(&review.to_string());
        answers.bytes(&format!("a forged review: {name}"), &answer, "\"allowed\":");
    }
}

/// What SECURITY.md says of whoever can reach the webhook and has a copy of a vault: that a guess is right
/// shows by the envelope, which stays.
#[test]
fn whoever_reaches_the_webhook_can_test_guesses_and_is_told_no_value() {
    let scene = Scene::create("guesses");
    let stored = stored(&scene);
    let envelope = stored["spec"]["data"]["password"].as_str().unwrap();
    let patch_of = |guess: &str| {
        let mut object = stored.clone();
        object["spec"]["data"]["password"] = json!(guess);
        let answer = post(&review("UPDATE", &object, Some(&stored)).to_string());
        let answer = String::from_utf8(answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let review: Value = serde_json::from_str(body).unwrap();
        assert_eq!(review["response"]["allowed"], true, "{review}");
        let patch: Vec<u8> = serde_json::from_value(review["response"]["patch"].clone()).unwrap();
        String::from_utf8(patch).unwrap()
    };
    let right = patch_of(&scene.private);
    assert!(right.contains(envelope) && !right.contains(&scene.private));
    let wrong = patch_of("hunter2");
    assert!(wrong.contains("sv1:") && !wrong.contains(envelope));
}

/// As the API server would send it.
fn review(operation: &str, object: &Value, before: Option<&Value>) -> Value {
    let kind = json!({"group": "secretvault.dev", "version": "v1alpha1", "kind": "SecretVault"});
    let resource = json!({
        "group": "secretvault.dev", "version": "v1alpha1", "resource": "secretvaults",
    });
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "requestKind": kind,
            "resource": resource,
            "requestResource": resource,
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"],
            "operation": operation,
            "userInfo": {"username": "admin", "groups": ["system:masters"]},
            "object": object,
            "oldObject": before,
            "dryRun": true,
            "options": null,
        },
    })
}

fn post(body: &str) -> Vec<u8> {
    let replica = Part::operators().pop().expect("a replica");
    let address = format!("{}:8443", replica.address)
        .parse()
        .expect("an address");
    let request = format!(
        "POST /admission/secretvaults HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Operator::find().https(address, request.as_bytes());
    answer.expect("an answer")
}
