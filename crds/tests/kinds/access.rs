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
    accepted(with_rule(json!({})));
}

#[test]
fn namespaces_are_named_or_selected_or_both() {
    let labels = json!({"matchLabels": {"team": "shop"}});
    let expressions = json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]});
    accepted(with_rule(json!({"namespaces": {"names": ["batch"]}})));
    accepted(with_rule(json!({"namespaces": {"selector": labels}})));
    accepted(with_rule(json!({"namespaces": {"selector": expressions}})));
    let both = json!({"names": ["batch"], "selector": labels});
    accepted(with_rule(json!({"namespaces": both})));
    refused(
        with_rule(json!({"namespaces": {}})),
        &[
            "spec.access[0].namespaces",
            "needs names, a selector, or both",
        ],
    );
}

#[test]
fn a_selector_of_namespaces_that_would_mean_all_of_them_is_refused() {
    let empty = [
        json!({}),
        json!({"matchLabels": {}}),
        json!({"matchExpressions": []}),
        json!({"matchLabels": {}, "matchExpressions": []}),
    ];
    for selector in empty {
        let parts = ["spec.access[0].namespaces.selector", "every namespace"];
        refused(
            with_rule(json!({"namespaces": {"selector": selector}})),
            &parts,
        );
        let named = json!({"names": ["batch"], "selector": selector});
        refused(with_rule(json!({"namespaces": named})), &parts);
        accepted(with_rule(json!({"podSelector": selector})));
    }
    let all = json!({"key": "kubernetes.io/metadata.name", "operator": "Exists"});
    let all = json!({"namespaces": {"selector": {"matchExpressions": [all]}}});
    accepted(with_rule(all));
}

/// Whoever reads a refusal finds the rule and the field, whichever rule it is.
#[test]
fn a_refused_rule_is_named_by_its_place() {
    let expression = json!({"matchExpressions": [
        {"key": "a", "operator": "Exists"}, {"key": "b", "operator": "In"},
    ]});
    for (rule, place) in [
        (json!({"description": "d".repeat(1025)}), "description"),
        (json!({"entries": ["a", "/b"]}), "entries[1]"),
        (json!({"entries": []}), "entries"),
        (json!({"namespaces": {}}), "namespaces"),
        (
            json!({"namespaces": {"names": ["a", "*"]}}),
            "namespaces.names[1]",
        ),
        (
            json!({"namespaces": {"selector": {}}}),
            "namespaces.selector",
        ),
        (
            json!({"namespaces": {"selector": expression}}),
            "namespaces.selector.matchExpressions[1]",
        ),
        (
            json!({"podSelector": expression}),
            "podSelector.matchExpressions[1]",
        ),
        (
            json!({"podSelector": {"matchLabels": {"a": 1}}}),
            "podSelector.matchLabels.a",
        ),
        (json!({"serviceAccounts": ["a", "B"]}), "serviceAccounts[1]"),
        (json!({"serviceAccount": "a"}), "serviceAccount"),
    ] {
        let place = format!("spec.access[2].{place}: ");
        refused(apply(json!({"access": [{}, {}, rule, {}]})), &[&place]);
    }
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
        let selector = json!({"matchExpressions": [expression]});
        let of_namespaces = with_rule(json!({"namespaces": {"selector": selector}}));
        let of_pods = with_rule(json!({"podSelector": selector}));
        assert_eq!(of_namespaces.is_ok(), of_pods.is_ok());
        of_pods
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
        json!({"matchLabels": Value::Object((0..count).map(label).collect())})
    };
    let expressions = |count| {
        let expression = json!({"key": "app", "operator": "Exists"});
        json!({"matchExpressions": vec![expression; count]})
    };
    let with: [fn(Value) -> Value; 2] = [
        |selector| json!({"podSelector": selector}),
        |selector| json!({"namespaces": {"selector": selector}}),
    ];
    for with in with {
        accepted(with_rule(with(labels(32))));
        refused(with_rule(with(labels(33))), &["matchLabels: maxProperties"]);
        accepted(with_rule(with(expressions(32))));
        let many = with_rule(with(expressions(33)));
        refused(many, &["matchExpressions: maxItems"]);
    }
}
