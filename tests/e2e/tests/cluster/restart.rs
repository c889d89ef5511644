//! `secretvault.dev/on-change: restart`: pods that are made anew when a vault of theirs changes.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use secretvault_e2e::{Answer, Namespace, SYSTEM, api, eventually, kubectl_with};
use serde_json::{Value, json};

use crate::running::vault;

const RESTARTED_AT: &str = "secretvault.dev/restarted-at";

/// A pod template that asks for restarts.
fn template() -> Value {
    json!({
        "metadata": {
            "labels": {"app": "web"},
            "annotations": {"secretvault.dev/vaults": "app", "secretvault.dev/on-change": "restart"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{"name": "app", "image": "busybox:stable", "command": ["sleep", "infinity"]}],
        },
    })
}

fn workload(kind: &str, name: &str) -> Value {
    let mut template = template();
    template["metadata"]["labels"]["app"] = json!(name);
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
    match kind {
        "Deployment" => spec["replicas"] = json!(2),
        "StatefulSet" => spec["serviceName"] = json!(name),
        _ => {}
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn create(namespace: &Namespace, object: &Value) {
    let _ = namespace.apply(&object.to_string()).expect_success();
}

fn wait_rolled_out(namespace: &Namespace, object: &str) {
    let wait = ["rollout", "status", object, "--timeout=5m"];
    let _ = namespace.kubectl(&wait).expect_success();
}

fn recorded(namespace: &Namespace, object: &str) -> Option<String> {
    let annotations = &namespace.get(object)["spec"]["template"]["metadata"]["annotations"];
    annotations[RESTARTED_AT].as_str().map(str::to_owned)
}

/// The UIDs of a workload's pods.
fn pods(namespace: &Namespace, app: &str) -> BTreeSet<String> {
    let selector = format!("app={app}");
    let path = "jsonpath={range .items[*]}{.metadata.uid}{\"\\n\"}{end}";
    let list = ["get", "pods", "-l", &selector, "-o", path];
    let list = namespace.kubectl(&list).expect_success();
    list.lines().map(str::to_owned).collect()
}

fn wait_consumers(namespace: &Namespace, count: u32) {
    eventually("the operator knows the consumers", || {
        let status = namespace.try_get("sv/app")?["status"].clone();
        if status["consumerCount"] == count {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}

pub(crate) fn each_kind_of_workload_rolls_once_for_several_quick_edits() {
    let namespace = Namespace::create("restart");
    vault("t-1").store(&namespace);
    let kinds = [
        ("Deployment", "web"),
        ("StatefulSet", "db"),
        ("DaemonSet", "log"),
    ];
    for (kind, name) in kinds {
        create(&namespace, &workload(kind, name));
    }
    let objects = kinds.map(|(kind, name)| format!("{}/{name}", kind.to_lowercase()));
    for object in &objects {
        wait_rolled_out(&namespace, object);
    }
    wait_consumers(&namespace, 5);
    let before = kinds.map(|(_, name)| pods(&namespace, name));
    // One after the other, with no process in between: a pause would begin another rolling.
    for token in ["t-2", "t-3", "t-4"] {
        let edit = json!({"spec": {"data": {"token": token}}});
        let _ = api::merge(namespace.name(), "sv/app", &edit).unwrap();
    }
    let uid = namespace.field("sv/app", "{.metadata.uid}");
    for object in &objects {
        eventually(&format!("{object} is rolled"), || {
            match recorded(&namespace, object) {
                Some(record) if record == format!("{uid}@4") => Ok(()),
                other => Err(other),
            }
        });
        wait_rolled_out(&namespace, object);
    }
    // Nothing more happens.
    thread::sleep(Duration::from_secs(30));
    for ((_, name), (object, before)) in kinds.iter().zip(objects.iter().zip(&before)) {
        assert_eq!(
            namespace.get(object)["metadata"]["generation"],
            2,
            "{object}"
        );
        let now = pods(&namespace, name);
        assert_eq!(now.len(), before.len(), "{object}");
        assert!(now.is_disjoint(before), "{object}: {now:?} {before:?}");
        let events = namespace.events(name);
        assert_eq!(events.matches("Restarting: ").count(), 1, "{events}");
    }
    // What is no content is no reason.
    let described = vault("t-4").spec("description", json!("words"));
    described.store(&namespace);
    thread::sleep(Duration::from_secs(15));
    for object in &objects {
        assert_eq!(
            namespace.get(object)["metadata"]["generation"],
            2,
            "{object}"
        );
    }
}

#[test]
fn without_restart_enabled_nothing_is_written_and_an_event_says_so() {
    let namespace = Namespace::create("restart-off");
    vault("t-1").store(&namespace);
    create(&namespace, &workload("Deployment", "web"));
    wait_rolled_out(&namespace, "deployment/web");
    wait_consumers(&namespace, 2);
    vault("t-2").store(&namespace);
    let pod = namespace.kubectl(&["get", "pods", "-l", "app=web", "-o", "name"]);
    let pod = pod.expect_success();
    let pod = pod
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("pod/")
        .to_owned();
    eventually("an Event says that it is not enabled", || {
        let events = namespace.events(&pod);
        if events.contains("restart is not enabled") {
            Ok(())
        } else {
            Err(events)
        }
    });
    thread::sleep(Duration::from_secs(15));
    let deployment = namespace.get("deployment/web");
    assert_eq!(deployment["metadata"]["generation"], 1, "{deployment}");
    assert_eq!(recorded(&namespace, "deployment/web"), None);
}

pub(crate) fn what_cannot_be_restarted_is_left_alone_and_told_so() {
    let namespace = Namespace::create("restart-not");
    vault("t-1").store(&namespace);
    let mut paused = workload("Deployment", "paused");
    create(&namespace, &paused);
    wait_rolled_out(&namespace, "deployment/paused");
    paused["spec"]["paused"] = json!(true);
    create(&namespace, &paused);
    let mut on_delete = workload("DaemonSet", "on-delete");
    on_delete["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    create(&namespace, &on_delete);
    let mut bare = template();
    bare["apiVersion"] = json!("v1");
    bare["kind"] = json!("Pod");
    bare["metadata"]["name"] = json!("bare");
    create(&namespace, &bare);
    wait_consumers(&namespace, 5);
    let before = ["deployment/paused", "daemonset/on-delete"]
        .map(|object| namespace.get(object)["metadata"]["generation"].clone());
    vault("t-2").store(&namespace);
    for (name, says) in [
        ("paused", "is paused"),
        ("on-delete", "OnDelete"),
        ("bare", "no Deployment"),
    ] {
        eventually(&format!("an Event about {name} says {says:?}"), || {
            let events = namespace.events(name);
            if events.contains(says) {
                Ok(())
            } else {
                Err(events)
            }
        });
    }
    let after = ["deployment/paused", "daemonset/on-delete"]
        .map(|object| namespace.get(object)["metadata"]["generation"].clone());
    assert_eq!(after, before);
    // Resumed, it rolls.
    let _ = namespace
        .kubectl(&["rollout", "resume", "deployment/paused"])
        .expect_success();
    eventually("the resumed Deployment is rolled", || {
        recorded(&namespace, "deployment/paused").ok_or("not yet")
    });
}

/// As the operator, whoever got hold of its token.
fn as_operator(namespace: &Namespace, patch: &Value) -> Answer {
    let operator = format!("system:serviceaccount:{SYSTEM}:secretvault-operator");
    let patch = patch.to_string();
    let arguments = [
        "--as",
        &operator,
        "-n",
        namespace.name(),
        "patch",
        "deployment/web",
        "--dry-run=server",
        "--type=merge",
        "-p",
        &patch,
    ];
    kubectl_with(&arguments, "")
}

pub(crate) fn the_operator_may_write_that_annotation_and_nothing_else_of_a_workload() {
    let namespace = Namespace::create("restart-policy");
    let mut web = workload("Deployment", "web");
    web["spec"]["template"]["metadata"]["annotations"] = json!({"team": "shop"});
    create(&namespace, &web);
    let annotations = |annotations: Value| json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    let containers = json!([{"name": "app", "image": "other"}]);
    let forbidden = [
        (
            json!({"spec": {"template": {"spec": {"containers": containers}}}}),
            "what pods are made of",
        ),
        (
            json!({"spec": {"template": {"spec": {"serviceAccountName": "admin"}}}}),
            "what pods are made of",
        ),
        (json!({"spec": {"replicas": 0}}), "which pods there are"),
        (
            json!({"spec": {"template": {"metadata": {"labels": {"team": "other"}}}}}),
            "which pods there are",
        ),
        (
            annotations(json!({"secretvault.dev/vaults": "other"})),
            "no annotation but",
        ),
        (annotations(json!({"team": "other"})), "no annotation but"),
        (annotations(json!({"team": null})), "no annotation but"),
    ];
    for (patch, says) in forbidden {
        // The API server takes a policy to heart some moments after it is installed.
        eventually(&format!("{patch} is refused"), || {
            let answer = as_operator(&namespace, &patch);
            if answer.succeeded || !answer.stderr.contains(says) {
                Err(answer)
            } else {
                Ok(())
            }
        });
    }
    // The control.
    let allowed = annotations(json!({RESTARTED_AT: "u@1"}));
    let _ = as_operator(&namespace, &allowed).expect_success();
}
