//! What a request writes, and who may.

use proptest::prelude::*;
use secretvault_vault::Editor;
use serde_json::{Value, json};

use super::world::{World, raised, wish};
use super::{Object, WISH};
use crate::{Refusal, check_editor, check_remover, edits, examine};

fn rules() -> Value {
    json!([
        {"users": ["jane"], "verbs": ["create", "update", "delete"], "entries": ["db/**"]},
        {"users": ["jane"], "verbs": ["update"], "entries": ["smtp/*"]},
        {"serviceAccounts": ["ci/*"], "verbs": ["update"]},
    ])
}

fn spec() -> Value {
    json!({
        "data": {"db/password": "hunter2", "smtp/token": "t-1"},
        "binaryData": {"db/key": "AAEC"},
        "publicData": {"smtp/host": "mail"},
        "publicBinaryData": {"tls/ca": "AAEC"},
        "files": [{"entry": "db/password", "path": "db/pw", "mode": "0400"}],
        "editors": rules(),
    })
}

fn stored() -> Object {
    Object::new(spec()).stored()
}

fn jane() -> Editor {
    Editor {
        user: "jane".to_owned(),
        groups: Vec::new(),
    }
}

/// What `change` writes, as `VERB ENTRY` or as the field's name.
fn written(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let stored = stored();
    let mut incoming = stored.clone();
    change(&mut incoming.spec);
    let edits = edits(Some(stored.manifest()), incoming.manifest());
    let entries = edits.entries.iter().map(ToString::to_string);
    entries.chain(edits.fields).collect()
}

/// What of it Jane may not do.
fn refused(change: impl FnOnce(&mut Value)) -> Option<String> {
    let stored = stored();
    let mut incoming = stored.clone();
    change(&mut incoming.spec);
    let edits = edits(Some(stored.manifest()), incoming.manifest());
    let judged = check_editor(stored.manifest(), edits, &jane());
    judged.err().map(|missing| missing.to_string())
}

fn remove(spec: &mut Value, map: &str, entry: &str) {
    let _ = spec[map].as_object_mut().unwrap().remove(entry);
}

#[test]
fn the_stored_object_again_writes_nothing() {
    assert!(written(|_| {}).is_empty());
    assert!(written(|spec| spec["onDelete"] = Value::Null).is_empty());
    assert!(written(|spec| spec["data"]["db/x"] = json!("new")) == ["create db/x"]);
    let order =
        json!([{"entry": "db/key"}, {"entry": "db/password", "path": "db/pw", "mode": "0400"}]);
    assert_eq!(written(|spec| spec["files"] = order), ["update db/key"]);
}

/// A change, and what is told of it.
type Case = (fn(&mut Value), &'static [&'static str]);

#[test]
fn what_is_written_is_told_by_entry_whatever_map_it_is_in() {
    let cases: [Case; 10] = [
        (
            |spec| spec["data"]["db/password"] = json!("other"),
            &["update db/password"],
        ),
        // Not even the stored value: else who may not write it could test guesses.
        (
            |spec| spec["data"]["db/password"] = json!("hunter2"),
            &["update db/password"],
        ),
        (
            |spec| spec["binaryData"]["db/key"] = json!("AAEC"),
            &["update db/key"],
        ),
        (
            |spec| spec["publicData"]["smtp/host"] = json!("evil"),
            &["update smtp/host"],
        ),
        (
            |spec| spec["publicBinaryData"]["tls/ca"] = json!("AAAA"),
            &["update tls/ca"],
        ),
        (
            |spec| remove(spec, "publicBinaryData", "tls/ca"),
            &["delete tls/ca"],
        ),
        (|spec| spec["publicData"]["a"] = json!(""), &["create a"]),
        (
            |spec| {
                remove(spec, "publicData", "smtp/host");
                spec["data"]["smtp/host"] = json!("mail");
            },
            &["update smtp/host"],
        ),
        (
            |spec| {
                remove(spec, "data", "smtp/token");
                spec["data"]["smtp/t"] = json!("t-1");
            },
            &["create smtp/t", "delete smtp/token"],
        ),
        (
            |spec| spec["data"] = json!({}),
            &["delete db/password", "delete smtp/token"],
        ),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(written(change), expected, "case {index}");
    }
}

#[test]
fn how_an_entry_lands_is_a_part_of_the_entry() {
    let rule = |rule: Value| written(|spec| spec["files"][0] = rule);
    let own = json!({"entry": "db/password", "path": "db/pw", "mode": "0444"});
    assert_eq!(rule(own), ["update db/password"]);
    let moved = json!({"entry": "db/password", "path": "tls/ca.crt", "mode": "0400"});
    assert_eq!(rule(moved), ["update db/password at path tls/ca.crt"]);
    assert_eq!(
        written(|spec| spec["files"] = Value::Null),
        ["update db/password"]
    );
    let other = json!({"entry": "tls/ca", "mode": "0400"});
    assert_eq!(
        written(|spec| spec["files"].as_array_mut().unwrap().push(other)),
        ["update tls/ca"]
    );
}

#[test]
fn every_other_field_is_told_by_its_name_but_who_may_and_the_data_key() {
    for (field, value, expected) in [
        ("description", json!("words"), true),
        ("fileDefaults", json!({"uid": 1}), true),
        ("freshEnvelopes", json!(true), true),
        ("immutable", json!(true), true),
        ("keyProvider", json!("transit"), true),
        ("onDelete", json!("Remove"), true),
        ("rekeyAfter", json!("1d"), true),
        ("aFieldOfALaterVersion", json!(1), true),
        // Others see to these: `Rights`, and the key that is needed.
        ("access", json!([{}]), false),
        (
            "editors",
            json!([{"users": ["joe"], "verbs": ["update"]}]),
            false,
        ),
        ("dataKey", Value::Null, false),
    ] {
        let told = written(|spec| spec[field] = value);
        let expected: Vec<String> = expected
            .then(|| format!("spec.{field}"))
            .into_iter()
            .collect();
        assert_eq!(told, expected, "{field}");
    }
}

#[test]
fn an_entry_without_a_readable_name_is_a_field() {
    assert_eq!(
        written(|spec| spec["data"]["../a"] = json!("1")),
        ["spec.data"]
    );
    let no_path = json!([{"entry": "db/password", "path": "../a"}]);
    assert_eq!(
        written(|spec| spec["files"] = no_path),
        ["delete db/password", "spec.data"]
    );
    let twice = json!([{"entry": "db/key"}, {"entry": "db/key"}]);
    assert!(written(|spec| spec["files"] = twice).contains(&"spec.files".to_owned()));
}

#[test]
fn an_editor_writes_what_the_rules_let_him_and_nothing_else() {
    let set = |map: &'static str, entry: &'static str| {
        refused(move |spec| spec[map][entry] = json!("AAAA"))
    };
    for allowed in [
        set("data", "db/password"),
        set("binaryData", "db/key"),
        set("data", "db/new"),
        set("data", "smtp/token"),
        set("publicData", "smtp/host"),
        refused(|spec| remove(spec, "data", "db/password")),
        refused(|spec| spec["files"][0]["mode"] = json!("0444")),
        refused(|spec| spec["files"][0]["path"] = json!("db/other")),
    ] {
        assert_eq!(allowed, None);
    }
    for (refused, expected) in [
        (set("publicBinaryData", "tls/ca"), "update tls/ca"),
        (set("data", "smtp/new"), "create smtp/new"),
        (set("data", "a"), "create a"),
        (
            refused(|spec| remove(spec, "data", "smtp/token")),
            "delete smtp/token",
        ),
        (
            refused(|spec| spec["files"][0]["path"] = json!("tls/ca.crt")),
            "update db/password at path tls/ca.crt",
        ),
        (
            refused(|spec| spec["onDelete"] = json!("Remove")),
            "change spec.onDelete",
        ),
        (
            refused(|spec| {
                spec["data"]["db/password"] = json!("1");
                spec["data"]["a"] = json!("1");
                spec["immutable"] = json!(true);
            }),
            "create a, change spec.immutable",
        ),
    ] {
        assert_eq!(refused.as_deref(), Some(expected));
    }
}

#[test]
fn the_stored_rules_decide_and_not_the_incoming_ones() {
    let mine = json!([{"users": ["jane"], "verbs": ["create", "update", "delete"]}]);
    let refused = refused(|spec| {
        spec["editors"] = mine;
        spec["data"]["a"] = json!("1");
    });
    assert_eq!(refused.as_deref(), Some("create a"));
}

#[test]
fn a_vault_without_editors_is_everybodys_who_may_update_it() {
    for none in [Value::Null, json!("absent")] {
        let mut stored = stored();
        if none.is_null() {
            stored.spec["editors"] = none;
        } else {
            let _ = stored.spec.as_object_mut().unwrap().remove("editors");
        }
        let incoming = Object::new(json!({"onDelete": "Remove"}));
        let edits = edits(Some(stored.manifest()), incoming.manifest());
        assert!(!edits.entries.is_empty() && !edits.fields.is_empty());
        assert_eq!(check_editor(stored.manifest(), edits, &jane()), Ok(()));
        assert_eq!(check_remover(stored.manifest(), &jane()), Ok(()));
    }
}

#[test]
fn rules_that_cannot_be_read_let_nobody_write() {
    for editors in [
        json!([]),
        json!("all"),
        json!([{"users": ["jane"]}]),
        json!([{"users": ["jane"], "verbs": ["update"]}, {"users": [], "verbs": ["update"]}]),
        json!([{"users": ["jane"], "verbs": ["update"], "entries": ["db**"]}]),
    ] {
        let mut stored = stored();
        stored.spec["editors"] = editors.clone();
        let mut incoming = stored.clone();
        incoming.spec["data"]["db/password"] = json!("1");
        let edits = edits(Some(stored.manifest()), incoming.manifest());
        assert!(
            check_editor(stored.manifest(), edits, &jane()).is_err(),
            "{editors}"
        );
        assert!(
            check_remover(stored.manifest(), &jane()).is_err(),
            "{editors}"
        );
    }
}

#[test]
fn who_deletes_the_vault_deletes_each_entry() {
    let refused = |stored: &Object, user: &str| {
        let editor = Editor {
            user: user.to_owned(),
            groups: Vec::new(),
        };
        let judged = check_remover(stored.manifest(), &editor);
        judged.err().map(|missing| missing.to_string())
    };
    let mut stored = stored();
    let expected = "delete the vault (delete smtp/host, delete smtp/token, delete tls/ca)";
    assert_eq!(refused(&stored, "jane").as_deref(), Some(expected));
    for map in ["publicData", "publicBinaryData"] {
        stored.spec[map] = json!({});
    }
    remove(&mut stored.spec, "data", "smtp/token");
    assert_eq!(refused(&stored, "jane"), None);
    assert!(refused(&stored, "system:serviceaccount:ci:x").is_some());
    stored.spec = json!({"editors": rules()});
    assert_eq!(refused(&stored, "jane"), None);
    assert_eq!(refused(&stored, "joe").as_deref(), Some("delete the vault"));
}

#[test]
fn a_long_refusal_is_cut() {
    let refused = refused(|spec| {
        for n in 0..100 {
            spec["data"][format!("n{n:02}")] = json!("1");
        }
    });
    let refused = refused.unwrap();
    assert!(refused.starts_with("create n00, create n01, "), "{refused}");
    assert!(refused.ends_with("create n07 and 92 more"), "{refused}");
}

#[test]
fn a_reseal_is_a_matter_of_who_manages_the_vault() {
    let world = World::new();
    let stored = world
        .request(None, &Object::new(spec()), &wish("default"))
        .unwrap()
        .0;
    let edits = |incoming: &Object| {
        let wish = wish("transit");
        examine(Some(stored.manifest()), incoming.manifest(), &wish)
            .unwrap()
            .edits()
    };
    assert_eq!(edits(&raised(&stored)).fields, ["spec.dataKey.rekey"]);
    let mut moved = stored.clone();
    moved.spec["keyProvider"] = json!("transit");
    assert_eq!(edits(&moved).fields, ["spec.keyProvider"]);
    assert_eq!(edits(&stored).fields, [""; 0]);
}

#[test]
fn editors_that_nobody_could_read_are_refused_with_rule_and_field() {
    let spec = json!({"editors": [{"users": ["a"], "verbs": ["update"], "entries": ["db**"]}]});
    let incoming = Object::new(spec);
    let refusal = examine(None, incoming.manifest(), &WISH)
        .map(drop)
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Unusable(_)));
    assert_eq!(
        refusal.field().as_deref(),
        Some("spec.editors[0].entries[0]")
    );
}

#[test]
fn the_copy_that_kubectl_keeps_has_the_editors_and_no_value() {
    let copy = json!({"spec": spec()}).to_string();
    let incoming = Object::new(spec()).annotated(crate::annotations::LAST_APPLIED, &copy);
    let kept = incoming.stored().annotations[crate::annotations::LAST_APPLIED].clone();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["spec"]["editors"], rules());
    assert_eq!(kept["spec"]["data"]["db/password"], "(sealed)");
}

proptest! {
    /// Whatever is guessed, the answer is the same: it depends on names alone.
    #[test]
    fn no_answer_depends_on_a_value(guess in "\\PC{0,20}", entry in prop::sample::select(vec!["a", "db/password", "smtp/token", "tls/ca"])) {
        prop_assume!(!guess.starts_with("sv1:"));
        let answer = |value: &str| refused(|spec| spec["data"][entry] = json!(value));
        prop_assert_eq!(answer(&guess), answer("hunter2"));
        prop_assert_eq!(answer(&guess), answer("t-1"));
    }
}
