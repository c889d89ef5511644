//! All that the parts may do, line by line, as kubectl lists it.

use std::collections::BTreeSet;

use secretvault_e2e::{Namespace, SYSTEM, kubectl};
use serde_json::Value;

use super::{rights, user};
use crate::attacker::{AGENT, OPERATOR};

/// The lines that a user has and not just anybody, with one blank between the words.
fn own_lines(account: &str, place: &str) -> BTreeSet<String> {
    let rights = |user: &str| -> BTreeSet<String> {
        let listed = rights(user, place);
        let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        listed.iter().map(words).collect()
    };
    let anybody = rights(&user("no-such-namespace", "anybody"));
    let own = rights(&user(SYSTEM, account));
    own.difference(&anybody).cloned().collect()
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_operators_rights_are_these_lines_and_no_others() {
    let elsewhere = Namespace::create("lines");
    let everywhere = lines(EVERYWHERE);
    for place in [elsewhere.name(), "default", "kube-system"] {
        assert_eq!(own_lines(OPERATOR, place), everywhere, "in {place}");
    }
    let own: BTreeSet<String> = everywhere.union(&lines(OWN)).cloned().collect();
    assert_eq!(own_lines(OPERATOR, SYSTEM), own, "in {SYSTEM}");
    let wide = own.iter().find(|line| line.contains('*'));
    assert_eq!(wide, None, "a wildcard");
}

#[test]
fn the_agent_has_no_line_of_its_own_anywhere() {
    let elsewhere = Namespace::create("lines");
    for place in [elsewhere.name(), "default", "kube-system", SYSTEM] {
        assert_eq!(own_lines(AGENT, place), BTreeSet::new(), "in {place}");
    }
}

/// The webhooks are the operator's, and have no account: there is none but these two, and nobody else is
/// bound to their roles.
#[test]
fn there_are_two_accounts_and_one_of_them_has_two_bindings() {
    let accounts = ["-n", SYSTEM, "get", "serviceaccounts", "-o", "name"];
    let accounts = kubectl(&accounts).expect_success();
    let accounts: BTreeSet<&str> = accounts.lines().collect();
    let expected = [
        "serviceaccount/default",
        "serviceaccount/secretvault-node-agent",
        "serviceaccount/secretvault-operator",
    ];
    assert_eq!(accounts, expected.into());

    let bindings = [
        "get",
        "clusterrolebindings,rolebindings",
        "-A",
        "-o",
        "json",
    ];
    let bindings: Value = serde_json::from_str(&kubectl(&bindings).expect_success()).unwrap();
    let bindings = bindings["items"].as_array().unwrap().iter();
    let ours = bindings.filter(|it| {
        let subjects = it["subjects"].as_array().into_iter().flatten();
        let mut subjects = subjects.filter(|subject| {
            let groups = subject["name"].as_str().unwrap_or_default();
            subject["namespace"] == SYSTEM || groups.ends_with(SYSTEM)
        });
        subjects.next().is_some()
    });
    let ours = ours.map(|it| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert_eq!(it["subjects"].as_array().unwrap().len(), 1, "{it}");
        let subject = text(&it["subjects"][0]["name"]);
        format!(
            "{} {} → {subject}",
            text(&it["kind"]),
            text(&it["roleRef"]["name"])
        )
    });
    let ours: BTreeSet<String> = ours.collect();
    let expected = [
        "ClusterRoleBinding secretvault-operator → secretvault-operator",
        "RoleBinding secretvault-operator → secretvault-operator",
    ];
    assert_eq!(ours, expected.map(str::to_owned).into());
}

/// Of the operator, in every namespace: resources, URLs, names, verbs.
const EVERYWHERE: &str = "\
events.events.k8s.io [] [] [create]
keyproviders.secretvault.dev [] [] [get list watch create]
keyproviders.secretvault.dev/status [] [] [patch]
mutatingwebhookconfigurations.admissionregistration.k8s.io [] [00-secretvault] [get list watch patch]
namespaces [] [] [get list watch]
pods [] [] [get]
secretvaults.secretvault.dev [] [] [get list watch patch]
secretvaults.secretvault.dev/status [] [] [patch]
subjectaccessreviews.authorization.k8s.io [] [] [create]
tokenreviews.authentication.k8s.io [] [] [create]";

/// Of the operator, in its own namespace.
const OWN: &str = "\
configmaps [] [secretvault-audit-checkpoints] [create patch]
configmaps [] [secretvault-ca] [get list watch create patch]
configmaps [] [secretvault-consumers] [get list watch create patch]
leases.coordination.k8s.io [] [] [create]
leases.coordination.k8s.io [] [secretvault-operator] [get patch]
secrets [] [] [get list watch create update]
serviceaccounts/token [] [secretvault-operator] [create]";
