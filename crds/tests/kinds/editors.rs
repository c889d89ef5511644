use secretvault_crds::SecretVault;
use serde_json::{Value, json};

use crate::fixture::{accepted, apply, read, refused, vault};

/// A rule with what it must have, and these fields.
fn rule(fields: Value) -> Value {
    let mut rule = json!({"users": ["jane"], "verbs": ["update"]});
    for (name, value) in fields.as_object().unwrap() {
        rule[name] = value.clone();
    }
    rule.as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    rule
}

fn with_rule(fields: Value) -> Result<(), String> {
    apply(json!({"editors": [rule(fields)]}))
}

#[test]
fn a_rule_says_for_whom_it_is_and_what_they_may_do() {
    accepted(with_rule(json!({})));
    for name in ["groups", "serviceAccounts"] {
        accepted(with_rule(json!({"users": null, name: ["a"]})));
    }
    accepted(with_rule(
        json!({"groups": ["a"], "serviceAccounts": ["a"]}),
    ));
    accepted(with_rule(
        json!({"description": "why", "verbs": ["create", "delete", "update"]}),
    ));
    let nobody = "a rule of editors says for whom it is: it needs users, groups or serviceAccounts";
    refused(
        with_rule(json!({"users": null})),
        &["spec.editors[0]", nobody],
    );
    refused(
        with_rule(json!({"verbs": null})),
        &["spec.editors[0].verbs: required"],
    );
    for verb in ["manage", "Update", "*", ""] {
        refused(
            with_rule(json!({"verbs": [verb]})),
            &["spec.editors[0].verbs[0]: enum"],
        );
    }
    refused(
        apply(json!({"editors": [rule(json!({})), rule(json!({"entry": "a"}))]})),
        &["spec.editors[1].entry: unknown"],
    );
}

#[test]
fn lists_that_would_allow_nothing_are_refused() {
    refused(apply(json!({"editors": []})), &["spec.editors: minItems"]);
    for name in ["users", "groups", "serviceAccounts", "verbs", "entries"] {
        let field = format!("spec.editors[0].{name}: minItems");
        refused(with_rule(json!({name: []})), &[&field]);
    }
}

#[test]
fn lists_and_names_are_bounded() {
    accepted(apply(json!({"editors": vec![rule(json!({})); 64]})));
    refused(
        apply(json!({"editors": vec![rule(json!({})); 65]})),
        &["spec.editors: maxItems"],
    );
    for (name, longest) in [
        ("users", 512),
        ("groups", 512),
        ("serviceAccounts", 317),
        ("entries", 253),
    ] {
        accepted(with_rule(json!({name: vec!["a"; 64]})));
        refused(with_rule(json!({name: vec!["a"; 65]})), &[name, "maxItems"]);
        accepted(with_rule(json!({name: ["a".repeat(longest)]})));
        refused(
            with_rule(json!({name: ["a".repeat(longest + 1)]})),
            &[name, "maxLength"],
        );
        refused(with_rule(json!({name: [""]})), &[name, "minLength"]);
    }
    let long = "a".repeat(1025);
    refused(
        with_rule(json!({"description": long})),
        &["description: maxLength"],
    );
}

#[test]
fn accounts_and_entries_have_their_alphabets() {
    accepted(with_rule(
        json!({"users": ["oidc:jane@example.com", "CN=Jane Doe,O=x", "*"]}),
    ));
    accepted(with_rule(
        json!({"serviceAccounts": ["*", "web-*", "ci/deployer", "ci-2/*", "a.b"]}),
    ));
    for account in [
        "*/web", "ci*/web", "/web", "ci/", "a/b/c", "Web", "a b", "a:b",
    ] {
        refused(
            with_rule(json!({"serviceAccounts": [account]})),
            &["serviceAccounts[0]: pattern"],
        );
    }
    accepted(with_rule(json!({"entries": ["**", "db/*", "A_b/c.d-e"]})));
    for entry in ["/a", "a/", "a//b", "a b", "a?"] {
        refused(
            with_rule(json!({"entries": [entry]})),
            &["entries[0]: pattern"],
        );
    }
}

fn parse(fields: Value) -> Result<usize, String> {
    let vault: SecretVault = read(&vault(json!({"editors": [rule(json!({})), rule(fields)]})));
    let rules = vault
        .spec
        .parse_editors()
        .map_err(|error| error.to_string())?;
    Ok(rules.unwrap().len())
}

#[test]
fn what_the_schema_cannot_tell_is_told_with_rule_and_field() {
    assert_eq!(
        parse(json!({"serviceAccounts": ["ci/*"], "entries": ["db/**"]})),
        Ok(2)
    );
    for (fields, field) in [
        (json!({"users": null}), ""),
        (json!({"users": []}), ".users"),
        (json!({"users": ["a", ""]}), ".users[1]"),
        (json!({"groups": []}), ".groups"),
        (json!({"groups": [""]}), ".groups[0]"),
        (json!({"serviceAccounts": []}), ".serviceAccounts"),
        (
            json!({"serviceAccounts": ["a", "-ci/web"]}),
            ".serviceAccounts[1]",
        ),
        (
            json!({"serviceAccounts": ["ci/web**"]}),
            ".serviceAccounts[0]",
        ),
        (json!({"verbs": []}), ".verbs"),
        (json!({"entries": []}), ".entries"),
        (json!({"entries": ["a", "db**/a"]}), ".entries[1]"),
    ] {
        let problem = parse(fields.clone()).unwrap_err();
        assert!(
            problem.starts_with(&format!("spec.editors[1]{field}: ")),
            "{fields}: {problem}"
        );
    }
}

#[test]
fn a_vault_without_editors_has_none() {
    let vault: SecretVault = read(&vault(json!({})));
    assert_eq!(vault.spec.parse_editors(), Ok(None));
}

/// What is stored may be older than our rules: pods do not lose their files over it.
#[test]
fn pods_do_not_need_the_editors() {
    let vault = read(&vault(json!({"editors": [{"users": [], "verbs": []}]})));
    assert!(vault.parse().is_ok());
    assert!(vault.spec.parse_editors().is_err());
}
