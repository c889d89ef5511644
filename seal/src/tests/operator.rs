//! What the operator's own account may not do, whoever has its token.

use serde_json::json;

use super::reseal::{assert_resealed, refused, vault};
use super::world::{World, operator, raised, wish};
use super::{Object, WISH};
use crate::{Refusal, Wish, examine};

fn of(map: &'static str, entry: &str) -> Refusal {
    Refusal::OperatorsValue {
        map,
        entry: entry.into(),
    }
}

#[test]
fn the_operator_brings_no_plain_value_into_a_reseal() {
    let world = World::new();
    let stored = world.store(vault());
    for (map, entry, value) in [
        ("data", "a", "hunter2"),
        // Nor the stored value: it would tell whether a guess is right.
        ("data", "a", "1"),
        ("binaryData", "k", "AAED"),
        ("data", "new", "hunter3"),
    ] {
        let mut incoming = raised(&stored);
        incoming.spec[map][entry] = json!(value);
        let request = world.request(Some(&stored), &incoming, &operator("default"));
        let refusal = refused(request);
        assert_eq!(refusal, of(map, entry));
        let field = format!("spec.{map}[{entry}]");
        assert_eq!(refusal.field().as_deref(), Some(field.as_str()));
        assert!(!refusal.to_string().contains(value), "{refusal}");
        // Whoever may update the vault may have it sealed with this very value.
        let anybody = world.request(Some(&stored), &incoming, &wish("default"));
        assert!(anybody.is_ok(), "{entry}");
    }
}

#[test]
fn the_operator_brings_in_no_value_without_a_reseal_either() {
    let world = World::new();
    let stored = world.store(vault());
    let mut edited = stored.clone();
    edited.spec["data"]["a"] = json!("other");
    let request = world.request(Some(&stored), &edited, &operator("default"));
    assert_eq!(refused(request), of("data", "a"));
    let create = world.request(None, &Object::new(vault()), &operator("default"));
    assert_eq!(refused(create), of("binaryData", "k"));
}

#[test]
fn the_operator_brings_back_no_older_value() {
    let world = World::new();
    let backup = world.store(vault());
    let mut edited = backup.clone();
    edited.spec["data"]["a"] = json!("new");
    let stored = world.put(Some(&backup), &edited);
    for mut incoming in [stored.clone(), raised(&stored)] {
        incoming.spec["data"]["a"] = backup.spec["data"]["a"].clone();
        let request = world.request(Some(&stored), &incoming, &operator("default"));
        assert_eq!(refused(request), of("data", "a"));
        // Whoever may restore may do it.
        let (_, rights) = world
            .request(Some(&stored), &incoming, &wish("default"))
            .unwrap();
        assert!(rights.restore);
    }
}

#[test]
fn the_operator_heals_no_damaged_entry() {
    let world = World::new();
    let mut damaged = world.store(vault());
    damaged.spec["data"]["a"] = json!("sv1:A");
    let mut incoming = raised(&damaged);
    incoming.spec["data"]["a"] = json!("other");
    let request = world.request(Some(&damaged), &incoming, &operator("default"));
    assert_eq!(refused(request), of("data", "a"));
}

/// What its controllers send: the stored object, with another wrapping, or with the counter raised.
#[test]
fn the_operators_own_requests_are_sealed_as_before() {
    let mut world = World::new();
    let stored = world.store(vault());
    let resealed = world.reseal(&stored, "transit").unwrap();
    assert_resealed(&world, &stored, &resealed);
    world.provider("transit").version = 2;
    let rewrapped = world.rewrapped(&resealed);
    let (after, _) = world
        .request(Some(&resealed), &rewrapped, &operator("transit"))
        .unwrap();
    assert_eq!(after.spec, rewrapped.spec);
    // Asked about the same request once more, after another webhook.
    let again = world.request(Some(&stored), &resealed, &operator("transit"));
    assert_resealed(&world, &stored, &again.unwrap().0);
}

#[test]
fn no_key_is_asked_for_where_the_operator_brings_in_a_value() {
    let mut incoming = Object::new(vault());
    let stored = incoming.stored();
    incoming.spec["dataKey"] = raised(&stored).spec["dataKey"].clone();
    let wish = Wish {
        by_operator: true,
        ..WISH
    };
    let examined = examine(Some(stored.manifest()), incoming.manifest(), &wish);
    assert_eq!(examined.err(), Some(of("binaryData", "k")));
}
