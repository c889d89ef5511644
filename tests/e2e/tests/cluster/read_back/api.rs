//! The API server's own ways to read.

use std::thread;

use secretvault_e2e::{Namespace, kubectl};
use serde_json::{Value, json};

use super::answers::Answers;
use super::{Scene, parts, stored};

/// In every form that kubectl knows, and raw; also as it was before.
pub(super) fn get_and_list(scene: &Scene, answers: &mut Answers) {
    let namespace = &scene.namespace;
    for output in ["json", "yaml", "jsonpath={}", "go-template={{.}}"] {
        for get in [
            &["get", "sv", "app"][..],
            &["get", "sv", "--show-managed-fields"],
        ] {
            let words = [get, &["-o", output]].concat();
            answers.with_public(&words.join(" "), &namespace.kubectl(&words));
        }
    }
    for words in [
        &["get", "sv", "app", "-o", "wide"][..],
        &[
            "get",
            "sv",
            "app",
            "-o",
            "custom-columns=NAME:.metadata.name,DATA:.spec.data",
        ],
    ] {
        answers.that_says(&words.join(" "), "app", &namespace.kubectl(words));
    }
    answers.with_public("describe", &namespace.kubectl(&["describe", "sv", "app"]));
    let path = scene.path();
    let before = stored(scene);
    let version = before["metadata"]["resourceVersion"]
        .as_str()
        .expect("a version");
    for query in [
        path.clone(),
        format!("{path}/app"),
        format!("{path}?resourceVersion={version}&resourceVersionMatch=Exact"),
        format!("{path}?fieldSelector=metadata.name%3Dapp&limit=1"),
        "/apis/secretvault.dev/v1alpha1/secretvaults".to_owned(),
    ] {
        let answer = kubectl(&["get", "--raw", &query]);
        answers.with_public(&format!("GET {query}"), &answer);
    }
}

/// While the vault changes and goes.
pub(super) fn watch(scene: &Scene, answers: &mut Answers) {
    let path = scene.path();
    let version = stored(scene)["metadata"]["resourceVersion"].clone();
    let version = version.as_str().expect("a version");
    let watches = [
        format!("{path}?watch=true&timeoutSeconds=8&resourceVersion={version}"),
        format!("{path}?watch=true&timeoutSeconds=8"),
        format!(
            "{path}?watch=true&timeoutSeconds=8&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        ),
    ];
    let watching = watches.map(|path| {
        let asked = path.clone();
        (
            path,
            thread::spawn(move || kubectl(&["get", "--raw", &asked])),
        )
    });
    let changed = scene.vault.clone().text("other", &scene.private);
    let changed = changed.public("more", "of it");
    // Until each has heard of a change, however late it began.
    while !watching.iter().all(|(_, watch)| watch.is_finished()) {
        for vault in [&changed, &scene.vault] {
            let applied = vault.apply(&scene.namespace);
            answers.that_says("apply", "configured", &applied);
        }
    }
    for (path, watching) in watching {
        let answer = watching.join().expect("kubectl ends");
        answers.with_public(&format!("GET {path}"), &answer);
        answers.that_says(&path, "MODIFIED", &answer);
    }
}

/// A change that the server would make, in its answer: the value moved or copied to where it can be read,
/// and the same value again.
pub(super) fn patch(scene: &Scene, answers: &mut Answers) {
    let envelope = stored(scene)["spec"]["data"]["password"].clone();
    let moved = json!({"data": {"password": null}, "publicData": {"password": envelope}});
    let merges = [
        (json!({"spec": {}}), SEALED),
        (json!({"spec": {"description": "words"}}), SEALED),
        (json!({"spec": {"freshEnvelopes": true}}), SEALED),
        (json!({"spec": {"dataKey": {"rekey": 1}}}), SEALED),
        (
            json!({"spec": {"data": {"password": scene.private}}}),
            SEALED,
        ),
        (json!({"spec": {"data": {"copy": envelope}}}), DOES_NOT_OPEN),
        (json!({"spec": moved}), SEALED),
        (
            json!({"metadata": {"annotations": {"a": envelope}}}),
            SEALED,
        ),
    ];
    for (patch, says) in merges {
        dry_run(scene, answers, "merge", &patch, says);
    }
    let copied =
        |operation, path| json!([{"op": operation, "from": "/spec/data/password", "path": path}]);
    let tested = json!([{"op": "test", "path": "/spec/data/password", "value": scene.private}]);
    for (patch, says) in [
        (copied("copy", "/spec/publicData/copy"), SEALED),
        (copied("move", "/spec/publicData/copy"), SEALED),
        (copied("copy", "/spec/description"), SEALED),
        (copied("copy", "/metadata/annotations/a"), SEALED),
        (copied("copy", "/spec/data/copy"), DOES_NOT_OPEN),
        (tested, "the server rejected our request"),
    ] {
        dry_run(scene, answers, "json", &patch, says);
    }
}

fn dry_run(scene: &Scene, answers: &mut Answers, kind: &str, patch: &Value, says: &str) {
    let patch = patch.to_string();
    let kind = format!("--type={kind}");
    let words = [
        "patch",
        "sv",
        "app",
        "--dry-run=server",
        "-o",
        "yaml",
        &kind,
    ];
    let words = [&words[..], &["--patch-file=/dev/stdin"]].concat();
    let answer = scene.namespace.kubectl_with(&words, &patch);
    let name = format!("patch of {:.60}", patch.replace(&scene.private, "VALUE"));
    answers.that_says(&name, says, &answer);
}

/// Its envelope, applied by somebody else, or elsewhere.
pub(super) fn apply_envelope(scene: &Scene, answers: &mut Answers) {
    let elsewhere = Namespace::create("private-copy");
    let envelope = stored(scene)["spec"]["data"]["password"].clone();
    let copied = scene.vault.clone().value("data", "password", envelope);
    let manifest = copied.manifest();
    for (name, namespace, says) in [
        ("apply of its envelope", &scene.namespace, SEALED),
        ("elsewhere", &elsewhere, DOES_NOT_OPEN),
    ] {
        for how in [
            &["apply"][..],
            &["apply", "--server-side", "--force-conflicts"],
        ] {
            let words = [how, &["--dry-run=server", "-o", "yaml", "-f", "-"]].concat();
            let answer = namespace.kubectl_with(&words, &manifest);
            answers.that_says(name, says, &answer);
        }
    }
}

/// What the operator and others write about it.
pub(super) fn status_events_and_logs(scene: &Scene, answers: &mut Answers) {
    let namespace = &scene.namespace;
    let status = ["get", "sv", "app", "--subresource=status", "-o", "json"];
    answers.with_public("status", &namespace.kubectl(&status));
    for events in ["events", "events.events.k8s.io"] {
        let get = ["get", events, "-o", "json"];
        answers.that_says(events, "app", &namespace.kubectl(&get));
    }
    for object in ["secrets", "configmaps", "pods"] {
        let get = ["get", object, "-A", "-o", "json", "--show-managed-fields"];
        answers.that_says(object, "secretvault", &kubectl(&get));
    }
    let logs = namespace.kubectl(&["logs", "app"]);
    answers.that_says("the pod's own log", "", &logs);
    for part in parts() {
        let name = part["metadata"]["name"].as_str().expect("a name");
        let logs = ["-n", secretvault_e2e::SYSTEM, "logs", name];
        answers.that_says(&format!("log of {name}"), "INFO", &kubectl(&logs));
    }
}

/// What is seen of it.
const SEALED: &str = "sv1:";

const DOES_NOT_OPEN: &str = "is an envelope that does not open for this entry of this vault";
