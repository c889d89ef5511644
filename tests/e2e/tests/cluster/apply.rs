//! What is applied is sealed in place, and applying it again changes nothing.

mod edit;
mod forged;
mod limits;
mod rules;
mod status;

use secretvault_e2e::{Answer, Namespace, Vault};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-applied";
const BINARY: &str = "AP8Q3q2+7w==";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn vault() -> Vault {
    Vault::named("app")
        .text("db/password", VALUE)
        .text("empty", "")
        .binary("tls/key.der", BINARY)
        .public("db/host", "db.shop.svc")
}

/// What a second apply must not move. Status may still be on its way.
fn version(stored: &Value) -> [&Value; 3] {
    let metadata = &stored["metadata"];
    [
        &metadata["resourceVersion"],
        &metadata["generation"],
        &stored["spec"],
    ]
}

/// The API's times have whole seconds: what another time would change must have another time.
fn wait_a_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

fn last_applied(stored: &Value) -> Value {
    let text = stored["metadata"]["annotations"][LAST_APPLIED].as_str();
    serde_json::from_str(text.unwrap()).unwrap()
}

/// Fails where `kubectl diff` shows anything: it exits with 1 then.
fn assert_no_difference(answer: Answer) {
    assert_eq!(answer.expect_success(), "");
}

#[test]
fn each_plain_value_is_stored_sealed_and_public_ones_stay_readable() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let spec = &vault().stored(&namespace)["spec"];
    for (map, entry) in [
        ("data", "db/password"),
        ("data", "empty"),
        ("binaryData", "tls/key.der"),
    ] {
        let stored = spec[map][entry].as_str().unwrap();
        assert!(stored.starts_with("sv1:"), "{map} {entry}: {stored}");
    }
    assert_eq!(spec["publicData"]["db/host"], "db.shop.svc");
    assert_eq!(spec["dataKey"]["provider"], "default");
    assert!(vault().holds(&namespace, "db/password", VALUE));
    assert!(!vault().holds(&namespace, "db/password", "another value"));
}

#[test]
fn applying_twice_client_side_moves_nothing_and_the_difference_is_empty() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().wait_ready(&namespace);
    wait_a_second();
    let _ = vault().apply(&namespace).expect_success();
    assert_eq!(version(&vault().stored(&namespace)), version(&before));
    assert_no_difference(namespace.kubectl_with(&["diff", "-f", "-"], &vault().manifest()));
}

#[test]
fn applying_twice_server_side_moves_nothing_and_the_difference_is_empty() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply_server_side(&namespace).expect_success();
    let before = vault().wait_ready(&namespace);
    wait_a_second();
    let _ = vault().apply_server_side(&namespace).expect_success();
    assert_eq!(version(&vault().stored(&namespace)), version(&before));
    let diff = ["diff", "--server-side", "-f", "-"];
    assert_no_difference(namespace.kubectl_with(&diff, &vault().manifest()));
}

#[test]
fn an_apply_that_changes_nothing_moves_nothing_after_another_managers_label_either() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    vault().wait_ready(&namespace);
    wait_a_second();
    let _ = namespace
        .kubectl(&["label", "sv/app", "team=shop"])
        .expect_success();
    let before = vault().stored(&namespace);
    wait_a_second();
    let _ = vault().apply(&namespace).expect_success();
    assert_eq!(version(&vault().stored(&namespace)), version(&before));
}

#[test]
fn the_difference_of_a_changed_value_shows_envelopes_only() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let changed = vault().text("db/password", "hunter3-changed");
    let answer = namespace.kubectl_with(&["diff", "-f", "-"], &changed.manifest());
    assert!(!answer.succeeded, "kubectl diff sees a changed value");
    assert!(
        answer.stdout.contains("+    db/password: sv1:"),
        "{}",
        answer.stdout
    );
    assert!(!answer.stdout.contains("hunter"), "{}", answer.stdout);
}

#[test]
fn with_fresh_envelopes_the_same_value_is_sealed_anew() {
    let namespace = Namespace::create("apply");
    let fresh = vault().spec("freshEnvelopes", true.into());
    let _ = fresh.apply(&namespace).expect_success();
    let before = fresh.stored(&namespace);
    let _ = fresh.apply(&namespace).expect_success();
    let after = fresh.stored(&namespace);
    assert_ne!(
        after["spec"]["data"]["db/password"],
        before["spec"]["data"]["db/password"]
    );
}

#[test]
fn last_applied_keeps_the_names_of_entries_and_no_value() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let spec = &last_applied(&vault().stored(&namespace))["spec"];
    assert_eq!(spec["data"]["db/password"], "(sealed)");
    assert_eq!(spec["data"]["empty"], "(sealed)");
    assert_eq!(spec["binaryData"]["tls/key.der"], "(sealed)");
    assert_eq!(spec["publicData"]["db/host"], "db.shop.svc");
}

#[test]
fn last_applied_keeps_no_value_of_a_field_that_the_api_server_drops() {
    let namespace = Namespace::create("apply");
    // As tools do that do not ask for strict validation.
    let mut manifest: Value = serde_json::from_str(&vault().manifest()).unwrap();
    manifest["spec"]["stringData"] = json!({"a": "hunter2-in-spec"});
    manifest["stringData"] = json!({"a": "hunter2-outside"});
    let lenient = ["apply", "--validate=false", "-f", "-"];
    let _ = namespace
        .kubectl_with(&lenient, &manifest.to_string())
        .expect_success();
    let stored = vault().stored(&namespace);
    assert_eq!(stored["spec"].get("stringData"), None);
    assert!(!stored.to_string().contains("hunter2"), "{stored}");
}

#[test]
fn an_entry_taken_out_of_the_manifest_goes_client_side() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().stored(&namespace);
    let fewer = vault().without("data", "db/password");
    let _ = fewer.apply(&namespace).expect_success();
    assert_only_password_went(&before, &fewer.stored(&namespace));
}

#[test]
fn an_entry_taken_out_of_the_manifest_goes_server_side() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply_server_side(&namespace).expect_success();
    let before = vault().stored(&namespace);
    let fewer = vault().without("data", "db/password");
    let _ = fewer.apply_server_side(&namespace).expect_success();
    assert_only_password_went(&before, &fewer.stored(&namespace));
}

/// The API server makes null of a map that is left with nothing, which the schema does not have.
#[test]
fn the_last_entry_of_a_map_goes_server_side_and_a_map_without_entries_can_be_applied() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply_server_side(&namespace).expect_success();
    let none = vault().spec("publicData", json!({}));
    for _ in 0..2 {
        let _ = none.apply_server_side(&namespace).expect_success();
        assert_eq!(none.stored(&namespace)["spec"]["publicData"], json!({}));
    }
    let empty = none
        .renamed("empty")
        .manifest()
        .replace(r#""publicData":{}"#, r#""publicData":null"#);
    assert!(empty.contains("null"), "{empty}");
    for how in [&["create", "-f", "-"][..], &["apply", "-f", "-"]] {
        let _ = namespace.kubectl_with(how, &empty).expect_success();
    }
}

fn assert_only_password_went(before: &Value, after: &Value) {
    let mut expected = before["spec"].clone();
    let data = expected["data"].as_object_mut().unwrap();
    assert!(data.remove("db/password").is_some());
    assert_eq!(after["spec"], expected);
}

#[test]
fn a_changed_value_gets_a_new_envelope_and_the_others_keep_theirs() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().stored(&namespace);
    let changed = vault().text("db/password", "hunter3-changed");
    let _ = changed.apply(&namespace).expect_success();
    let after = changed.stored(&namespace);
    assert_ne!(
        after["spec"]["data"]["db/password"],
        before["spec"]["data"]["db/password"]
    );
    assert!(changed.holds(&namespace, "db/password", "hunter3-changed"));
    for field in ["binaryData", "publicData", "dataKey"] {
        assert_eq!(after["spec"][field], before["spec"][field], "{field}");
    }
    assert_eq!(
        after["spec"]["data"]["empty"],
        before["spec"]["data"]["empty"]
    );
}

#[test]
fn what_get_prints_can_be_applied_and_keeps_its_envelopes() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().wait_ready(&namespace);
    let printed = namespace
        .kubectl(&["get", "sv/app", "-o", "yaml"])
        .expect_success();
    let _ = namespace.apply(&printed).expect_success();
    let after = vault().stored(&namespace);
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["generation"], 1);
    assert!(vault().holds(&namespace, "db/password", VALUE));
}

#[test]
fn a_manifest_without_the_data_key_keeps_the_stored_one() {
    let namespace = Namespace::create("apply");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().stored(&namespace);
    let envelopes = Vault::from_backup(&before).spec("dataKey", Value::Null);
    let _ = envelopes.replace(&namespace).expect_success();
    let after = vault().stored(&namespace);
    assert_eq!(after["spec"], before["spec"]);
    let plain = vault().replace(&namespace).expect_success();
    assert!(plain.contains("replaced"), "{plain}");
    assert_eq!(vault().stored(&namespace)["spec"], before["spec"]);
}

#[test]
fn a_vault_is_created_deleted_and_created_again() {
    let namespace = Namespace::create("apply");
    let _ = vault().create(&namespace).expect_success();
    let first = vault().wait_ready(&namespace);
    let _ = namespace.kubectl(&["delete", "sv/app"]).expect_success();
    assert!(!vault().is_stored(&namespace));
    let _ = vault().create(&namespace).expect_success();
    let second = vault().wait_ready(&namespace);
    assert_ne!(
        second["spec"]["dataKey"]["id"], first["spec"]["dataKey"]["id"],
        "a new vault has a data key of its own"
    );
}
