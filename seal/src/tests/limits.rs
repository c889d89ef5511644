use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_crds::limits::{MAX_ENTRIES, MAX_VALUE};
use serde_json::json;

use super::{Object, seal};
use crate::Refusal;

#[test]
fn an_entry_is_taken_at_the_limit_and_refused_beyond() {
    let text = |length: usize| Object::new(json!({"data": {"a": "x".repeat(length)}}));
    assert!(seal(None, &text(MAX_VALUE)).is_ok());
    let refusal = Refusal::EntryTooLarge { entry: "a".into() };
    assert_eq!(seal(None, &text(MAX_VALUE + 1)).unwrap_err(), refusal);

    let bytes = |length: usize| {
        let text = BASE64_STANDARD.encode(vec![0; length]);
        Object::new(json!({"binaryData": {"a": text}}))
    };
    assert!(seal(None, &bytes(MAX_VALUE)).is_ok());
    assert_eq!(seal(None, &bytes(MAX_VALUE + 1)).unwrap_err(), refusal);
}

#[test]
fn a_vault_is_taken_at_its_limit_of_entries_and_refused_beyond() {
    let many = |count: usize| {
        let data: BTreeMap<_, _> = (0..count).map(|n| (format!("e{n}"), "v")).collect();
        Object::new(json!({"data": data}))
    };
    assert!(seal(None, &many(MAX_ENTRIES)).is_ok());
    let refusal = Refusal::TooManyEntries {
        count: MAX_ENTRIES + 1,
    };
    assert_eq!(seal(None, &many(MAX_ENTRIES + 1)).unwrap_err(), refusal);
}

#[test]
fn sealed_values_beyond_what_an_object_holds_name_the_entry_that_crosses() {
    let value = "x".repeat(400 * 1024);
    let incoming = Object::new(json!({"data": {"a": value, "b": value}}));
    let refusal = Refusal::VaultTooLarge { entry: "b".into() };
    assert_eq!(seal(None, &incoming).unwrap_err(), refusal);
}
