//! What a pod's Events tell of its volume.

use secretvault_e2e::{Namespace, Pod, Vault, eventually};
use serde_json::{Value, json};

#[test]
fn overridden_files_are_named_in_one_event_of_the_pod_and_hold_no_value() {
    let namespace = Namespace::create("told-merge");
    let vault = |name: &str| {
        let vault = Vault::named(name).text("log/token", "canary-of-told");
        vault
            .text("smtp/token", "canary-of-told")
            .public("zone", "z")
    };
    vault("shared").store(&namespace);
    let own = vault("own").without("publicData", "zone");
    own.store(&namespace);
    let pod = Pod::mounting("app", "shared, own");
    pod.run(&namespace);
    Pod::mounting("control", "own").run(&namespace);
    let event = wait_told(&namespace, &pod, "SecretsMounted");
    assert_eq!(event["type"], "Normal");
    let expected = format!(
        "vault {0}/own overrides files of vault {0}/shared, which is listed before it: log/token, \
         smtp/token",
        namespace.name()
    );
    assert_eq!(event["note"], json!(expected));
    let uid = namespace.field("pod/app", "{.metadata.uid}");
    assert_eq!(event["regarding"]["uid"], json!(uid));
    // A change is granted to the running pod, and kubelet publishes again: neither tells it anew.
    let changed = vault("shared").text("changed", "c");
    changed.store(&namespace);
    pod.wait_content(&namespace, "changed", "c");
    assert_eq!(told(&namespace, &pod).len(), 1);
    let control = Pod::mounting("control", "own");
    assert_eq!(told(&namespace, &control), Vec::<Value>::new());
    assert!(!event.to_string().contains("canary-of-told"));
}

#[test]
fn an_empty_vault_is_an_empty_directory_and_a_warning() {
    let namespace = Namespace::create("told-empty");
    Vault::named("app").store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    let event = wait_told(&namespace, &pod, "SecretsMissing");
    let note = format!("vault {}/app has no entries", namespace.name());
    assert_eq!(
        (&event["type"], &event["note"]),
        (&json!("Warning"), &json!(note))
    );
}

#[test]
fn a_withdrawn_right_is_told_with_the_paths_that_go() {
    let namespace = Namespace::create("told-right");
    let only = |entries: &[&str]| {
        let vault = Vault::named("app")
            .text("kept", "k")
            .text("taken/away", "t");
        vault.spec("access", json!([{"entries": entries}]))
    };
    only(&["kept", "taken/**"]).store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "taken/away"), "t");
    assert_eq!(told(&namespace, &pod), Vec::<Value>::new());
    only(&["kept"]).store(&namespace);
    let event = wait_told(&namespace, &pod, "SecretsWithdrawn");
    assert_eq!(event["type"], "Warning");
    let note = event["note"].as_str().unwrap();
    assert!(note.ends_with(": taken/away"), "{note}");
    assert_eq!(pod.read(&namespace, "kept"), "k");
}

/// The Events of ours about a pod.
fn told(namespace: &Namespace, pod: &Pod) -> Vec<Value> {
    let events = ["get", "events.events.k8s.io", "-o", "json"];
    let events = namespace.kubectl(&events).expect_success();
    let events: Value = serde_json::from_str(&events).unwrap();
    let ours = |event: &&Value| {
        event["reportingController"] == "secretvault-operator"
            && event["regarding"]["kind"] == "Pod"
            && event["regarding"]["name"] == pod.name()
    };
    let events = events["items"].as_array().unwrap();
    events.iter().filter(ours).cloned().collect()
}

/// The one Event of ours about a pod.
fn wait_told(namespace: &Namespace, pod: &Pod, reason: &str) -> Value {
    eventually(
        &format!("an Event of pod {} is {reason}", pod.name()),
        || {
            let events = told(namespace, pod);
            match events.as_slice() {
                [event] if event["reason"] == reason => Ok(event.clone()),
                _ => Err(events),
            }
        },
    )
}
