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

/// Sealed under this data key.
fn under(id: char, data: Value) -> Value {
    let mut spec = with("data", data);
    spec["dataKey"] = json!({
        "provider": "default", "keyId": "k", "id": id.to_string().repeat(32), "wrapped": "x",
        "rekey": 0,
    });
    spec
}

#[test]
fn an_immutable_vault_may_be_sealed_anew_under_a_new_data_key() {
    let old = under('a', json!({"a": "sv1:AAAA", "c": "sv1:AAAA"}));
    let new = json!({"a": "sv1:BBBB", "c": "sv1:CCCC"});
    accepted(change(old.clone(), under('b', new.clone())));
    let refused_for = |new: Value| refused(change(old.clone(), new), &["the vault is immutable"]);
    // The same data key, or none.
    refused_for(under('a', new.clone()));
    refused_for(with("data", new.clone()));
    // Other names.
    refused_for(under('b', json!({"a": "sv1:BBBB"})));
    refused_for(under('b', json!({"a": "sv1:BBBB", "d": "sv1:CCCC"})));
    let more = json!({"a": "sv1:BBBB", "c": "sv1:CCCC", "d": "sv1:DDDD"});
    refused_for(under('b', more));
    // Something else beside.
    for (field, value) in [
        ("binaryData", json!({"d": "sv1:DDDD"})),
        ("publicData", json!({"b": CANARY})),
        ("files", json!([{"entry": "a", "path": "y"}])),
        ("fileDefaults", json!({"uid": 2})),
        ("immutable", json!(false)),
    ] {
        let mut spec = under('b', new.clone());
        spec[field] = value;
        refused_for(spec);
    }
}
