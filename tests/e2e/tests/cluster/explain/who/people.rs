//! People and machines that could reach an entry by other ways than a pod of their own.

use secretvault_e2e::{Namespace, Pod, SYSTEM, Vault, api, eventually, kubectl};
use serde_json::{Value, json};

use super::{ENTRY, scene, secretvault, who};

/// Somebody with one right, and what `who` should make of it.
struct Right {
    verb: &'static str,
    resource: &'static str,
    reaches: bool,
}

const RIGHTS: [Right; 15] = [
    right("create", "pods/exec", true),
    right("create", "pods/attach", true),
    right("create", "jobs.batch", true),
    right("create", "replicationcontrollers", true),
    right("patch", "daemonsets.apps", true),
    right("patch", "replicasets.apps", true),
    right("patch", "statefulsets.apps", true),
    right("bind", "roles.rbac.authorization.k8s.io", true),
    right("patch", "pods/ephemeralcontainers", true),
    right("create", "pods", true),
    right("update", "deployments.apps", true),
    right("create", "cronjobs.batch", true),
    right("manage", "secretvaults.secretvault.dev", true),
    right("get", "pods", false),
    right("get", "secretvaults.secretvault.dev", false),
];

impl Right {
    /// Its group, kind and subresource: `jobs.batch`, `pods/exec`.
    fn parts(&self) -> (&str, &str, &str) {
        let (kind, part) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        (group, kind, part)
    }

    /// A role that gives it.
    fn role(&self, name: &str) -> Value {
        let (group, kind, part) = self.parts();
        let resource = match part {
            "" => kind.to_owned(),
            part => format!("{kind}/{part}"),
        };
        let rule = json!({"apiGroups": [group], "resources": [resource], "verbs": [self.verb]});
        json!({"metadata": {"name": name}, "rules": [rule]})
    }
}

/// Binds a role of its own name to a user.
fn binding(kind: &str, role: &str, user: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": kind, "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    })
}

const fn right(verb: &'static str, resource: &'static str, reaches: bool) -> Right {
    Right {
        verb,
        resource,
        reaches,
    }
}

/// Rights that are no namespace's.
const RIGHTS_OF_THE_CLUSTER: [Right; 6] = [
    right("create", "nodes/proxy", true),
    right("update", "keyproviders.secretvault.dev", true),
    right("impersonate", "users", true),
    right("impersonate", "groups", true),
    right("escalate", "clusterroles.rbac.authorization.k8s.io", true),
    right("get", "nodes", false),
];

/// A role of the cluster and its binding, until they drop.
struct ClusterRight(String);

impl ClusterRight {
    fn grant(user: &str, right: &Right) -> Self {
        let granted = Self(user.to_owned());
        let bound = binding("ClusterRole", user, user);
        let _ = api::create("", "clusterrole", &right.role(user)).unwrap();
        let _ = api::create("", "clusterrolebinding", &bound).unwrap();
        granted
    }
}

impl Drop for ClusterRight {
    fn drop(&mut self) {
        for kind in ["clusterrolebinding", "clusterrole"] {
            let _ = api::delete("", &format!("{kind}/{}", self.0));
        }
    }
}

/// Who is said to reach an entry, and by what.
fn people(namespace: &Namespace, what: &str) -> impl Fn(&str) -> Option<String> {
    let found = who(namespace, what)["people"].clone();
    move |who: &str| {
        let mut people = found.as_array().unwrap().iter();
        let person = people.find(|it| it["subject"] == who);
        person.map(|it| it["can"].to_string())
    }
}

#[test]
fn people_whose_rights_are_no_namespaces_own_are_named_too() {
    let namespace = scene("who-cluster");
    let web = Pod::mounting("web", "app").service_account("web");
    web.label("app", "web").run(&namespace);
    let user = |index: usize| format!("user-{index}-of-{}", namespace.name());
    let rights = RIGHTS_OF_THE_CLUSTER.iter().enumerate();
    let _granted: Vec<ClusterRight> = rights
        .clone()
        .map(|(index, right)| ClusterRight::grant(&user(index), right))
        .collect();
    let account = format!("{}:batch", namespace.name());
    let bind = ["create", "rolebinding", "machine", "--clusterrole", "edit"];
    let bind = [&bind[..], &["--serviceaccount", &account]].concat();
    let _ = namespace.kubectl(&bind).expect_success();
    let can = people(&namespace, ENTRY);
    for (index, right) in rights {
        let found = can(&format!("user {}", user(index)));
        assert_eq!(found.is_some(), right.reaches, "{}", right.resource);
    }
    let machine = can(&format!("service account {}/batch", namespace.name())).unwrap();
    assert!(machine.contains("create pods/exec"), "{machine}");
}

#[test]
fn what_is_public_is_reached_by_whoever_may_read_the_vault() {
    let namespace = Namespace::create("who-public");
    let vault = Vault::named("app").text("a", "1").public("host", "2");
    vault.store(&namespace);
    let right = right("get", "secretvaults.secretvault.dev", true);
    grant(&namespace, 0, &right);
    let reader = format!("user user-0-of-{}", namespace.name());
    let reads = |what: &str| people(&namespace, what)(&reader).is_some();
    assert!(reads("app/host") && reads("app") && !reads("app/a"));
}

/// Whoever reads the keyring opens every value.
#[test]
fn whoever_reads_secrets_where_the_keyring_is_is_named() {
    let namespace = scene("who-keyring");
    let user = format!("reader-of-{}", namespace.name());
    let name = namespace.name();
    let role = ["-n", SYSTEM, "create", "role", name, "--verb", "get"];
    let role = [&role[..], &["--resource", "secrets"]].concat();
    let _ = kubectl(&role).expect_success();
    let bind = ["-n", SYSTEM, "create", "rolebinding", name, "--role", name];
    let bind = [&bind[..], &["--user", &user]].concat();
    let _ = kubectl(&bind).expect_success();
    let found = people(&namespace, ENTRY)(&format!("user {user}"));
    for kind in ["rolebinding", "role"] {
        let _ = kubectl(&["-n", SYSTEM, "delete", kind, name]).expect_success();
    }
    assert!(found.unwrap().contains("get secrets in"));
}

/// Gives a user of the right's own the right, in one namespace.
fn grant(place: &Namespace, index: usize, right: &Right) {
    let user = format!("user-{index}-of-{}", place.name());
    let role = format!("r{index}");
    let bound = binding("Role", &role, &user);
    let _ = api::create(place.name(), "role", &right.role(&role)).unwrap();
    let _ = api::create(place.name(), "rolebinding", &bound).unwrap();
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
        // The API server's own word, as far as this one right goes, once it has heard of the binding.
        let (group, kind, part) = right.parts();
        let asked = json!({
            "verb": right.verb,
            "group": group,
            "resource": kind,
            "subresource": part,
            "namespace": namespace.name(),
        });
        eventually(&format!("{user} may"), || match api::may(&user, &asked) {
            Ok(true) => Ok(()),
            other => Err(other),
        });
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
