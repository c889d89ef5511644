//! Data keys and envelopes that a request brings along.

use secretvault_envelope::Dek;
use serde_json::json;

use super::Object;
use super::reseal::{assert_resealed, refused, vault};
use super::world::{World, operator, raised, wish};
use crate::{KeyNeed, Refusal, Rights, examine};

#[test]
fn only_the_operators_rewrapped_key_takes_the_stored_ones_place() {
    let mut world = World::new();
    let stored = world.store(vault());
    world.provider("default").version = 2;
    let incoming = world.rewrapped(&stored);
    let (same, rights) = world
        .request(Some(&stored), &incoming, &wish("default"))
        .unwrap();
    assert_eq!(same.spec, stored.spec);
    assert!(rights.restore);

    let (rewrapped, rights) = world
        .request(Some(&stored), &incoming, &operator("default"))
        .unwrap();
    assert_eq!(rights, Rights::default());
    assert_eq!(rewrapped.spec, incoming.spec);
    assert_eq!(rewrapped.data_key().key_id, "v2");
    assert_eq!(world.values(&rewrapped), world.values(&stored));
    // What is not the wrapping stays, whatever the operator says.
    let mut lying = incoming.clone();
    lying.spec["dataKey"]["created"] = json!("2020-01-01T00:00:00Z");
    let request = world.request(Some(&stored), &lying, &operator("default"));
    assert_eq!(request.unwrap().0.spec, incoming.spec);
}

#[test]
fn not_even_the_operator_brings_in_another_data_key() {
    let world = World::new();
    let stored = world.store(vault());
    let mut other = stored.clone();
    other.spec["dataKey"] = world.reseal(&stored, "default").unwrap().spec["dataKey"].clone();
    other.spec["dataKey"]["rekey"] = json!(0);
    let refusal = refused(world.request(Some(&stored), &other, &operator("default")));
    assert_eq!(refusal, Refusal::ForeignDataKey);
    // Under the stored one's name, too.
    other.spec["dataKey"]["id"] = stored.spec["dataKey"]["id"].clone();
    let refusal = refused(world.request(Some(&stored), &other, &operator("default")));
    assert_eq!(refusal, Refusal::ForeignDataKey);
    // Nor one that the provider wrapped under that very id.
    let other = world.wrapping(&stored, &Dek::from_bytes(&[7; 32]));
    let refusal = refused(world.request(Some(&stored), &other, &operator("default")));
    assert_eq!(refusal, Refusal::ForeignDataKey);
    // Nor by a request that moves the vault.
    let mut moving = stored.with("keyProvider", json!("transit"));
    moving.spec["dataKey"]["id"] = json!("0".repeat(32));
    let refusal = refused(world.request(Some(&stored), &moving, &wish("transit")));
    assert_eq!(refusal, Refusal::ForeignDataKey);
}

#[test]
fn a_wrapping_of_another_provider_is_not_adopted() {
    let world = World::new();
    let stored = world.store(vault());
    let mut other = stored.clone();
    other.spec["dataKey"]["provider"] = json!("transit");
    let wish = operator("default");
    let examined = examine(Some(stored.manifest()), other.manifest(), &wish).unwrap();
    assert!(matches!(
        examined.need(),
        KeyNeed::Compare { adopt: false, .. }
    ));
    assert!(examined.rights().restore);
}

#[test]
fn a_backup_of_another_provider_is_restored_as_it_is() {
    let world = World::new();
    let backup = world.store(vault());
    let wish = wish("transit");
    let (restored, rights) = world.request(None, &backup, &wish).unwrap();
    assert!(rights.restore);
    assert_eq!(restored.spec, backup.spec);
    let examined = examine(None, backup.manifest(), &wish).unwrap();
    assert_eq!(examined.judged_provider(), Some("default"));
}

#[test]
fn a_vault_does_not_go_back_to_an_earlier_data_key_or_value() {
    let world = World::new();
    let mut spec = vault();
    let backup = world.store(spec.clone());
    let resealed = world.reseal(&backup, "default").unwrap();
    let mut old = backup.clone();
    old.spec["dataKey"]["rekey"] = json!(2);
    // Under the old key, with the stored values: they are sealed under a third one.
    let (after, rights) = world
        .request(Some(&resealed), &old, &wish("default"))
        .unwrap();
    assert!(!rights.restore);
    assert_resealed(&world, &resealed, &after);
    assert_ne!(after.data_key().id, backup.data_key().id);
    // With a value that is no longer the stored one.
    spec["data"]["a"] = json!("new");
    spec["dataKey"] = raised(&backup).spec["dataKey"].clone();
    let newer = world.put(Some(&backup), &Object::new(spec));
    let refusal = refused(world.request(Some(&newer), &old, &wish("default")));
    let expected = Refusal::ForeignEnvelope {
        map: "data",
        entry: "a".into(),
    };
    assert_eq!(refusal, expected);
    // And it is this vault's key, or none.
    let mut foreign = raised(&resealed);
    foreign.spec["dataKey"]["id"] = json!("0".repeat(32));
    let refusal = refused(world.request(Some(&resealed), &foreign, &wish("default")));
    assert_eq!(refusal, Refusal::ForeignDataKey);
}

#[test]
fn an_older_value_in_a_reseal_needs_the_right_to_restore() {
    let world = World::new();
    let backup = world.store(vault());
    let mut edited = backup.clone();
    edited.spec["data"]["a"] = json!("new");
    let stored = world.put(Some(&backup), &edited);
    let mut incoming = raised(&stored);
    incoming.spec["data"]["a"] = backup.spec["data"]["a"].clone();
    let (rolled_back, rights) = world
        .request(Some(&stored), &incoming, &wish("default"))
        .unwrap();
    assert!(rights.restore);
    assert_eq!(world.values(&rolled_back)["a"], b"1");
    assert_eq!(rolled_back.data_key().resealed, None);
    incoming.spec["data"]["a"] = backup.spec["data"]["b/c"].clone();
    let refusal = refused(world.request(Some(&stored), &incoming, &wish("default")));
    assert!(matches!(refusal, Refusal::ForeignEnvelope { .. }));
}

#[test]
fn a_request_that_admission_sees_twice_comes_to_the_same() {
    let world = World::new();
    let stored = world.store(vault());
    let first = world.reseal(&stored, "transit").unwrap();
    let request = world.request(Some(&stored), &first, &operator("transit"));
    let (second, rights) = request.unwrap();
    assert_eq!(rights, Rights::default());
    assert_resealed(&world, &stored, &second);
    assert_eq!(second.data_key().rekey, first.data_key().rekey);
}
