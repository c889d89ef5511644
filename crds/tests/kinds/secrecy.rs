use secretvault_crds::{SecretText, SecretVault};
use serde_json::json;

use crate::fixture::{CANARY, read, vault};

fn full_of_plaintext() -> SecretVault {
    let mut object = vault(json!({
        "description": CANARY,
        "data": {"a": CANARY},
        "binaryData": {"b": CANARY},
        "publicData": {"c": CANARY},
        "publicBinaryData": {"d": CANARY},
    }));
    object["metadata"]["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"spec\":\"{CANARY}\"}}"),
    });
    object["metadata"]["labels"] = json!({"x": CANARY});
    read(&object)
}

#[test]
fn debug_of_a_value_shows_nothing() {
    assert_eq!(format!("{:?}", SecretText::from(CANARY)), "SecretText(…)");
    assert_eq!(format!("{:#?}", SecretText::from("")), "SecretText(…)");
}

#[test]
fn debug_of_a_vault_shows_names_but_no_value_and_no_annotation() {
    let shown = format!("{:?}", full_of_plaintext());
    assert!(!shown.contains(CANARY), "{shown}");
    assert_eq!(
        shown,
        "SecretVault { namespace: Some(\"shop\"), name: Some(\"app\"), uid: Some(\"u-1\"), \
         generation: Some(3), spec: SecretVaultSpec { data: [\"a\"], binary_data: [\"b\"], \
         public_data: [\"c\"], public_binary_data: [\"d\"], file_defaults: None, files: [], \
         access: None, editors: None, key_provider: None, on_delete: None, immutable: None, \
         fresh_envelopes: None, rekey_after: None, data_key: None, .. }, status: None, .. }"
    );
}

#[test]
fn what_is_read_is_written_back_unchanged() {
    let object = vault(json!({"data": {"a": "sv1:AAAA"}, "publicData": {"b": ""}}));
    assert_eq!(serde_json::to_value(read(&object)).unwrap(), object);
    let text: SecretText = serde_json::from_value(json!("x")).unwrap();
    assert_eq!(text.expose(), "x");
}

#[test]
fn a_value_of_a_wrong_type_is_refused_without_being_repeated() {
    for value in [
        json!(813_274_991),
        json!(-813_274_991),
        json!(813.274_991),
        json!(["813274991"]),
        json!({"813274991": "813274991"}),
        json!(true),
        json!(null),
    ] {
        let object = vault(json!({"data": {"a": value}}));
        let error = serde_json::from_value::<SecretVault>(object.clone())
            .unwrap_err()
            .to_string();
        assert!(!error.contains("813"), "{error}");
        let text = object.to_string();
        let error = serde_json::from_str::<SecretVault>(&text)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("813"), "{error}");
    }
}
