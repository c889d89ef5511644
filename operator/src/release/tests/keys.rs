//! Vaults whose keys or contents are not usable.

use std::time::Duration;

use jiff::Timestamp;
use secretvault_delivery::v1::verdict::Outcome;
use secretvault_delivery::v1::{self, Reason};
use secretvault_keyring::Keyring;
use serde_json::json;
use tokio::time::Instant;

use crate::release::fixture::{Sealing, World, volume};

fn vault<'a>(keyring: &'a Keyring, name: &str) -> Sealing<'a> {
    Sealing::new(keyring, "shop", name)
        .secret("a", "1")
        .public("host", "db")
}

#[tokio::test(start_paused = true)]
async fn a_vault_whose_key_is_not_there_is_denied_with_the_remedy() {
    let elsewhere = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
    let world = World::with(|keyring| {
        let mut no_provider = vault(keyring, "no-provider");
        no_provider.object.spec.data_key.as_mut().unwrap().provider = "absent".to_owned();
        [
            vault(&elsewhere, "elsewhere").object,
            no_provider.object,
            vault(keyring, "app").object,
        ]
    })
    .await;
    for name in ["elsewhere", "no-provider"] {
        let denial = world.denial(volume(name, "")).await;
        assert_eq!(
            denial.reason(),
            Reason::KeyUnavailable,
            "{name}: {}",
            denial.message
        );
        let expected = format!("vault shop/{name}: no usable key: ");
        assert!(denial.message.starts_with(&expected), "{}", denial.message);
    }
    world.grant(volume("app", "")).await;
}

#[tokio::test(start_paused = true)]
async fn public_entries_need_no_key() {
    let elsewhere = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
    let world = World::with(|_| [vault(&elsewhere, "elsewhere").object]).await;
    let grant = world.grant(volume("elsewhere", "host")).await;
    assert_eq!(grant.files.len(), 1);
    assert_eq!(grant.vaults[0].scope, "");
    assert!(world.log.lines(1)[0]["vaults"][0]["keyId"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_damaged_is_denied_with_what_is_damaged() {
    let world = World::with(|keyring| {
        let mut foreign = vault(keyring, "foreign");
        foreign.object.spec.data_key = vault(keyring, "other").object.spec.data_key;
        let mut no_key = vault(keyring, "no-key");
        no_key.object.spec.data_key = None;
        let mut broken = vault(keyring, "broken");
        broken
            .object
            .spec
            .data
            .insert("a".to_owned(), "sv1:AAAA".into());
        let mut git = vault(keyring, "git");
        git.object
            .spec
            .data
            .insert("a".to_owned(), "git1:AAAA".into());
        let mut public = vault(keyring, "public");
        let binary = &mut public.object.spec.public_binary_data;
        binary.insert("b".to_owned(), "not base64".to_owned());
        let vaults = [foreign, no_key, broken, git, public, vault(keyring, "app")];
        vaults.map(|vault| vault.object)
    })
    .await;
    let cases = [
        ("foreign", "", "data key"),
        ("no-key", "", "spec.dataKey"),
        ("broken", "", "entry a"),
        ("git", "", "sealed for Git"),
        ("public", "", "entry b"),
    ];
    for (name, items, word) in cases {
        let denial = world.denial(volume(name, items)).await;
        assert_eq!(
            denial.reason(),
            Reason::Damaged,
            "{name}: {}",
            denial.message
        );
        assert!(
            denial.message.contains(name) && denial.message.contains(word),
            "{denial:?}"
        );
        assert!(!denial.message.contains("AAAA"), "{denial:?}");
    }
    world.grant(volume("app", "")).await;
}

/// Taken for deleted, it would lose its files in running pods.
#[tokio::test(start_paused = true)]
async fn a_vault_that_cannot_be_read_is_denied_and_not_taken_for_deleted() {
    let world = World::with(|keyring| {
        ["shop", "platform"].map(|namespace| {
            let mut vault = Sealing::new(keyring, namespace, "unreadable").secret("a", "1");
            vault.object.spec.access = Some(Vec::new());
            vault.object
        })
    })
    .await;
    let denial = world.denial(volume("unreadable", "")).await;
    assert_eq!(denial.reason(), Reason::Damaged, "{}", denial.message);
    let unreadable = world.denial(volume("platform/unreadable", "")).await;
    let absent = world.denial(volume("platform/absent", "")).await;
    assert_eq!(unreadable.reason, absent.reason);
    assert_eq!(
        unreadable.message.replace("unreadable", "absent"),
        absent.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_no_message_can_carry_is_denied() {
    const HALF_MIB: usize = 512 * 1024;
    let world = World::with(|keyring| {
        ["a", "b", "c"].map(|name| {
            let mut vault = Sealing::new(keyring, "shop", name);
            for entry in 0..20 {
                let entry = format!("{name}{entry}");
                vault = vault.public(&entry, &"x".repeat(HALF_MIB));
            }
            vault.object
        })
    })
    .await;
    assert_eq!(world.grant(volume("a, b", "")).await.files.len(), 40);
    let denial = world.denial(volume("a, b, c", "")).await;
    assert_eq!(denial.reason(), Reason::InvalidRequest);
    assert!(denial.message.contains("28 MiB"), "{}", denial.message);
    let error = world.ask(vec![volume("a, b", ""); 2]).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::ResourceExhausted);
}

/// A key that the keyring lacks is waited for, three seconds long, like the answer of a provider
/// that hangs.
#[tokio::test(start_paused = true)]
async fn volumes_whose_key_provider_hangs_keep_no_other_from_its_answer() {
    let elsewhere = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
    let world = World::with(|keyring| {
        let slow = |name| vault(&elsewhere, name).object;
        [slow("slow-1"), slow("slow-2"), vault(keyring, "app").object]
    })
    .await;
    let begun = Instant::now();
    let volumes = ["slow-1", "app", "slow-2"].map(|name| volume(name, ""));
    let verdicts = world.ask(volumes.into()).await.unwrap().verdicts;
    // Their agent waits for five. Whoever gave up sooner would never be served by a slow provider.
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let outcomes = verdicts.into_iter().map(|verdict| verdict.outcome.unwrap());
    for (name, outcome) in ["slow-1", "app", "slow-2"].into_iter().zip(outcomes) {
        match outcome {
            Outcome::Denial(denial) => {
                assert_ne!(name, "app", "{denial:?}");
                assert_eq!(denial.reason(), Reason::KeyUnavailable, "{denial:?}");
                assert!(!denial.message.ends_with("in time"), "{denial:?}");
            }
            Outcome::Grant(_) => assert_eq!(name, "app"),
        }
    }
    // Alone, it takes as long.
    let begun = Instant::now();
    let denial = world.denial(volume("slow-1", "")).await;
    assert!(!denial.message.ends_with("in time"), "{denial:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

/// A right that ended must not wait until another vault of the same volume is mended.
#[tokio::test(start_paused = true)]
async fn a_denial_still_withdraws_what_the_pod_may_not_have_any_more() {
    let elsewhere = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
    let world = World::with(|keyring| {
        let mut unreadable = vault(keyring, "unreadable");
        unreadable.object.spec.access = Some(Vec::new());
        [
            Sealing::new(keyring, "shop", "app")
                .secret("kept", "1")
                .secret("withdrawn", "2")
                .access(&["shop"], &["kept"])
                .object,
            vault(&elsewhere, "elsewhere").object,
            unreadable.object,
        ]
    })
    .await;
    let holding = |vaults: &str, other: &str| {
        let mut volume = volume(vaults, "");
        volume.held_vaults = vec![held_vault("app"), held_vault(other)];
        volume.held_files = vec![
            held_file(0, "kept"),
            held_file(0, "withdrawn"),
            held_file(1, "a"),
        ];
        volume
    };
    for (number, other) in [(1, "elsewhere"), (2, "unreadable")] {
        let denial = world.denial(holding(&format!("app, {other}"), other)).await;
        assert_eq!(denial.withdrawn, ["withdrawn"], "{other}: {denial:?}");
        let line = world.log.lines(number).remove(number - 1);
        assert_eq!(line["withdrawn"], json!(["withdrawn"]), "{line}");
    }
    let denial = world.denial(volume("app, elsewhere", "")).await;
    assert!(denial.withdrawn.is_empty(), "nothing is held: {denial:?}");
}

fn held_vault(name: &str) -> v1::HeldVault {
    v1::HeldVault {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        generation: 1,
        on_delete: v1::OnDelete::Retain.into(),
        at_least: 0,
    }
}

fn held_file(vault: u32, name: &str) -> v1::HeldFile {
    v1::HeldFile {
        vault,
        entry: name.to_owned(),
        path: name.to_owned(),
    }
}
