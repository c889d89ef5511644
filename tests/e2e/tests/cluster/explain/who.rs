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
    let _ = vault.apply(&namespace).expect_success();
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
            "restartPolicy": if kind == "CronJob" { "Never" } else { "Always" },
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
        ("ReplicaSet", "apps/v1"),
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
        "replicaset",
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

/// Somebody with one right, and what `who` should make of it.
struct Right {
    verb: &'static str,
    resource: &'static str,
    reaches: bool,
}

const RIGHTS: [Right; 8] = [
    right("create", "pods/exec", true),
    right("patch", "pods/ephemeralcontainers", true),
    right("create", "pods", true),
    right("update", "deployments.apps", true),
    right("create", "cronjobs.batch", true),
    right("manage", "secretvaults.secretvault.dev", true),
    right("get", "pods", false),
    right("get", "secretvaults.secretvault.dev", false),
];

const fn right(verb: &'static str, resource: &'static str, reaches: bool) -> Right {
    Right {
        verb,
        resource,
        reaches,
    }
}

/// Gives a user of the right's own the right, in one namespace.
fn grant(place: &Namespace, index: usize, right: &Right) {
    let user = format!("user-{index}-of-{}", place.name());
    let role = format!("r{index}");
    let create = ["create", "role", &role, "--verb", right.verb, "--resource"];
    let _ = place
        .kubectl(&[&create[..], &[right.resource]].concat())
        .expect_success();
    let bind = [
        "create",
        "rolebinding",
        &role,
        "--role",
        &role,
        "--user",
        &user,
    ];
    let _ = place.kubectl(&bind).expect_success();
}

#[test]
fn people_who_could_reach_it_anyway_are_those_whom_the_api_server_lets() {
    let namespace = scene("who-people");
    let web = Pod::mounting("web", "app").service_account("web");
    web.label("app", "web").run(&namespace);
    let apart = Namespace::create("who-apart");
    for (index, right) in RIGHTS.iter().enumerate() {
        for place in [&namespace, &apart] {
            grant(place, index, right);
        }
    }
    let group = format!("group-of-{}", namespace.name());
    let bind = [
        "create",
        "rolebinding",
        "g",
        "--clusterrole",
        "edit",
        "--group",
        &group,
    ];
    let _ = namespace.kubectl(&bind).expect_success();
    let found = who(&namespace, ENTRY);
    let people = found["people"].as_array().unwrap();
    let can = |who: &str| {
        let person = people.iter().find(|it| it["subject"] == who);
        person.map(|it| it["can"].to_string())
    };
    for (index, right) in RIGHTS.iter().enumerate() {
        let user = format!("user-{index}-of-{}", namespace.name());
        let found = can(&format!("user {user}"));
        assert_eq!(found.is_some(), right.reaches, "{user}: {found:?}");
        // The API server's own word, as far as this one right goes.
        // Of pods/exec, kubectl would take the second part for a name.
        let (resource, part) = right
            .resource
            .split_once('/')
            .unwrap_or((right.resource, ""));
        let part = format!("--subresource={part}");
        let asks = ["auth", "can-i", right.verb, resource, &part, "--as", &user];
        let answer = namespace.kubectl(&asks).stdout;
        assert_eq!(answer.trim(), "yes", "{user}");
        let apart = format!("user user-{index}-of-{}", apart.name());
        assert_eq!(can(&apart), None, "it has the right in another namespace");
    }
    let group = can(&format!("group {group}")).unwrap();
    assert!(group.contains("create pods/exec"), "{group}");
    let text = secretvault(&["who", "-n", namespace.name(), ENTRY]).stdout;
    for says in ["the group system:masters", "another authorizer than RBAC"] {
        assert!(text.contains(says), "{text}");
    }
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
