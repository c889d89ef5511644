mod people;

use std::collections::BTreeSet;

use secretvault_e2e::{Namespace, Pod, Vault, eventually};
use serde_json::{Value, json};

use super::{Said, kubeconfig_of, secretvault, secretvault_with};

const ENTRY: &str = "app/db/password";

fn scene(name: &str) -> Namespace {
    let namespace = Namespace::create(name);
    for account in ["web", "batch", "other"] {
        let create = ["create", "serviceaccount", account];
        let _ = namespace.kubectl(&create).expect_success();
    }
    let vault = Vault::named("app")
        .text("db/password", "p-1")
        .text("smtp/token", "t-1")
        .spec(
            "access",
            json!([
                {"serviceAccounts": ["web"], "podSelector": {"matchLabels": {"app": "web"}}},
                {"serviceAccounts": ["batch"], "entries": ["smtp/**"]},
            ]),
        );
    vault.store(&namespace);
    namespace
}

fn who(namespace: &Namespace, what: &str) -> Value {
    let said = secretvault(&["who", "-n", namespace.name(), what, "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    said.json()
}

fn column(rows: &Value, name: &str) -> BTreeSet<String> {
    let rows = rows.as_array().unwrap().iter();
    let names = rows.map(|row| row[name].as_str().unwrap());
    let short = names.map(|name| name.rsplit('/').next().unwrap().to_owned());
    short.collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn pods_that_hold_it_are_told_from_those_that_only_ask() {
    let namespace = scene("who-pods");
    let web = Pod::mounting("web", "app").service_account("web");
    web.label("app", "web").run(&namespace);
    Pod::mounting("batch", "app")
        .service_account("batch")
        .run(&namespace);
    let refused = Pod::mounting("refused", "app").service_account("other");
    refused.create(&namespace);
    eventually("the operator knows who holds the vault", || {
        let found = who(&namespace, ENTRY);
        let pods = found["pods"].as_array().unwrap().clone();
        let pods = pods.iter().map(|pod| {
            let name = pod["pod"].as_str().unwrap().rsplit('/').next().unwrap();
            let gets = pod["gets"].as_str().unwrap();
            let gets = gets.split(':').next().unwrap();
            format!("{name} {} {gets}", pod["holds"])
        });
        let pods: BTreeSet<String> = pods.collect();
        // The vault is held by the pod of the batch, but not this entry of it.
        let expected = set(&[
            "web true 1 file",
            "batch true no file",
            "refused false denied",
        ]);
        if pods == expected { Ok(()) } else { Err(pods) }
    });
    let token = who(&namespace, "app/smtp/token");
    assert_eq!(token["pods"].as_array().unwrap().len(), 3);
    let accounts = column(&token["serviceAccounts"], "account");
    assert_eq!(accounts, set(&["batch", "web"]));
    let accounts = who(&namespace, ENTRY)["serviceAccounts"].clone();
    assert_eq!(column(&accounts, "account"), set(&["web"]));
    assert_eq!(accounts[0]["by"][0], "access[0] (pods with app=web)");
}

/// A workload of a kind that runs nothing now: a Deployment without replicas, a suspended CronJob.
fn idle(kind: &str, version: &str, name: &str) -> Value {
    let template = json!({
        "metadata": {
            "labels": {"app": "web"},
            "annotations": {"secretvault.dev/vaults": "app", "secretvault.dev/items": "db/password"},
        },
        "spec": {
            "serviceAccountName": "web",
            "restartPolicy": if kind.ends_with("Job") { "Never" } else { "Always" },
            "containers": [{"name": "app", "image": "busybox:stable", "command": ["true"]}],
        },
    });
    let selector = json!({"matchLabels": {"app": "web"}});
    let spec = match kind {
        "CronJob" => json!({
            "schedule": "0 0 1 1 *",
            "suspend": true,
            "jobTemplate": {"spec": {"template": template}},
        }),
        "DaemonSet" => json!({"selector": selector, "template": {
            "metadata": template["metadata"],
            "spec": {
                "nodeSelector": {"secretvault.dev/no-such": "node"},
                "serviceAccountName": "web",
                "containers": template["spec"]["containers"],
            },
        }}),
        "Job" => json!({"suspend": true, "template": template}),
        // It selects by the template's labels.
        "ReplicationController" => json!({"replicas": 0, "template": template}),
        "StatefulSet" => json!({
            "replicas": 0, "serviceName": "none", "selector": selector, "template": template,
        }),
        _ => json!({"replicas": 0, "selector": selector, "template": template}),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

#[test]
fn workloads_that_ask_for_it_are_named_although_nothing_of_them_runs() {
    let namespace = scene("who-workloads");
    for (kind, version) in [
        ("CronJob", "batch/v1"),
        ("DaemonSet", "apps/v1"),
        ("Deployment", "apps/v1"),
        ("Job", "batch/v1"),
        ("ReplicaSet", "apps/v1"),
        ("ReplicationController", "v1"),
        ("StatefulSet", "apps/v1"),
    ] {
        let name = kind.to_lowercase();
        let workload = idle(kind, version, &name).to_string();
        let _ = namespace.apply(&workload).expect_success();
    }
    let found = who(&namespace, ENTRY);
    let all = set(&[
        "cronjob",
        "daemonset",
        "deployment",
        "job",
        "replicaset",
        "replicationcontroller",
        "statefulset",
    ]);
    assert_eq!(column(&found["workloads"], "workload"), all, "{found}");
    let rows = found["workloads"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["gets"] == "1 file"), "{found}");
    let runs = column(&found["workloads"], "runs");
    assert_eq!(runs, set(&["0 replicas", "on 0 nodes", "suspended"]));
    assert_eq!(found["pods"], json!([]));
    // They ask for one entry of the vault, and for no other.
    assert_eq!(who(&namespace, "app/smtp/token")["workloads"], json!([]));
}

#[test]
fn what_is_not_there_is_said_and_what_is_not_seen_too() {
    let namespace = scene("who-blind");
    let fails = |what: &str| -> Said {
        let said = secretvault(&["who", "-n", namespace.name(), what]);
        assert_eq!(said.code, 2, "{said:?}");
        said
    };
    assert!(fails("apq").stderr.contains("did you mean"));
    let entry = fails("app/db/pasword").stderr;
    assert!(entry.contains("did you mean db/password?"), "{entry}");
    let turned = secretvault(&["who", &format!("{}/app", namespace.name())]);
    let hint = format!("type `secretvault who -n {} app`", namespace.name());
    assert!(
        turned.code == 2 && turned.stderr.contains(&hint),
        "{turned:?}"
    );
    let somebody = format!("viewer-of-{}", namespace.name());
    let bind = [
        "create",
        "rolebinding",
        "v",
        "--clusterrole",
        "view",
        "--user",
        &somebody,
    ];
    let _ = namespace.kubectl(&bind).expect_success();
    let config = kubeconfig_of(&somebody, &namespace);
    eventually("the role is bound", || {
        let said = secretvault_with(Some(config.path()), &["who", "-n", namespace.name(), "app"]);
        if said.code == 0 { Ok(()) } else { Err(said) }
    });
    let who = ["who", "-n", namespace.name(), "app"];
    let said = secretvault_with(Some(config.path()), &who);
    for unseen in [
        "not seen: you may not list pods of other namespaces than",
        "not seen: you may not list clusterroles",
        "not seen: you may not list rolebindings",
    ] {
        assert!(said.stdout.contains(unseen), "{said:?}");
    }
    assert!(
        said.stdout.contains(&format!("{}/web", namespace.name())),
        "{said:?}"
    );
}
