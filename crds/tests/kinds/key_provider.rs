use serde_json::json;

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
    refused(
        provide(json!({"vaultTransit": {}})),
        &["spec.vaultTransit: unknown"],
    );
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
