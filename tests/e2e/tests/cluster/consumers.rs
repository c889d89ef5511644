//! Who uses a vault, and who has not what it is now: what its status and `kubectl get sv` say.

use std::collections::BTreeSet;

use secretvault_e2e::{Namespace, Part, Pod, SYSTEM, Vault, eventually, kubectl, wait_replaced};
use serde_json::{Value, json};

use crate::running::vault;

/// Waits until the status counts so many consumers and stale ones, and returns it.
fn wait_counts(namespace: &Namespace, consumers: u32, stale: u32) -> Value {
    eventually("the status counts consumers and stale ones", || {
        let status = namespace.try_get("sv/app")?["status"].clone();
        if status["consumerCount"] == consumers && status["staleCount"] == stale {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
}

/// Whether so many pods use the vault and all of them hold this generation.
fn all_hold(status: &Value, pods: usize, generation: i64) -> bool {
    let consumers = status["consumers"].as_array().cloned().unwrap_or_default();
    consumers.len() == pods && consumers.iter().all(|it| it["generation"] == generation)
}

/// Waits until all pods hold a generation and none is stale. Meanwhile one may be shown as stale.
fn wait_followed(namespace: &Namespace, pods: usize, generation: i64) {
    eventually("the status says that all follow", || {
        let status = namespace.try_get("sv/app")?["status"].clone();
        if status["staleCount"] == 0 && all_hold(&status, pods, generation) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}

/// The same, and nobody is shown as stale meanwhile. The status waits until nothing has been heard for three
/// seconds: beside other tests, a pod's news may need longer.
fn wait_followed_unseen(namespace: &Namespace, pods: usize, generation: i64) {
    eventually("the status says that all follow", || {
        let status = namespace.try_get("sv/app")?["status"].clone();
        assert_eq!(status["staleCount"], 0, "{status}");
        if all_hold(&status, pods, generation) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}

fn names(status: &Value) -> BTreeSet<String> {
    let consumers = status["consumers"].as_array().cloned().unwrap_or_default();
    let names = consumers.iter().filter_map(|it| it["pod"].as_str());
    names.map(str::to_owned).collect()
}

/// `CONSUMERS` and `STALE`, as a person sees them.
fn columns(namespace: &Namespace) -> (String, String) {
    let table = namespace.kubectl(&["get", "sv", "app"]).expect_success();
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
    let cell = |name: &str| {
        let column = header.iter().position(|it| *it == name).unwrap();
        row[column].to_owned()
    };
    (cell("CONSUMERS"), cell("STALE"))
}

/// A pod by annotation, whose variables are made of the vault.
fn environment(name: &str) -> Pod {
    let annotations = json!({"secretvault.dev/vaults": "app", "secretvault.dev/env": "true"});
    Pod::mounting(name, "app")
        .with("/metadata/annotations", annotations)
        .with("/spec/volumes", json!([]))
        .with("/spec/containers/0/volumeMounts", json!([]))
}

#[test]
fn the_status_names_the_pods_that_use_a_vault_and_what_they_hold() {
    let namespace = Namespace::create("consumers");
    vault("t-1").store(&namespace);
    wait_counts(&namespace, 0, 0);
    let (one, other) = (
        Pod::mounting("one", "app"),
        Pod::mounting("other", "app").on("node-b"),
    );
    one.run(&namespace);
    other.run(&namespace);
    let status = wait_counts(&namespace, 2, 0);
    let full = |pod: &str| format!("{}/{pod}", namespace.name());
    assert_eq!(names(&status), BTreeSet::from([full("one"), full("other")]));
    let last = &status["consumers"][1];
    let expected = json!({"pod": full("other"), "node": "node-b", "generation": 1, "stale": false});
    assert_eq!(*last, expected);
    assert_eq!(columns(&namespace), ("2".to_owned(), "0".to_owned()));
    // A change reaches both.
    vault("t-2").store(&namespace);
    wait_followed(&namespace, 2, 2);
    // One that goes disappears.
    let _ = namespace
        .kubectl(&["delete", "pod", "one"])
        .expect_success();
    let status = wait_counts(&namespace, 1, 0);
    assert_eq!(names(&status), BTreeSet::from([full("other")]));
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn nobody_is_shown_as_stale_while_a_change_reaches_the_pods() {
    let namespace = Namespace::create("consumers-unseen");
    vault("t-1").store(&namespace);
    Pod::mounting("one", "app").run(&namespace);
    Pod::mounting("other", "app").on("node-b").run(&namespace);
    wait_counts(&namespace, 2, 0);
    vault("t-2").store(&namespace);
    wait_followed_unseen(&namespace, 2, 2);
}

#[test]
fn the_status_names_the_files_that_another_vault_of_the_pod_overrides() {
    let namespace = Namespace::create("consumers-overridden");
    for name in ["shared", "app"] {
        let vault = Vault::named(name).text("token", name).text(name, "own");
        vault.store(&namespace);
    }
    Pod::mounting("pod", "shared, app").run(&namespace);
    let _ = wait_counts(&namespace, 1, 0);
    let overridden = |vault: &str| {
        eventually("the status names the pod", || {
            let status = namespace.try_get(vault)?["status"].clone();
            let consumer = &status["consumers"][0];
            if consumer.is_null() {
                Err(status.to_string())
            } else {
                Ok(consumer["overridden"].clone())
            }
        })
    };
    assert_eq!(overridden("sv/shared"), json!(["token"]));
    assert_eq!(overridden("sv/app"), Value::Null);
}

#[test]
fn a_pod_whose_variables_are_older_than_the_values_is_stale_and_its_successor_is_not() {
    let namespace = Namespace::create("consumers-env");
    vault("t-1").store(&namespace);
    let pod = environment("env");
    pod.run(&namespace);
    wait_counts(&namespace, 1, 0);
    vault("t-2").store(&namespace);
    // Until its files follow, it may be stale for them.
    eventually("the pod holds the new files and the old variables", || {
        let status = namespace.try_get("sv/app")?["status"].clone();
        if status["consumers"][0]["reason"] == "Environment" && all_hold(&status, 1, 2) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    wait_counts(&namespace, 1, 1);
    assert_eq!(columns(&namespace), ("1".to_owned(), "1".to_owned()));
    let _ = namespace
        .kubectl(&["delete", "pod", "env"])
        .expect_success();
    pod.run(&namespace);
    wait_counts(&namespace, 1, 0);
    // What is no content makes no variable old.
    described("t-2").store(&namespace);
    wait_followed(&namespace, 1, 3);
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_pod_with_variables_is_not_shown_as_stale_while_a_description_reaches_it() {
    let namespace = Namespace::create("consumers-env-unseen");
    vault("t-1").store(&namespace);
    environment("env").run(&namespace);
    wait_counts(&namespace, 1, 0);
    described("t-1").store(&namespace);
    wait_followed_unseen(&namespace, 1, 2);
}

/// The same content, with a description.
fn described(token: &str) -> Vault {
    vault(token).spec("description", json!("What the shop needs"))
}

#[test]
fn whoever_deletes_a_vault_that_is_in_use_is_warned_by_name() {
    let namespace = Namespace::create("consumers-delete");
    vault("t-1").store(&namespace);
    let unused = Vault::named("unused").text("token", "t-1");
    unused.store(&namespace);
    Pod::mounting("web", "app").run(&namespace);
    wait_counts(&namespace, 1, 0);
    let delete = |vault: &str| {
        let answer = namespace.kubectl(&["delete", "sv", vault]);
        assert!(answer.succeeded, "{answer:?}");
        answer.stderr
    };
    let warning = delete("app");
    assert!(
        warning.contains(&format!("{}/web", namespace.name())),
        "{warning}"
    );
    let silence = delete("unused");
    assert!(!silence.contains("Warning"), "{silence}");
}

/// Which replicas have published their consumers.
fn published() -> BTreeSet<String> {
    let get = [
        "-n",
        SYSTEM,
        "get",
        "configmap/secretvault-consumers",
        "-o",
        "json",
    ];
    keys(&kubectl(&get).expect_success())
}

fn keys(config_map: &str) -> BTreeSet<String> {
    let config_map: Value = serde_json::from_str(config_map).unwrap();
    let data = config_map["data"].as_object().cloned().unwrap_or_default();
    data.keys().cloned().collect()
}

fn wait_published() {
    eventually("each replica has published, and nobody else", || {
        let operators = Part::operators().into_iter().map(|part| part.name);
        let (expected, found) = (operators.collect::<BTreeSet<_>>(), published());
        if found == expected {
            Ok(())
        } else {
            Err((found, expected))
        }
    });
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn the_consumers_are_right_after_the_replicas_are_replaced_and_killed() {
    let namespace = Namespace::create("consumers-replicas");
    vault("t-1").store(&namespace);
    let pods = ["one", "two", "three"].map(|name| Pod::mounting(name, "app"));
    for pod in &pods {
        pod.run(&namespace);
    }
    wait_counts(&namespace, 3, 0);
    wait_published();
    let operator = "deployment/secretvault-operator";
    let _ = kubectl(&["-n", SYSTEM, "rollout", "restart", operator]).expect_success();
    wait_replaced();
    wait_published();
    wait_counts(&namespace, 3, 0);
    // One that is killed takes nothing away: its successor has its name, and writes over it.
    for replica in Part::operators() {
        replica.kill();
    }
    let _ = namespace
        .kubectl(&["delete", "pod", "one"])
        .expect_success();
    let status = wait_counts(&namespace, 2, 0);
    assert_eq!(names(&status).len(), 2, "{status}");
    wait_published();
    // A key of a replica that never was goes.
    let forged = json!({"data": {"operator-x": r#"{"version":1,"vaults":{}}"#}}).to_string();
    let patch = [
        "-n",
        SYSTEM,
        "patch",
        "configmap/secretvault-consumers",
        "--type=merge",
        "-p",
        &forged,
        "-o",
        "json",
    ];
    // The answer tells it, for it may be gone before anybody looks.
    let patched = kubectl(&patch).expect_success();
    assert!(keys(&patched).contains("operator-x"), "{patched}");
    wait_published();
}
