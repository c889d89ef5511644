use serde_json::{Value, json};

use crate::fixture::{accepted, apply, refused};

fn with_rule(rule: Value) -> Result<(), String> {
    apply(json!({"access": [rule]}))
}

#[test]
fn lists_that_would_allow_nothing_are_refused() {
    refused(apply(json!({"access": []})), &["spec.access: minItems"]);
    refused(
        with_rule(json!({"serviceAccounts": []})),
        &["serviceAccounts: minItems"],
    );
    refused(with_rule(json!({"entries": []})), &["entries: minItems"]);
    refused(
        with_rule(json!({"namespaces": {"names": []}})),
        &["names: minItems"],
    );
    refused(with_rule(json!({"namespaces": {}})), &["names: required"]);
    accepted(with_rule(json!({})));
}

#[test]
fn lists_are_bounded() {
    let many = |count, text: &str| vec![text.to_owned(); count];
    accepted(apply(json!({"access": vec![json!({}); 64]})));
    refused(
        apply(json!({"access": vec![json!({}); 65]})),
        &["spec.access: maxItems"],
    );
    for (field, limit) in [("serviceAccounts", 64), ("entries", 64)] {
        accepted(with_rule(json!({field: many(limit, "a")})));
        refused(
            with_rule(json!({field: many(limit + 1, "a")})),
            &[field, "maxItems"],
        );
    }
    accepted(with_rule(json!({"namespaces": {"names": many(64, "a")}})));
    refused(
        with_rule(json!({"namespaces": {"names": many(65, "a")}})),
        &["names: maxItems"],
    );
}

#[test]
fn names_and_patterns_have_their_alphabets() {
    accepted(with_rule(json!({"serviceAccounts": ["*", "web-*", "a.b"]})));
    accepted(with_rule(
        json!({"entries": ["**", "db/*", "A_b/c.d-e", "a".repeat(253)]}),
    ));
    accepted(with_rule(
        json!({"namespaces": {"names": ["a-b", "n".repeat(63)]}}),
    ));
    for account in ["", "a/b", "A", "a b", &"a".repeat(254)] {
        refused(
            with_rule(json!({"serviceAccounts": [account]})),
            &["serviceAccounts[0]"],
        );
    }
    for entry in ["", "/a", "a/", "a//b", "a b", "a?", &"a".repeat(254)] {
        refused(with_rule(json!({"entries": [entry]})), &["entries[0]"]);
    }
    for namespace in ["", "*", "a*", "A", "a.b", "-a", &"n".repeat(64)] {
        refused(
            with_rule(json!({"namespaces": {"names": [namespace]}})),
            &["names[0]"],
        );
    }
}

#[test]
fn expressions_have_the_values_that_their_operator_needs() {
    let with = |operator: &str, values: Option<Value>| {
        let mut expression = json!({"key": "app", "operator": operator});
        if let Some(values) = values {
            expression["values"] = values;
        }
        with_rule(json!({"podSelector": {"matchExpressions": [expression]}}))
    };
    for operator in ["In", "NotIn"] {
        accepted(with(operator, Some(json!(["web"]))));
        for values in [None, Some(json!([]))] {
            refused(with(operator, values), &["need at least one value"]);
        }
    }
    for operator in ["Exists", "DoesNotExist"] {
        accepted(with(operator, None));
        accepted(with(operator, Some(json!([]))));
        refused(with(operator, Some(json!(["web"]))), &["take none"]);
    }
    refused(with("Gt", Some(json!(["1"]))), &["operator: enum"]);
}

#[test]
fn selectors_are_bounded() {
    let labels = |count: usize| {
        let label = |i| (format!("l{i}"), json!("x"));
        json!({"podSelector": {"matchLabels": Value::Object((0..count).map(label).collect())}})
    };
    accepted(with_rule(labels(32)));
    refused(with_rule(labels(33)), &["matchLabels: maxProperties"]);
    let expressions = |count| {
        let expression = json!({"key": "app", "operator": "Exists"});
        json!({"podSelector": {"matchExpressions": vec![expression; count]}})
    };
    accepted(with_rule(expressions(32)));
    refused(with_rule(expressions(33)), &["matchExpressions: maxItems"]);
}
