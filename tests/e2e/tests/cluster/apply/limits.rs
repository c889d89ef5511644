//! Limits: accepted at the limit, refused one beyond, by a message that names entry and limit.

use secretvault_e2e::{Namespace, Vault};
use serde_json::Value;

const MAX_NAME: usize = 253;
const MAX_VALUE: usize = 512 * 1024;
const MAX_ENTRIES: usize = 500;
const MAX_SEALED: usize = 1024 * 1024;

/// What each value here starts with, so that a complaint can be searched for it.
const VALUE: &str = "hunter2-limits";

fn value(length: usize) -> String {
    let mut value = VALUE.repeat(length.div_ceil(VALUE.len()));
    value.truncate(length);
    value
}

/// The control of a refusal, and the refusal.
fn assert_limit(namespace: &Namespace, accepted: &Vault, refused: &Vault, says: &[&str]) {
    refused.create(namespace).expect_refusal(says, VALUE);
    assert!(!refused.is_stored(namespace));
    refused
        .apply_server_side(namespace)
        .expect_refusal(says, VALUE);
    assert!(!refused.is_stored(namespace));
    let _ = accepted.apply_server_side(namespace).expect_success();
    accepted.wait_ready(namespace);
}

#[test]
fn an_entrys_name_has_at_most_253_characters() {
    let namespace = Namespace::create("limits");
    let named = |length: usize| Vault::named("app").text(&"n".repeat(length), VALUE);
    let says = ["nnnnnnnn", "253"];
    assert_limit(&namespace, &named(MAX_NAME), &named(MAX_NAME + 1), &says);
}

#[test]
fn a_text_entry_has_at_most_512_kib() {
    let namespace = Namespace::create("limits");
    let sized = |length: usize| Vault::named("app").text("big", &value(length));
    let says = ["entry big", "524288 bytes", "512 KiB"];
    assert_limit(&namespace, &sized(MAX_VALUE), &sized(MAX_VALUE + 1), &says);
}

#[test]
fn client_side_apply_takes_values_that_do_not_fit_into_its_annotation() {
    let namespace = Namespace::create("limits");
    // An annotation may have 256 KiB; the values are out of it before anybody measures.
    let big = Vault::named("app").text("big", &value(400 * 1024));
    let _ = big.apply(&namespace).expect_success();
    let before = big.wait_ready(&namespace);
    let _ = big.apply(&namespace).expect_success();
    assert_eq!(big.stored(&namespace)["spec"], before["spec"]);
}

#[test]
fn a_binary_entry_has_at_most_512_kib() {
    let namespace = Namespace::create("limits");
    // 524288 = 3 · 174762 + 2 bytes; base64 of zeros is all A.
    let zeros =
        |end: &str| Vault::named("app").binary("big", &format!("{}{end}", "AAAA".repeat(174_762)));
    let says = ["entry big", "524288 bytes", "512 KiB"];
    assert_limit(&namespace, &zeros("AAA="), &zeros("AAAA"), &says);
}

#[test]
fn a_vault_has_at_most_500_entries_over_all_maps() {
    let namespace = Namespace::create("limits");
    let filled = |last: &str| {
        let many = (0..MAX_ENTRIES - 1).map(|n| format!("entry/{n}"));
        many.fold(Vault::named("app"), |vault, entry| {
            vault.text(&entry, VALUE)
        })
        .public("public", last)
    };
    let full = filled("500th");
    let says = [
        "with entry public",
        "501 entries",
        "limit of 500",
        "split the vault",
    ];
    assert_limit(
        &namespace,
        &full,
        &full.clone().binary("one-more", ""),
        &says,
    );
    let stored = full.stored(&namespace);
    assert_eq!(stored["status"]["entryCount"], 500);
    let _ = full.apply_server_side(&namespace).expect_success();
    assert_eq!(full.stored(&namespace)["spec"], stored["spec"]);
}

/// A vault whose envelopes have exactly 1 MiB in all. An envelope has 68 characters and, for each
/// 64 bytes of its value and 4 of length, 85 ⅓ more.
fn brim_full() -> Vault {
    let blocks = [3000, 900, 181, 10];
    let names = ["b", "c", "d", "e"];
    let entries = names.into_iter().zip(blocks.map(|blocks| 64 * blocks - 4));
    entries.fold(
        Vault::named("app").text("a", &value(MAX_VALUE)),
        |vault, (entry, length)| vault.text(entry, &value(length)),
    )
}

fn sealed_characters(stored: &Value) -> usize {
    let data = stored["spec"]["data"].as_object().unwrap();
    data.values().map(|it| it.as_str().unwrap().len()).sum()
}

#[test]
fn the_sealed_values_of_a_vault_have_at_most_one_mib() {
    let namespace = Namespace::create("limits");
    let full = brim_full();
    let beyond = full.clone().text("e", &value(64 * 10 - 3));
    let says = ["with entry e", "1048576 bytes", "1 MiB", "split the vault"];
    assert_limit(&namespace, &full, &beyond, &says);
    assert_eq!(sealed_characters(&full.stored(&namespace)), MAX_SEALED);
}

#[test]
fn a_brim_full_vault_can_be_applied_again_and_can_change() {
    let namespace = Namespace::create("limits");
    let full = brim_full();
    let _ = full.apply_server_side(&namespace).expect_success();
    let before = full.wait_ready(&namespace);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let _ = full.apply_server_side(&namespace).expect_success();
    let after = full.stored(&namespace);
    assert_eq!(
        after["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    let changed = full.text("e", "changed");
    let _ = changed.apply_server_side(&namespace).expect_success();
    changed.wait_ready(&namespace);
}

#[test]
fn a_vault_that_would_leave_no_room_for_its_status_is_refused() {
    let namespace = Namespace::create("limits");
    let with_public = |length: usize| {
        let public = |name: &str| "p".repeat(length / 3) + name;
        ["p", "q", "r"]
            .into_iter()
            .fold(brim_full(), |vault, name| vault.public(name, &public(name)))
    };
    let (accepted, refused) = (with_public(455 * 1024), with_public(466 * 1024));
    let says = ["1540096", "etcd", "publicData", "split the vault"];
    assert_limit(&namespace, &accepted, &refused, &says);
}

#[test]
fn a_vault_at_all_of_its_limits_at_once_gets_its_status() {
    let namespace = Namespace::create("limits");
    // 500 names of 253 characters, and envelopes of almost 1 MiB: the status repeats the names.
    let many = (0..MAX_ENTRIES).map(|n| format!("{n:0>3}-{}", "n".repeat(MAX_NAME - 4)));
    let vault = many.fold(Vault::named("app"), |vault, entry| {
        vault.text(&entry, &value(64 * 23 - 4))
    });
    let _ = vault.apply_server_side(&namespace).expect_success();
    vault.wait_ready(&namespace);
}
