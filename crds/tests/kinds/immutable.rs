use serde_json::{Value, json};

use crate::fixture::{self, CANARY, accepted, read, refused, vault};

/// What the API server's rule says to a change, after comparing it with what our code says: that
/// is all there is where no API server is.
fn change(old: Value, new: Value) -> Result<(), String> {
    let [before, after] = [&old, &new].map(|spec| read(&vault(spec.clone())).spec);
    let judged = fixture::change(old, new);
    assert_eq!(after.keeps_immutable(&before), judged.is_ok(), "{judged:?}");
    judged
}

fn immutable() -> Value {
    json!({
        "immutable": true,
        "data": {"a": "sv1:AAAA"},
        "publicData": {"b": "x"},
        "files": [{"entry": "a", "path": "x"}],
        "fileDefaults": {"uid": 1},
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut spec = immutable();
    spec[field] = value;
    spec
}

fn without(field: &str) -> Value {
    let mut spec = immutable();
    spec.as_object_mut().unwrap().remove(field);
    spec
}

#[test]
fn an_immutable_vault_keeps_its_entries_and_files() {
    for new in [
        with("data", json!({"a": "sv1:BBBB"})),
        with("data", json!({"a": "sv1:AAAA", "new": "sv1:AAAA"})),
        with("binaryData", json!({"new": "sv1:AAAA"})),
        with("publicData", json!({"b": CANARY})),
        with("publicBinaryData", json!({"new": CANARY})),
        with("files", json!([{"entry": "a", "path": "y"}])),
        with("fileDefaults", json!({"uid": 2})),
        without("publicData"),
        without("files"),
        without("fileDefaults"),
    ] {
        refused(change(immutable(), new), &["the vault is immutable"]);
    }
}

#[test]
fn an_immutable_vault_stays_immutable() {
    for new in [without("immutable"), with("immutable", json!(false))] {
        refused(change(immutable(), new), &["the vault is immutable"]);
    }
}

#[test]
fn the_rest_of_an_immutable_vault_may_change() {
    accepted(change(immutable(), immutable()));
    for new in [
        with("description", json!("new")),
        with("access", json!([{"serviceAccounts": ["web"]}])),
        with("onDelete", json!("Remove")),
        with("keyProvider", json!("other")),
    ] {
        accepted(change(immutable(), new));
    }
}

#[test]
fn a_mutable_vault_may_change_and_become_immutable() {
    for old in [without("immutable"), with("immutable", json!(false))] {
        accepted(change(old.clone(), immutable()));
        accepted(change(old, json!({})));
    }
}
