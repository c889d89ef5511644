use serde_json::{Value, json};

use crate::fixture::{accepted, provide, refused};

#[test]
fn a_local_provider_has_a_keyring_in_a_secret_or_in_a_file() {
    for keyring in [
        json!({"secret": {"name": "secretvault-keyring"}}),
        json!({"secret": {"name": "secretvault-keyring", "key": "keyring.json"}}),
        json!({"file": {"path": "/etc/secretvault/keyring"}}),
    ] {
        accepted(provide(json!({"local": {"keyring": keyring}})));
    }
}

#[test]
fn exactly_one_kind_and_one_source_must_be_given() {
    refused(provide(json!({})), &["exactly one kind of provider"]);
    let mut two = transit();
    two["local"] = json!({"keyring": {"file": {"path": "/a"}}});
    refused(provide(two), &["exactly one kind of provider"]);
    refused(provide(json!({"local": {}})), &["keyring: required"]);
    let both = json!({"secret": {"name": "a"}, "file": {"path": "/a"}});
    for keyring in [json!({}), both] {
        refused(
            provide(json!({"local": {"keyring": keyring}})),
            &["exactly one of secret and file"],
        );
    }
}

#[test]
fn names_and_paths_are_checked() {
    for name in ["", "A", "a_b", "-a", &"a".repeat(254)] {
        let spec = json!({"local": {"keyring": {"secret": {"name": name}}}});
        refused(provide(spec), &["secret.name"]);
    }
    for key in ["", "a/b", "a b", &"a".repeat(254)] {
        let spec = json!({"local": {"keyring": {"secret": {"name": "a", "key": key}}}});
        refused(provide(spec), &["secret.key"]);
    }
    for path in ["", "/", "keyring", "./keyring"] {
        let spec = json!({"local": {"keyring": {"file": {"path": path}}}});
        refused(provide(spec), &["file.path"]);
    }
}

/// A Transit key, with a login by Kubernetes.
fn transit() -> Value {
    json!({"vaultTransit": {
        "address": "https://bao.example:8200",
        "key": "secretvault",
        "auth": {"kubernetes": {"role": "secretvault"}},
    }})
}

fn transit_with(field: &str, value: Value) -> Value {
    let mut spec = transit();
    spec["vaultTransit"][field] = value;
    spec
}

fn local_with(keyring: Value, field: &str, value: Value) -> Value {
    let mut spec = json!({"local": {"keyring": keyring}});
    spec["local"][field] = value;
    spec
}

#[test]
fn a_transit_provider_says_where_the_key_is_and_how_to_log_in() {
    accepted(provide(transit()));
    let everything = json!({"vaultTransit": {
        "address": "https://bao.example:8200/",
        "caBundle": "LS0t",
        "mount": "team/transit",
        "key": "prod.secretvault",
        "namespace": "team/shop",
        "auth": {"appRole": {
            "mount": "approle",
            "roleId": "r",
            "secretId": {"secret": {"name": "bao", "key": "secret-id"}},
        }},
        "scope": "prod",
        "cacheFor": "5m",
    }});
    accepted(provide(everything));
    for field in ["address", "auth", "key"] {
        let mut spec = transit();
        spec["vaultTransit"].as_object_mut().unwrap().remove(field);
        let required = format!("{field}: required");
        refused(provide(spec), &[&required]);
    }
    for (field, value) in [
        ("address", "http://bao.example:8200"),
        ("address", "https://bao.example:8200/v1"),
        ("address", "https://bao.example?x"),
        ("cacheFor", "forever"),
        ("key", "a/b"),
        ("key", ""),
        ("mount", "/transit"),
        ("mount", "transit/"),
        ("namespace", "a//b"),
        ("scope", "a b"),
    ] {
        let wrong = format!("vaultTransit.{field}");
        refused(provide(transit_with(field, value.into())), &[&wrong]);
    }
}

#[test]
fn exactly_one_way_to_log_in_must_be_given() {
    let kubernetes = json!({"role": "r", "mount": "kubernetes", "audience": "vault"});
    let token = json!({"file": {"path": "/token"}});
    let app_role = json!({"roleId": "r", "secretId": {"file": {"path": "/id"}}});
    for one in [
        json!({"kubernetes": kubernetes}),
        json!({"appRole": app_role}),
        json!({"token": token}),
    ] {
        accepted(provide(transit_with("auth", one)));
    }
    for other in [
        json!({}),
        json!({"kubernetes": kubernetes, "token": token}),
        json!({"kubernetes": kubernetes, "appRole": app_role}),
        json!({"appRole": app_role, "token": token}),
        json!({"kubernetes": kubernetes, "appRole": app_role, "token": token}),
    ] {
        refused(
            provide(transit_with("auth", other)),
            &["exactly one way to log in must be given"],
        );
    }
    let both = json!({"file": {"path": "/token"}, "secret": {"name": "bao", "key": "token"}});
    for source in [json!({}), both] {
        refused(
            provide(transit_with("auth", json!({"token": source}))),
            &["exactly one of secret and file"],
        );
    }
}

#[test]
fn only_a_keyring_in_a_secret_is_rotated_by_the_operator() {
    let secret = json!({"secret": {"name": "secretvault-keyring"}});
    let file = json!({"file": {"path": "/etc/secretvault/keyring"}});
    for (field, value) in [
        ("rotateAfter", json!("30d")),
        ("rotatedSince", json!("2026-11-27T00:00:00Z")),
        ("retire", json!(["0123456789abcdef"])),
    ] {
        accepted(provide(local_with(secret.clone(), field, value.clone())));
        refused(
            provide(local_with(file.clone(), field, value)),
            &["the operator cannot write a keyring file"],
        );
    }
    for (field, value) in [
        ("rotateAfter", json!("1 month")),
        ("rotateAfter", json!("0d")),
        ("retire", json!(["0123456789ABCDEF"])),
        ("retire", json!(vec!["0123456789abcdef"; 64])),
    ] {
        let wrong = format!("local.{field}");
        refused(provide(local_with(secret.clone(), field, value)), &[&wrong]);
    }
}

#[test]
fn the_namespaces_of_a_provider_are_named_or_labelled() {
    let allowing = |namespaces: Value| {
        let mut spec = transit();
        spec["allowedNamespaces"] = namespaces;
        provide(spec)
    };
    for namespaces in [
        json!({"names": ["shop"]}),
        json!({"matchLabels": {"env": "prod"}}),
        json!({"names": ["shop"], "matchLabels": {"env": "prod"}}),
    ] {
        accepted(allowing(namespaces));
    }
    for namespaces in [
        json!({}),
        json!({"names": []}),
        json!({"matchLabels": {}}),
        json!({"names": [], "matchLabels": {}}),
    ] {
        refused(
            allowing(namespaces),
            &["allowedNamespaces needs names or matchLabels"],
        );
    }
    for name in ["", "Shop", "a.b", &"a".repeat(64)] {
        refused(
            allowing(json!({"names": [name]})),
            &["allowedNamespaces.names[0]"],
        );
    }
}

#[test]
fn a_provider_moves_to_another_by_name() {
    let moving = |name: &str| {
        let mut spec = transit();
        spec["migrateTo"] = name.into();
        provide(spec)
    };
    accepted(moving("prod.transit-2"));
    for name in ["", "A", "a_b", "-a", &"a".repeat(254)] {
        refused(moving(name), &["spec.migrateTo"]);
    }
}
