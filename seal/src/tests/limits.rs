use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_crds::limits::{MAX_CONSUMERS_BYTES, MAX_ENTRIES, MAX_OBJECT, MAX_VALUE};
use serde_json::json;

use super::{Object, seal};
use crate::annotations::{LAST_APPLIED, MAX_ANNOTATIONS};
use crate::{Refusal, edits};

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

/// The schema would refuse it, and comes later: what is wrong with one entry shows that each was read.
#[test]
fn entries_are_counted_before_any_of_them_is_read() {
    let many = |count: usize| {
        let data: BTreeMap<_, _> = (0..count).map(|n| (format!("e{n}"), 5)).collect();
        Object::new(json!({"data": data, "description": 5}))
    };
    let read = seal(None, &many(MAX_ENTRIES)).unwrap_err();
    assert!(matches!(read, Refusal::NotAString { .. }), "{read}");
    let counted = seal(None, &many(MAX_ENTRIES + 1)).unwrap_err();
    assert!(
        matches!(counted, Refusal::TooManyEntries { .. }),
        "{counted}"
    );
}

#[test]
fn the_limit_of_entries_is_that_of_all_maps_together() {
    let half = |start: &str, count: usize| -> BTreeMap<_, _> {
        let names = (0..count).map(|n| format!("{start}{n}"));
        names.map(|name| (name, "AAEC")).collect()
    };
    let of = |rest: usize| {
        Object::new(json!({
            "data": half("a", 200),
            "binaryData": half("b", 200),
            "publicData": half("c", 99),
            "publicBinaryData": half("d", rest),
        }))
    };
    assert!(seal(None, &of(1)).is_ok());
    let refusal = seal(None, &of(2)).unwrap_err();
    let count = MAX_ENTRIES + 1;
    assert!(matches!(refusal, Refusal::TooManyEntries { count: it, .. } if it == count));
}

#[test]
fn of_too_many_entries_none_is_named_as_an_edit() {
    let many = |count: usize| {
        let data: BTreeMap<_, _> = (0..count).map(|n| (format!("e{n}"), "v")).collect();
        Object::new(json!({"data": data}))
    };
    let [stored, beyond] = [many(MAX_ENTRIES), many(MAX_ENTRIES + 1)];
    let all = edits(None, stored.manifest());
    assert_eq!((all.entries.len(), all.fields.len()), (MAX_ENTRIES, 0));
    for before in [None, Some(stored.manifest())] {
        let none = edits(before, beyond.manifest());
        assert_eq!(none.entries, []);
        assert_eq!(none.fields, ["spec.data"]);
    }
}

#[test]
fn annotations_are_searched_up_to_what_kubernetes_takes_of_one_object() {
    let annotated = |bytes: usize| {
        let text = "x".repeat(bytes - "note".len());
        Object::new(json!({"data": {"a": "hunter2"}})).annotated("note", &text)
    };
    assert!(seal(None, &annotated(MAX_ANNOTATIONS)).is_ok());
    let refusal = seal(None, &annotated(MAX_ANNOTATIONS + 1)).unwrap_err();
    let bytes = MAX_ANNOTATIONS + 1;
    assert_eq!(refusal, Refusal::AnnotationsTooLarge { bytes });
    assert!(!refusal.to_string().contains("hunter2"));
    // What client-side apply leaves loses its values, and only then has to fit.
    let long = json!({"spec": {"data": {"a": "x".repeat(MAX_ANNOTATIONS)}}}).to_string();
    let applied = annotated(MAX_ANNOTATIONS).annotated(LAST_APPLIED, &long);
    assert!(seal(None, &applied).is_ok());
}

#[test]
fn rules_that_would_take_too_long_to_compare_are_refused_by_field() {
    let data: BTreeMap<_, _> = (0..160).map(|n| (format!("{n:0242}"), "v")).collect();
    let with = |field: &str, count: usize| {
        let patterns = vec![format!("*{}", "x".repeat(241)); count];
        let rules = json!([{"users": ["jane"], "verbs": ["update"], "entries": patterns}]);
        let mut spec = json!({"data": data});
        spec[field] = rules;
        Object::new(spec)
    };
    for (field, name) in [("access", "spec.access"), ("editors", "spec.editors")] {
        assert!(seal(None, &with(field, 15)).is_ok());
        let refusal = seal(None, &with(field, 16)).unwrap_err();
        assert!(matches!(refusal, Refusal::TooManyPatterns { .. }));
        assert_eq!(refusal.field().as_deref(), Some(name));
        let words = refusal.to_string();
        assert!(words.starts_with(name), "{words}");
        assert!(words.contains("split the vault"), "{words}");
    }
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
