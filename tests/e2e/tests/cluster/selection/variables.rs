//! Path variables: the reviewed pod's, and of one segment.

use secretvault_e2e::{Namespace, Pod, Vault};

use super::list;

#[test]
fn path_variables_are_the_pods_own() {
    let namespace = Namespace::create("variables");
    let account = ["create", "serviceaccount", "web"];
    let _ = namespace.kubectl(&account).expect_success();
    let of_namespace = format!("{}/of-namespace", namespace.name());
    let vault = Vault::named("app")
        .text("web-0/of-name", "name")
        .text(&of_namespace, "namespace")
        .text("web/of-account", "account")
        .text("node-a/of-node", "node")
        .text("blue/of-label", "label")
        .text("red/of-label", "another's");
    vault.store(&namespace);
    let items = "\
- {entry: ${pod.name}/of-name, path: name}
- {entry: ${pod.namespace}/of-namespace, path: namespace}
- {entry: ${pod.serviceAccountName}/of-account, path: account}
- {entry: ${node.name}/of-node, path: node}
- {entry: \"${pod.labels['example.com/team']}/of-label\", path: label}
";
    Pod::mounting("web-0", "app")
        .attribute("items", items)
        .service_account("web")
        .label("example.com/team", "blue")
        .on("node-a")
        .run(&namespace);
    assert_eq!(
        list(&namespace, "web-0"),
        [
            "account 0:0 444 account",
            "label 0:0 444 label",
            "name 0:0 444 name",
            "namespace 0:0 444 namespace",
            "node 0:0 444 node",
        ]
    );
}

/// Each refused pod differs in one thing from the control.
#[test]
fn a_variable_that_has_no_value_or_one_that_chooses_more_is_refused() {
    let namespace = Namespace::create("variables-refused");
    let vault = Vault::named("app").text("teams/blue/token", "t-1");
    vault.store(&namespace);
    let pod = |name: &str, items: &str| Pod::mounting(name, "app").attribute("items", items);
    let label = |name: &str| pod(name, "teams/${pod.labels['team']}/token");
    let cases = [
        (
            label("dots").label("team", "blue..red"),
            "is \"blue..red\" here, which cannot be",
        ),
        (
            label("absent").label("tea", "blue"),
            "the pod has no label \"team\"",
        ),
        (
            label("empty").label("team", ""),
            "is \"\" here, which cannot be",
        ),
        (
            pod("unknown", "teams/${pod.uid}/token"),
            "there is no ${pod.uid} here",
        ),
        (pod("unclosed", "teams/${pod.name"), "a ${ without a }"),
        (
            Pod::mounting("vaults", "${pod.namespace}/app"),
            "vaults: ${…} is not filled in here, only in items",
        ),
    ];
    for (pod, _) in &cases {
        pod.create(&namespace);
    }
    for (pod, why) in &cases {
        let _ = pod.wait_event(&namespace, why);
    }
    let control = label("control").label("team", "blue");
    control.run(&namespace);
    assert_eq!(control.read(&namespace, "teams/blue/token"), "t-1");
}

/// Access is decided by the entry that results, as if its name had been written out.
#[test]
fn a_variable_gives_no_right() {
    let namespace = Namespace::create("variables-right");
    let access = serde_json::json!([{"entries": ["teams/blue/**"]}]);
    let vault = Vault::named("app").text("teams/blue/token", "t-1");
    let vault = vault.text("teams/red/token", "t-2").spec("access", access);
    vault.store(&namespace);
    let team = |team: &str| {
        let pod = Pod::mounting(team, "app").label("team", team);
        pod.attribute("items", "teams/${pod.labels['team']}/token=token")
    };
    let red = team("red");
    red.create(&namespace);
    let _ = red.wait_event(&namespace, "entry teams/red/token of vault");
    let blue = team("blue");
    blue.run(&namespace);
    assert_eq!(blue.read(&namespace, "token"), "t-1");
}
