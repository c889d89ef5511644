//! What the parts of SecretVault may do at the API server and on their nodes, and what not.

mod lines;
mod pods;

use std::collections::BTreeSet;

use secretvault_delivery::AGENT_AUDIENCE;
use secretvault_e2e::{Answer, Namespace, SYSTEM, api, eventually, kubectl};
use serde_json::json;

use crate::attacker::{AGENT, Bound, OPERATOR, Token, kubectl_as, mint, part_of_system};

fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// All that a user may do in a namespace, as kubectl lists it.
fn rights(user: &str, namespace: &str) -> BTreeSet<String> {
    let list = [
        "auth",
        "can-i",
        "--list",
        "--as",
        user,
        "--namespace",
        namespace,
    ];
    let list = kubectl(&list).expect_success();
    list.lines().map(str::to_owned).collect()
}

#[test]
fn the_node_agent_may_do_nothing_that_not_every_account_may() {
    let namespace = Namespace::create("rights");
    let [agent, operator] = [AGENT, OPERATOR].map(|account| user(SYSTEM, account));
    let anybody = user(namespace.name(), "anybody");
    for place in [SYSTEM, "kube-system", "default", namespace.name()] {
        let basic = rights(&anybody, place);
        assert!(!basic.is_empty());
        assert_eq!(rights(&agent, place), basic, "in {place}");
        // The comparison can fail.
        assert_ne!(rights(&operator, place), basic, "in {place}");
    }
}

fn whoami(token: &Token) -> Answer {
    kubectl_as(token, &["auth", "whoami"], "")
}

#[test]
fn the_node_agents_only_token_is_none_for_the_api_server() {
    for node in ["node-a", "node-b"] {
        let pod = part_of_system(AGENT, Some(node));
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let sources = volumes
            .iter()
            .filter_map(|it| it["projected"]["sources"].as_array());
        let tokens = sources.flatten().map(|it| &it["serviceAccountToken"]);
        let tokens: Vec<_> = tokens.filter(|token| !token.is_null()).collect();
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        assert_eq!(tokens[0]["audience"], AGENT_AUDIENCE);
        let token = |audience| mint(SYSTEM, AGENT, audience, Bound::to_pod(&pod));
        let refused = whoami(&token(AGENT_AUDIENCE)).expect_failure();
        assert!(refused.contains("Unauthorized"), "{refused}");
        // The control differs in the audience.
        let known = whoami(&token("")).expect_success();
        assert!(known.contains(&user(SYSTEM, AGENT)), "{known}");
    }
}

/// Whether the operator may do this: `verb resource[:subresource][/name] place`.
fn operator_may(right: &str, elsewhere: &str) -> bool {
    let words: Vec<&str> = right.split_whitespace().collect();
    let [verb, resource, place] = words[..] else {
        panic!("no right: {right}");
    };
    let (resource, name) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, subresource) = resource.split_once(':').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let place = match place {
        "anywhere" => "",
        "elsewhere" => elsewhere,
        "own" => SYSTEM,
        other => other,
    };
    let attributes = json!({
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "name": name,
        "namespace": place,
    });
    api::may(&user(SYSTEM, OPERATOR), &attributes).unwrap()
}

/// The lines of a table that are not so.
fn wrong<'a>(table: &'a str, elsewhere: &Namespace) -> Vec<&'a str> {
    let lines = table.lines().filter(|line| {
        let (expected, right) = line.split_once(' ').unwrap();
        operator_may(right, elsewhere.name()) != (expected == "yes")
    });
    lines.collect()
}

#[test]
fn the_operator_may_do_what_its_work_needs_and_no_more() {
    let elsewhere = Namespace::create("operator");
    let wrong = wrong(RIGHTS, &elsewhere);
    assert!(wrong.is_empty(), "not so: {wrong:#?}");
}

pub(crate) fn with_restart_enabled_the_operator_may_patch_workloads_and_no_more() {
    let elsewhere = Namespace::create("operator-restart");
    eventually("the rights are as they should be", || {
        let wrong = wrong(RESTART_RIGHTS, &elsewhere);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    });
}

/// What it must not, and the nearest that it may.
const RIGHTS: &str = "\
no  get secrets elsewhere
no  get secrets kube-system
yes get secrets own
no  list secrets anywhere
yes list secrets own
no  watch secrets elsewhere
no  create secrets elsewhere
yes create secrets own
yes update secrets/secretvault-keyring own
no  patch secrets/secretvault-keyring own
yes update secrets/secretvault-ca own
no  update secrets elsewhere
no  delete secrets own
no  create serviceaccounts:token elsewhere
no  create serviceaccounts:token/secretvault-operator elsewhere
no  create serviceaccounts:token own
no  create serviceaccounts:token/secretvault-node-agent own
yes create serviceaccounts:token/secretvault-operator own
no  get serviceaccounts own
yes create tokenreviews.authentication.k8s.io anywhere
no  impersonate serviceaccounts elsewhere
no  impersonate users anywhere
no  create pods elsewhere
no  create pods own
no  list pods elsewhere
no  create pods:exec elsewhere
no  get pods:log elsewhere
no  patch pods:ephemeralcontainers elsewhere
yes get pods elsewhere
no  create secretvaults.secretvault.dev elsewhere
no  update secretvaults.secretvault.dev elsewhere
yes patch secretvaults.secretvault.dev elsewhere
no  delete secretvaults.secretvault.dev elsewhere
no  restore secretvaults.secretvault.dev elsewhere
no  manage secretvaults.secretvault.dev elsewhere
yes get secretvaults.secretvault.dev elsewhere
yes watch secretvaults.secretvault.dev anywhere
yes patch secretvaults.secretvault.dev:status elsewhere
no  update keyproviders.secretvault.dev anywhere
no  patch keyproviders.secretvault.dev anywhere
no  delete keyproviders.secretvault.dev anywhere
yes create keyproviders.secretvault.dev anywhere
no  create mutatingwebhookconfigurations.admissionregistration.k8s.io anywhere
no  patch mutatingwebhookconfigurations.admissionregistration.k8s.io/other anywhere
yes patch mutatingwebhookconfigurations.admissionregistration.k8s.io/00-secretvault anywhere
no  patch customresourcedefinitions.apiextensions.k8s.io anywhere
no  create clusterrolebindings.rbac.authorization.k8s.io anywhere
no  bind clusterroles.rbac.authorization.k8s.io anywhere
no  escalate clusterroles.rbac.authorization.k8s.io anywhere
yes get namespaces anywhere
yes watch namespaces anywhere
no  patch namespaces anywhere
no  create namespaces anywhere
no  get nodes:proxy anywhere
no  get configmaps elsewhere
no  get configmaps own
no  get configmaps/secretvault-audit-checkpoints own
yes patch configmaps/secretvault-audit-checkpoints own
no  delete configmaps/secretvault-audit-checkpoints own
yes get configmaps/secretvault-consumers own
yes patch configmaps/secretvault-consumers own
no  update configmaps/secretvault-consumers own
no  delete configmaps/secretvault-consumers own
no  patch configmaps/other own
no  get replicasets.apps elsewhere
no  get deployments.apps elsewhere
no  patch deployments.apps elsewhere
no  patch deployments.apps own
no  patch statefulsets.apps elsewhere
no  patch daemonsets.apps elsewhere";

/// The same with the chart's value `restart.enabled`.
const RESTART_RIGHTS: &str = "\
yes get replicasets.apps elsewhere
no  patch replicasets.apps elsewhere
yes get deployments.apps elsewhere
no  list deployments.apps elsewhere
no  watch deployments.apps elsewhere
yes patch deployments.apps elsewhere
no  update deployments.apps elsewhere
no  create deployments.apps elsewhere
no  delete deployments.apps elsewhere
no  patch deployments.apps:scale elsewhere
yes patch statefulsets.apps elsewhere
no  delete statefulsets.apps elsewhere
yes patch daemonsets.apps elsewhere
no  delete daemonsets.apps elsewhere
no  delete pods elsewhere
no  create pods:eviction elsewhere
no  get jobs.batch elsewhere";
