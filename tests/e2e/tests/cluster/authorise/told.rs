//! What is told to whoever writes access rules: which rule, which field, and what is wrong.

use secretvault_e2e::{Namespace, Vault};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-rules";

fn with_rule(rule: &Value) -> Vault {
    let vault = Vault::named("app").text("db/password", VALUE);
    vault.spec("access", json!([{"serviceAccounts": ["web"]}, rule]))
}

#[test]
fn a_wrong_rule_is_refused_by_its_place() {
    let namespace = Namespace::create("told");
    for (rule, place, problem) in [
        (json!({"entries": [1]}), "entries[0]", "type"),
        (
            json!({"serviceAccount": "a"}),
            "serviceAccount",
            "unknown field",
        ),
        (json!({"entries": ["/a"]}), "entries[0]", "empty segment"),
        (json!({"entries": ["a**"]}), "entries[0]", "whole segment"),
        (json!({"entries": []}), "entries", "nothing"),
        (
            json!({"serviceAccounts": ["A"]}),
            "serviceAccounts[0]",
            "'A'",
        ),
        (json!({"namespaces": {}}), "namespaces", "names, a selector"),
        (
            json!({"namespaces": {"selector": {}}}),
            "namespaces.selector",
            "every namespace",
        ),
        (
            json!({"namespaces": {"names": ["*"]}}),
            "namespaces.names[0]",
            "name of a namespace",
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "podSelector.matchExpressions[0]",
            "at least one value",
        ),
    ] {
        let place = format!("spec.access[1].{place}");
        let refused = with_rule(&rule).apply(&namespace);
        refused.expect_refusal(&[&place, problem], VALUE);
    }
    with_rule(&json!({})).store(&namespace);
}

#[test]
fn a_rule_that_can_never_match_is_a_warning() {
    let namespace = Namespace::create("told-never");
    let exists = |key: &str| json!({"key": key, "operator": "Exists"});
    let missing = json!({"key": "a", "operator": "DoesNotExist"});
    for (rule, warning) in [
        (
            json!({"entries": ["smtp/*"]}),
            "entries: no entry of this vault",
        ),
        (
            json!({"serviceAccounts": ["web-"]}),
            "serviceAccounts: no service account can",
        ),
        (
            json!({"podSelector": {"matchExpressions": [exists("a"), missing]}}),
            "podSelector: its conditions on the label \"a\" contradict each other",
        ),
        (
            json!({"namespaces": {"selector": {"matchExpressions": [exists("a b")]}}}),
            "namespaces.selector: nothing can have a label",
        ),
    ] {
        let answer = with_rule(&rule).apply(&namespace);
        let warning = format!("Warning: spec.access[1].{warning}");
        assert!(answer.stderr.contains(&warning), "{}", answer.stderr);
        assert!(!answer.stderr.contains(VALUE));
        let _ = answer.expect_success();
    }
    let answer = with_rule(&json!({"entries": ["db/*"]})).apply(&namespace);
    assert_eq!(answer.stderr, "");
    // The same by taking away what the rule is about.
    let patch = r#"[
        {"op": "remove", "path": "/spec/data/db~1password"},
        {"op": "add", "path": "/spec/data/other", "value": "o-1"}
    ]"#;
    let answer = namespace.kubectl(&["patch", "sv/app", "--type=json", "-p", patch]);
    assert!(
        answer.stderr.contains("spec.access[1].entries"),
        "{answer:?}"
    );
}
