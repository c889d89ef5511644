use secretvault_crds::generate::secret_vault_definition;
use serde_json::json;

use super::{Object, seal};
use crate::Refusal;
use crate::annotations::{LAST_APPLIED, READABLE};

#[test]
fn last_applied_keeps_its_keys_and_loses_its_values() {
    let stored = Object::new(json!({"data": {"a": "hunter2"}}))
        .annotated(
            LAST_APPLIED,
            r#"{"kind":"SecretVault","spec":{"data":{"a":"hunter2"}}}"#,
        )
        .stored();
    assert_eq!(
        stored.annotations[LAST_APPLIED],
        r#"{"kind":"SecretVault","spec":{"data":{"a":"(sealed)"}}}"#
    );
}

#[test]
fn last_applied_loses_values_of_any_type() {
    let stored = Object::new(json!({"data": {"a": "1"}}))
        .annotated(
            LAST_APPLIED,
            r#"{"spec":{"data":{"a":12345678},"binaryData":"hunter2"}}"#,
        )
        .stored();
    assert_eq!(
        stored.annotations[LAST_APPLIED],
        r#"{"spec":{"binaryData":"(sealed)","data":{"a":"(sealed)"}}}"#
    );
}

#[test]
fn last_applied_loses_the_values_of_fields_that_the_api_server_drops() {
    let stored = Object::new(json!({"data": {"a": "1"}}))
        .annotated(
            LAST_APPLIED,
            r#"{"data":{"a":"hunter2"},"spec":{"data":{"a":"1"},"stringData":{"b":"hunter2"},"token":"hunter2"}}"#,
        )
        .stored();
    assert_eq!(
        stored.annotations[LAST_APPLIED],
        r#"{"data":{"a":"(sealed)"},"spec":{"data":{"a":"(sealed)"},"stringData":{"b":"(sealed)"},"token":"(sealed)"}}"#
    );
}

#[test]
fn last_applied_keeps_every_field_that_holds_no_secret() {
    let definition = serde_json::to_value(secret_vault_definition()).unwrap();
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer(fields).unwrap().as_object().unwrap();
    let readable: Vec<&String> = fields
        .keys()
        .filter(|field| !["binaryData", "data"].contains(&field.as_str()))
        .collect();
    assert_eq!(READABLE.to_vec(), readable);
}

#[test]
fn a_last_applied_that_is_no_manifest_is_refused() {
    let incoming = Object::new(json!({"data": {"a": "1"}})).annotated(LAST_APPLIED, "hunter2");
    assert_eq!(
        seal(None, &incoming).unwrap_err(),
        Refusal::LastAppliedUnreadable
    );
}

#[test]
fn an_annotation_that_holds_a_value_is_refused() {
    for text in [
        "hunter2-long",
        r#"x "hunter2-long" x"#,
        "xhunter2-longx",
        "aHVudGVyMi1sb25n",
    ] {
        let incoming = Object::new(json!({"data": {"a": "hunter2-long"}})).annotated("note", text);
        let refusal = seal(None, &incoming).unwrap_err();
        assert!(
            matches!(refusal, Refusal::AnnotationHoldsValue { .. }),
            "{text}: {refusal}"
        );
        assert!(!refusal.to_string().contains("hunter2"));
    }
}

#[test]
fn an_annotation_with_a_multi_line_value_in_json_is_refused() {
    let value = "-----BEGIN KEY-----\nabc\n-----END KEY-----\n";
    let copy = json!({"spec": {"data": {"a": value}}}).to_string();
    let incoming = Object::new(json!({"data": {"a": value}})).annotated("copy", &copy);
    assert!(matches!(
        seal(None, &incoming),
        Err(Refusal::AnnotationHoldsValue { .. })
    ));
}

#[test]
fn a_short_value_is_found_only_as_a_whole() {
    let incoming = Object::new(json!({"data": {"a": "abc"}}));
    assert!(seal(None, &incoming.clone().annotated("note", "abcdef")).is_ok());
    let refused = incoming.annotated("note", r#"{"a":"abc"}"#);
    assert!(matches!(
        seal(None, &refused),
        Err(Refusal::AnnotationHoldsValue { .. })
    ));
}

#[test]
fn a_packed_copy_of_the_manifest_is_refused_while_values_are_plain() {
    for annotation in ["kapp.k14s.io/original", "objectset.rio.cattle.io/applied"] {
        let incoming = Object::new(json!({"data": {"a": "1"}})).annotated(annotation, "H4sIA");
        assert_eq!(
            seal(None, &incoming).unwrap_err(),
            Refusal::AnnotationKeepsManifest {
                annotation: annotation.into()
            }
        );
        let stored = Object::new(json!({"data": {"a": "1"}})).stored();
        let sealed = stored.clone().annotated(annotation, "H4sIA");
        assert_eq!(seal(Some(&stored), &sealed).unwrap(), []);
    }
}
