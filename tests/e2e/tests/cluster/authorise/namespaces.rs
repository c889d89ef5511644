//! Rules that select namespaces by label.

use std::time::Instant;

use secretvault_delivery::v1::Reason;
use secretvault_e2e::{Namespace, Pod, Vault, eventually, kubectl};
use serde_json::json;

use super::scene::{Bystander, Scene, bystander};
use super::table::{Ask, Refusal, Table, Treasure};
use crate::attacker::Outcome;

const NOT_THIS_POD: Refusal = Refusal::Denied(&[(
    Reason::Forbidden,
    "does not exist or does not allow this pod",
)]);
const NO_RULE: Refusal = Refusal::Denied(&[(Reason::Forbidden, "its access has no rule for")]);

/// Gives a namespace a label, or takes it away: `team=blue`, `team-`.
fn label(namespace: &Namespace, label: &str) {
    let label = ["label", "namespace", namespace.name(), label];
    let _ = kubectl(&label).expect_success();
}

fn web(namespace: &Namespace) -> Bystander {
    Bystander::create(namespace, "web", "web")
}

/// A pod that has the label which its namespace should have.
fn pretender(namespace: &Namespace) -> Bystander {
    let mut pod = bystander("pretender", "web");
    pod["metadata"]["labels"]["team"] = json!("blue");
    Bystander::create_as(namespace, &pod)
}

#[test]
fn a_namespace_has_what_its_labels_allow_as_long_as_it_has_them() {
    let [home, blue, red, plain] =
        ["labels", "labels-blue", "labels-red", "labels-plain"].map(Namespace::create);
    label(&blue, "team=blue");
    label(&red, "team=red");
    let rules = json!([
        {"serviceAccounts": ["owner"]},
        {
            "namespaces": {"selector": {"matchLabels": {"team": "blue"}}},
            "entries": ["db/*"],
        },
        {
            "namespaces": {
                "names": [red.name(), plain.name()],
                "selector": {"matchExpressions": [
                    {"key": "team", "operator": "In", "values": ["red", "blue"]},
                ]},
            },
            "entries": ["smtp/*"],
        },
    ]);
    let vault = Vault::named("app")
        .text("db/password", "hunter2")
        .text("smtp/token", "t-1")
        .spec("access", rules);
    vault.store(&home);
    let scene = Scene::new();
    let owner = Bystander::create(&home, "owner", "owner");
    let treasure = Treasure::of(&scene.operator, &scene.asks(&owner, "app", ""));
    let app = format!("{}/app", home.name());
    let of = |pod: &Bystander| scene.asks(pod, &app, "");
    let control = of(&web(&blue));
    let db = &["db/password"];
    let mut table = Table::new(&scene.operator, &treasure);

    let own = of(&web(&home));
    table.refuses("own namespace, unlabelled", &own, &NO_RULE, &control, db);
    let named = of(&web(&plain));
    table.refuses("named, unlabelled", &named, &NOT_THIS_POD, &control, db);
    let pretender = of(&pretender(&plain));
    table.refuses("a pod's label", &pretender, &NOT_THIS_POD, &control, db);
    let smtp = &["smtp/token"];
    let spare = of(&web(&red));
    table.releases("named and labelled", &spare, smtp);

    label(&blue, "team-");
    until_refused(&scene, &control);
    table.refuses("label removed", &control, &NOT_THIS_POD, &spare, smtp);
    table.finish();
}

/// What a replica knows of a namespace may be ten seconds old.
fn until_refused(scene: &Scene, ask: &Ask) {
    for replica in scene.operator.replicas() {
        eventually("each replica sees that the label is gone", || {
            let answer = replica.ask(&ask.authorization, &ask.volume);
            if matches!(answer.outcome, Outcome::Denied(..)) {
                Ok(())
            } else {
                Err(answer.outcome.to_string())
            }
        });
    }
}

/// Nothing is pushed: kubelet's republish asks again, and what it finds is taken away.
#[test]
fn files_go_from_a_running_pod_when_its_namespace_loses_the_label() {
    let [home, guest] = ["unlabel", "unlabel-guest"].map(Namespace::create);
    label(&guest, "team=blue");
    let rules = json!([
        {
            "namespaces": {"selector": {"matchLabels": {"team": "blue"}}},
            "entries": ["lost"],
        },
        {"namespaces": {"names": [guest.name()]}, "entries": ["kept"]},
    ]);
    let vault = Vault::named("app")
        .text("kept", "k-1")
        .text("lost", "l-1")
        .spec("access", rules);
    vault.store(&home);
    let pod = Pod::mounting("app", &format!("{}/app", home.name()));
    pod.run(&guest);
    assert_eq!(pod.read(&guest, "lost"), "l-1");
    label(&guest, "team-");
    let begun = Instant::now();
    eventually("the file goes", || {
        let there = guest.sh("app", "ls /run/secrets").into_result()?;
        if there.lines().any(|name| name == "lost") {
            Err(there)
        } else {
            Ok(())
        }
    });
    println!("  gone after {} s", begun.elapsed().as_secs());
    assert_eq!(pod.read(&guest, "kept"), "k-1");
}
