use secretvault_crds::limits::MAX_VALUE;
use secretvault_crds::whole_second;
use serde_json::{Value, json};

use super::Object;
use super::world::{Fault, NOW, Refused, World, operator, raised, raised_by, wish};
use crate::{NoKey, Refusal, Rights, Wish, needs_provider};

pub(super) fn vault() -> Value {
    json!({
        "data": {"a": "1", "b/c": "2"},
        "binaryData": {"k": "AAEC"},
        "publicData": {"host": "db"},
        "files": [{"entry": "a", "path": "x"}],
        "fileDefaults": {"uid": 1},
    })
}

#[track_caller]
pub(super) fn refused(request: Result<(Object, Rights), Refused>) -> Refusal {
    match request.map(|(object, _)| object.spec) {
        Err(NoKey::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// As a reseal leaves it: the same values under another data key, and no other contents.
#[track_caller]
pub(super) fn assert_resealed(world: &World, before: &Object, after: &Object) {
    assert_eq!(world.values(after), world.values(before));
    let [old, new] = [before, after].map(Object::typed);
    for (entry, envelope) in old.secrets() {
        assert_ne!(new.secret(entry), Some(envelope), "{entry}");
    }
    let [old_key, new_key] = [before, after].map(Object::data_key);
    assert_ne!(new_key.id, old_key.id);
    assert!(new_key.rekey > old_key.rekey);
    assert_ne!(new.stored_revision(), old.stored_revision());
    assert_eq!(new.content_revision(), old.content_revision());
}

#[test]
fn a_raised_counter_gives_every_value_another_data_key() {
    let world = World::new();
    let stored = world.store(vault());
    let resealed = world.reseal(&stored, "default").unwrap();
    assert_resealed(&world, &stored, &resealed);
    let key = resealed.data_key();
    assert_eq!((key.provider.as_str(), key.rekey), ("default", 1));
    assert_eq!(key.created, Some(whole_second(NOW)));
    for field in ["publicData", "files", "fileDefaults"] {
        assert_eq!(resealed.spec[field], stored.spec[field]);
    }
    let again = world.reseal(&resealed, "default").unwrap();
    assert_resealed(&world, &stored, &again);
    assert_eq!(again.data_key().rekey, 2);
}

#[test]
fn a_new_data_key_says_when_it_was_made() {
    let key = World::new().store(vault()).data_key();
    assert_eq!(key.created, Some(whole_second(NOW)));
    assert_eq!(key.resealed, None);
}

#[test]
fn whoever_may_update_may_have_a_vault_sealed_anew() {
    let world = World::new();
    let stored = world.store(vault());
    let request = world.request(Some(&stored), &raised(&stored), &wish("default"));
    let (resealed, rights) = request.unwrap();
    assert_eq!(rights, Rights::default());
    assert_resealed(&world, &stored, &resealed);
}

#[test]
fn the_counter_keeps_what_a_manifest_raises_it_to_but_does_not_jump_to_its_end() {
    let world = World::new();
    let stored = world.store(vault());
    let raised = world.put(Some(&stored), &raised_by(&stored, 5));
    assert_eq!(raised.data_key().rekey, 5);
    // The same manifest again asks for nothing.
    assert_eq!(world.put(Some(&raised), &raised).spec, raised.spec);
    let lowered = raised.with("dataKey", {
        let mut key = raised.spec["dataKey"].clone();
        key["rekey"] = json!(1);
        key
    });
    assert_eq!(world.put(Some(&raised), &lowered).spec, raised.spec);

    let far = raised_by(&stored, 1_000_000);
    assert!(world.request(Some(&stored), &far, &wish("default")).is_ok());
    let beyond = raised_by(&stored, 1_000_001);
    let refusal = refused(world.request(Some(&stored), &beyond, &wish("default")));
    assert_eq!(refusal, Refusal::RekeyTooFar);
}

#[test]
fn values_that_come_plain_in_the_same_request_are_what_they_are_now() {
    let world = World::new();
    let stored = world.store(vault());
    let mut incoming = raised(&stored);
    incoming.spec["data"]["a"] = json!("new");
    incoming.spec["data"]["more"] = json!("3");
    let resealed = world.put(Some(&stored), &incoming);
    let values = world.values(&resealed);
    assert_eq!(values["a"], b"new");
    assert_eq!(values["more"], b"3");
    assert_eq!(values["b/c"], b"2");
    assert_eq!(values["k"], [0, 1, 2]);
    assert_eq!(resealed.data_key().resealed, None);
}

#[test]
fn the_stored_value_in_plain_form_is_no_change() {
    let world = World::new();
    let stored = world.store(vault());
    let mut incoming = Object::new(vault());
    incoming.spec["dataKey"] = raised(&stored).spec["dataKey"].clone();
    assert_resealed(&world, &stored, &world.put(Some(&stored), &incoming));
}

#[test]
fn what_a_pod_would_see_changed_is_not_called_the_same() {
    let world = World::new();
    let stored = world.store(vault());
    for (field, value) in [
        ("data", json!({"a": stored.spec["data"]["a"]})),
        ("publicData", json!({"host": "other"})),
        ("publicData", json!({})),
        ("publicBinaryData", json!({"p": "AAEC"})),
        ("files", json!([{"entry": "a", "path": "y"}])),
        ("fileDefaults", json!({"uid": 2})),
    ] {
        let incoming = raised(&stored).with(field, value);
        let resealed = world.put(Some(&stored), &incoming);
        assert_eq!(resealed.data_key().resealed, None, "{field}");
    }
    let described = raised(&stored).with("description", json!("words"));
    assert_resealed(&world, &stored, &world.put(Some(&stored), &described));
}

#[test]
fn a_vault_moves_when_its_own_provider_is_changed() {
    let world = World::new();
    let stored = world.store(vault());
    let incoming = stored.with("keyProvider", json!("transit"));
    let (moved, rights) = world
        .request(Some(&stored), &incoming, &wish("transit"))
        .unwrap();
    assert_eq!(rights, Rights::default());
    assert_resealed(&world, &stored, &moved);
    assert_eq!(moved.data_key().provider, "transit");
    let back = moved.with("keyProvider", Value::Null);
    let (back, _) = world
        .request(Some(&moved), &back, &wish("default"))
        .unwrap();
    assert_resealed(&world, &stored, &back);
    assert_eq!(back.data_key().provider, "default");
    // Another name for the same provider moves nothing.
    let named = stored.with("keyProvider", json!("default"));
    let named = world.put(Some(&stored), &named);
    assert_eq!(named.data_key(), stored.data_key());
}

#[test]
fn a_request_about_something_else_moves_no_vault() {
    let world = World::new();
    let stored = world.store(vault());
    let mut edited = stored.clone();
    edited.spec["data"]["a"] = json!("new");
    for incoming in [edited, stored.with("description", json!("words"))] {
        let request = world.request(Some(&stored), &incoming, &wish("transit"));
        assert_eq!(request.unwrap().0.data_key(), stored.data_key());
    }
    // The controller's is what moves it.
    let moved = world.reseal(&stored, "transit").unwrap();
    assert_resealed(&world, &stored, &moved);
    assert_eq!(moved.data_key().provider, "transit");
}

#[test]
fn a_damaged_entry_is_refused_by_name_until_its_value_is_there_again() {
    let world = World::new();
    let mut damaged = world.store(vault());
    let elsewhere = world.store(json!({"data": {"b/c": "2"}}));
    damaged.spec["data"]["b/c"] = elsewhere.spec["data"]["b/c"].clone();
    let incoming = raised(&damaged);
    let refusal = refused(world.request(Some(&damaged), &incoming, &operator("default")));
    let expected = Refusal::DamagedEntry {
        map: "data",
        entry: "b/c".into(),
    };
    assert_eq!(refusal, expected);
    assert!(refusal.to_string().contains("apply its value anew"));
    assert_eq!(refusal.field().as_deref(), Some("spec.data[b/c]"));
    let broken = damaged.with(
        "data",
        json!({"a": damaged.spec["data"]["a"], "b/c": "sv1:A"}),
    );
    let refusal = refused(world.request(Some(&broken), &raised(&broken), &operator("default")));
    assert_eq!(refusal, expected);

    let mut healed = incoming.clone();
    healed.spec["data"]["b/c"] = json!("2");
    let healed = world.put(Some(&damaged), &healed);
    assert_eq!(world.values(&healed)["b/c"], b"2");
    assert_eq!(healed.data_key().resealed, None, "it was nothing before");
    let mut without = incoming;
    without.spec["data"].as_object_mut().unwrap().remove("b/c");
    assert_eq!(world.values(&world.put(Some(&damaged), &without)).len(), 2);
}

#[test]
fn a_stored_data_key_that_does_not_open_is_not_the_manifests_fault() {
    let world = World::new();
    let mut stored = world.store(vault());
    stored.spec["dataKey"]["wrapped"] = json!("v1:AAAA");
    let mut edited = stored.clone();
    edited.spec["data"]["a"] = json!("new");
    for incoming in [edited, raised(&stored)] {
        let refusal = refused(world.request(Some(&stored), &incoming, &wish("default")));
        assert_eq!(refusal, Refusal::DamagedDataKey);
    }
}

#[test]
fn an_immutable_vault_gets_a_new_data_key_and_no_other_value() {
    let world = World::new();
    let mut spec = vault();
    spec["immutable"] = json!(true);
    let stored = world.store(spec.clone());
    let resealed = world.reseal(&stored, "transit").unwrap();
    assert_resealed(&world, &stored, &resealed);
    assert!(resealed.typed().keeps_immutable(&stored.typed()));

    let mut plain = Object::new(spec);
    plain.spec["dataKey"] = raised(&stored).spec["dataKey"].clone();
    assert_resealed(&world, &stored, &world.put(Some(&stored), &plain));
    plain.spec["data"]["b/c"] = json!("new");
    let expected = Refusal::ImmutableValue {
        map: "data",
        entry: "b/c".into(),
    };
    let refusal = refused(world.request(Some(&stored), &plain, &wish("default")));
    assert_eq!(refusal, expected);
    // Nor does it become mutable for the sake of that.
    plain.spec["immutable"] = json!(false);
    let refusal = refused(world.request(Some(&stored), &plain, &wish("default")));
    assert_eq!(refusal, expected);
}

#[test]
fn limits_hold_in_a_reseal() {
    let world = World::new();
    let stored = world.store(json!({"data": {"a": "x".repeat(MAX_VALUE)}}));
    assert_resealed(&world, &stored, &world.reseal(&stored, "transit").unwrap());
    let mut incoming = raised(&stored);
    incoming.spec["data"]["b"] = json!("x".repeat(MAX_VALUE / 2));
    let refusal = refused(world.request(Some(&stored), &incoming, &wish("default")));
    assert_eq!(refusal, Refusal::VaultTooLarge { entry: "b".into() });
    let mut incoming = raised(&stored);
    incoming.spec["publicData"] = json!({"b": "x".repeat(MAX_VALUE * 2)});
    let refusal = refused(world.request(Some(&stored), &incoming, &wish("default")));
    assert!(matches!(refusal, Refusal::ObjectTooLarge { .. }));
}

#[test]
fn fresh_envelopes_go_on_after_a_reseal() {
    let world = World::new();
    let mut spec = vault();
    spec["freshEnvelopes"] = json!(true);
    let stored = world.store(spec.clone());
    let resealed = world.reseal(&stored, "default").unwrap();
    assert_resealed(&world, &stored, &resealed);
    let again = world.put(Some(&resealed), &Object::new(spec));
    assert_eq!(again.data_key(), resealed.data_key());
    assert_ne!(again.spec["data"]["a"], resealed.spec["data"]["a"]);
    assert_eq!(world.values(&again), world.values(&stored));
}

#[test]
fn a_vault_without_secrets_needs_no_provider_and_one_without_changes_neither() {
    let world = World::new();
    let stored = world.store(vault());
    let public = Object::new(json!({"publicData": {"host": "db"}, "data": {}}));
    let needs = |stored: Option<&Object>, incoming: &Object| {
        needs_provider(stored.map(Object::manifest), incoming.manifest()).unwrap()
    };
    assert!(needs(None, &Object::new(vault())));
    assert!(needs(Some(&public), &Object::new(vault())));
    assert!(!needs(None, &public));
    assert!(!needs(None, &stored));
    let mut edited = stored.clone();
    edited.spec["data"]["a"] = json!("new");
    assert!(!needs(Some(&stored), &edited));
    assert!(!needs(Some(&stored), &Object::new(vault())));
    assert!(needs(Some(&stored), &raised(&stored)));
    assert!(needs(
        Some(&stored),
        &stored.with("keyProvider", json!("x"))
    ));
}

#[test]
fn a_provider_that_is_not_there_or_not_usable_stops_only_what_needs_it() {
    let mut world = World::new();
    let stored = world.store(vault());
    let request = world.request(Some(&stored), &raised(&stored), &wish("absent"));
    assert_eq!(request.err(), Some(NoKey::Provider(Fault::Absent)));
    world.provider("transit").down = true;
    let request = world.request(Some(&stored), &raised(&stored), &wish("transit"));
    assert_eq!(request.err(), Some(NoKey::Provider(Fault::Down)));
    let mut edited = stored.clone();
    edited.spec["data"]["a"] = json!("new");
    let nobody = Wish {
        provider: "",
        ..wish("")
    };
    assert!(world.request(Some(&stored), &edited, &nobody).is_ok());
}
