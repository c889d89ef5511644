use secretvault_crds::{
    SecretVault,
    limits::{MAX_ENTRY_NAME, MAX_OWNER_ID},
};
use secretvault_vault::{EntryKind, OnDelete, Subject, allows, names::MAX_NAME_LEN};
use serde_json::{Value, json};

use crate::fixture::{CANARY, read, sealed_entries, vault};

fn refusal(spec: Value) -> String {
    let message = read(&vault(spec)).parse().unwrap_err().to_string();
    assert!(!message.contains(CANARY), "{message}");
    message
}

#[test]
fn a_vault_is_read_whole() {
    let vault = read(&vault(json!({
        "data": {"db/p": CANARY},
        "binaryData": {"k": CANARY},
        "publicData": {"h": CANARY},
        "publicBinaryData": {"i": CANARY},
        "fileDefaults": {"uid": 1, "mode": "400"},
        "files": [{"entry": "db/p", "path": "p", "gid": 5, "mode": "0440"}],
        "access": [
            {"serviceAccounts": ["web"], "entries": ["db/**"]},
            {"namespaces": {"names": ["batch"]}, "podSelector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}],
            }},
            {"namespaces": {"selector": {"matchLabels": {"team": "shop"}}}, "entries": ["h"]},
        ],
        "onDelete": "Remove",
    })))
    .parse()
    .unwrap();
    assert_eq!(vault.reference.to_string(), "shop/app");
    assert_eq!((vault.uid.as_str(), vault.generation), ("u-1", 3));
    let entries: Vec<_> = vault
        .entries
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    let (secret, public) = (EntryKind::Secret, EntryKind::Public);
    assert_eq!(
        entries,
        [
            ("db/p", secret),
            ("h", public),
            ("i", public),
            ("k", secret)
        ]
    );
    assert_eq!(vault.file_defaults.mode.unwrap().to_string(), "0400");
    assert_eq!(vault.files[0].attributes.gid, Some(5));
    assert_eq!(vault.path_of(&"db/p".parse().unwrap()).as_str(), "p");
    assert_eq!(vault.on_delete, OnDelete::Remove);
    let web = Subject {
        namespace: "shop".to_owned(),
        service_account: "web".to_owned(),
        ..Subject::default()
    };
    assert!(allows(&vault, &web, &"db/p".parse().unwrap()));
    assert!(!allows(&vault, &web, &"k".parse().unwrap()));
    let batch = Subject {
        namespace: "batch".to_owned(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..web
    };
    assert!(allows(&vault, &batch, &"k".parse().unwrap()));
    let shop = Subject {
        namespace: "any".to_owned(),
        namespace_labels: [("team".to_owned(), "shop".to_owned())].into(),
        ..Subject::default()
    };
    assert!(allows(&vault, &shop, &"h".parse().unwrap()));
    assert!(!allows(&vault, &shop, &"k".parse().unwrap()));
}

#[test]
fn a_vault_that_is_just_being_created_has_no_uid_yet() {
    let mut new = vault(json!({"data": {"a": CANARY}}));
    new["metadata"] = json!({"name": "app", "namespace": "shop"});
    let parsed = read(&new).parse().unwrap();
    assert_eq!((parsed.uid.as_str(), parsed.generation), ("", 0));
    assert_eq!(parsed.on_delete, OnDelete::Retain);
    new["metadata"] = json!({"namespace": "shop", "generateName": "app-"});
    let message = read(&new).parse().unwrap_err().to_string();
    assert_eq!(message, "metadata.name: must not be empty");
}

#[track_caller]
fn says(spec: Value, field: &str, part: &str) {
    let message = refusal(spec);
    assert!(
        message.starts_with(&format!("{field}: ")),
        "{field}: {message}"
    );
    assert!(message.contains(part), "{part}: {message}");
}

#[test]
fn a_wrong_entry_is_named_with_its_map_and_never_its_value() {
    says(
        json!({"data": {"a b": CANARY}}),
        "spec.data",
        "\"a b\" holds ' '",
    );
    says(
        json!({"publicBinaryData": {"..": CANARY}}),
        "spec.publicBinaryData",
        "segment",
    );
    let twice = json!({"data": {"a": CANARY}, "publicData": {"a": CANARY}});
    says(
        twice,
        "spec.publicData",
        "entry a is also in data: keep one",
    );
    says(
        json!({"fileDefaults": {"mode": "999"}}),
        "spec.fileDefaults.mode",
        "octal",
    );
    says(
        json!({"fileDefaults": {"uid": u32::MAX}}),
        "spec.fileDefaults.uid",
        "4294967294",
    );
}

#[test]
fn a_wrong_file_rule_is_named_by_its_place() {
    let entries = json!({"a": CANARY, "b": CANARY, "c/d": CANARY});
    for (files, field, part) in [
        (
            json!([{"entry": "a"}, {"entry": "z"}]),
            "spec.files[1].entry",
            "entry z is not in",
        ),
        (
            json!([{"entry": "a"}, {"entry": "a"}]),
            "spec.files[1].entry",
            "has a rule already",
        ),
        (
            json!([{"entry": "a", "path": "/x"}]),
            "spec.files[0].path",
            "empty segment",
        ),
        (
            json!([{"entry": "a", "gid": u32::MAX}]),
            "spec.files[0].gid",
            "4294967294",
        ),
        (
            json!([{"entry": "a", "mode": "4755"}]),
            "spec.files[0].mode",
            "octal",
        ),
        (
            json!([{"entry": "a", "path": "b"}]),
            "spec.files",
            "entries a and b cannot both",
        ),
        (
            json!([{"entry": "a", "path": "c"}]),
            "spec.files",
            "entries a and c/d cannot both",
        ),
    ] {
        says(json!({"data": entries, "files": files}), field, part);
    }
}

#[test]
fn a_wrong_access_rule_is_named_by_its_place() {
    says(
        json!({"access": []}),
        "spec.access",
        "an empty list allows nothing",
    );
    for (rule, field, part) in [
        (json!({"entries": []}), "entries", "an empty list"),
        (json!({"entries": ["a**"]}), "entries[0]", "whole segment"),
        (
            json!({"serviceAccounts": ["A"]}),
            "serviceAccounts[0]",
            "'A'",
        ),
        (
            json!({"namespaces": {"names": []}}),
            "namespaces.names",
            "an empty list",
        ),
        (
            json!({"namespaces": {"names": ["a", "*"]}}),
            "namespaces.names[1]",
            "\"*\" is not the name of a namespace",
        ),
        (
            json!({"namespaces": {}}),
            "namespaces",
            "needs names, a sel",
        ),
        (
            json!({"namespaces": {"names": ["a"], "selector": {}}}),
            "namespaces.selector",
            "every namespace",
        ),
        (
            json!({"namespaces": {"selector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "a", "operator": "NotIn"}],
            }}}),
            "namespaces.selector.matchExpressions[0].values",
            "NotIn needs at least",
        ),
    ] {
        says(
            json!({"access": [{}, rule]}),
            &format!("spec.access[1].{field}"),
            part,
        );
    }
}

#[test]
fn a_wrong_expression_is_named_by_its_place() {
    for (operator, values, part) in [
        ("In", json!([]), "In needs at least"),
        ("Exists", json!(["x"]), "no values"),
    ] {
        let expression = json!({"key": "a", "operator": operator, "values": values});
        let rule = json!({"podSelector": {"matchExpressions": [expression]}});
        says(
            json!({"access": [{}, rule]}),
            "spec.access[1].podSelector.matchExpressions[0].values",
            part,
        );
    }
}

#[test]
fn a_vault_has_at_most_500_entries() {
    let spec = |more: usize| json!({"data": sealed_entries("a", 300), "publicData": sealed_entries("b", 200 + more)});
    assert!(read(&vault(spec(0))).parse().is_ok());
    assert!(refusal(spec(1)).starts_with("spec: the vault has 501 entries: at most 500"));
    assert_eq!(read(&vault(spec(1))).spec.entry_count(), 501);
}

#[test]
fn sealed_characters_are_counted_over_the_secret_maps_only() {
    let spec =
        json!({"data": {"a": "12", "b": ""}, "binaryData": {"c": "345"}, "publicData": {"d": "6"}});
    assert_eq!(read(&vault(spec)).spec.sealed_total(), 5);
}

/// `crds` and `vault` say the same limits, each for itself.
#[test]
fn limits_agree_with_those_of_the_decisions() {
    assert_eq!(MAX_ENTRY_NAME, MAX_NAME_LEN);
    assert_eq!(MAX_OWNER_ID, secretvault_vault::names::MAX_OWNER_ID);
}

#[test]
fn an_absent_key_provider_is_the_default_one() {
    assert_eq!(SecretVault::default().spec.key_provider(), "default");
    assert_eq!(
        read(&vault(json!({"keyProvider": "x"})))
            .spec
            .key_provider(),
        "x"
    );
}
