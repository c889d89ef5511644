use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_crds::limits::{MAX_CONSUMERS_BYTES, MAX_ENTRIES, MAX_OBJECT, MAX_VALUE};
use serde_json::json;

use super::{Object, seal};
use crate::Refusal;
use crate::annotations::LAST_APPLIED;

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
    let refusal = |entry: &str| Refusal::TooManyEntries {
        entry: entry.into(),
        count: MAX_ENTRIES + 1,
    };
    let beyond = many(MAX_ENTRIES + 1);
    assert_eq!(seal(None, &beyond).unwrap_err(), refusal("e99"));
    let stored = many(MAX_ENTRIES);
    assert_eq!(seal(Some(&stored), &beyond).unwrap_err(), refusal("e500"));
}

#[test]
fn an_object_that_would_leave_no_room_for_its_status_is_refused() {
    let with_public = |length: usize| {
        Object::new(json!({
            "data": {"a": "x".repeat(400 * 1024)},
            "publicData": {"b": "x".repeat(length)},
        }))
    };
    // The status names consumers, too, and they come later.
    let room = MAX_OBJECT - MAX_CONSUMERS_BYTES - 4 * 400 * 1024 / 3;
    assert!(seal(None, &with_public(room - 2048)).is_ok());
    let refusal = seal(None, &with_public(room)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::ObjectTooLarge { .. }),
        "{refusal}"
    );
    // The annotation that client-side apply leaves counts, without the values that it loses.
    let manifest = json!({"spec": with_public(room - 4096).spec}).to_string();
    let annotated = with_public(room - 4096).annotated(LAST_APPLIED, &manifest);
    let refusal = seal(None, &annotated).unwrap_err();
    assert!(
        matches!(refusal, Refusal::ObjectTooLarge { .. }),
        "{refusal}"
    );
}

#[test]
fn sealed_values_beyond_what_an_object_holds_name_the_entry_that_crosses() {
    let value = "x".repeat(400 * 1024);
    let incoming = Object::new(json!({"data": {"a": value, "b": value}}));
    let refusal = Refusal::VaultTooLarge { entry: "b".into() };
    assert_eq!(seal(None, &incoming).unwrap_err(), refusal);
}
