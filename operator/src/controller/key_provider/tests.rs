//! The controller at work on a keyring, against an API server in memory.

mod pace;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secretvault_crds::{KeyProviderSpec, KeyringSecret, KeyringSource, LocalProvider};
use secretvault_envelope::Plaintext;
use secretvault_keyring::Keyring;
use serde_json::json;

use self::server::{Halt, Server};
use super::*;
use crate::keys::Providers;
use crate::vaults::Vaults;

struct Scene {
    server: Server,
    controller: KeyProviderController,
    memory: Memory,
    spec: LocalProvider,
}

impl Scene {
    /// A keyring whose keys were made so many minutes ago, the last one primary.
    fn begin(ages: &[i64]) -> Self {
        let now = Timestamp::now();
        let at = |minutes: &i64| now - SignedDuration::from_mins(*minutes);
        let mut keyring = Keyring::generate(at(&ages[0])).unwrap();
        for age in &ages[1..] {
            keyring.rotate(at(age)).unwrap();
        }
        let server = Server::default();
        server.keyring(&keyring);
        let secret = KeyringSecret {
            name: "ring".into(),
            key: None,
        };
        let spec = LocalProvider {
            keyring: KeyringSource {
                secret: Some(secret),
                file: None,
            },
            ..LocalProvider::default()
        };
        Self {
            controller: controller(&server),
            server,
            memory: Memory::default(),
            spec,
        }
    }

    /// One look at the provider as it is stored.
    async fn round(&mut self) {
        let provider = self.server.provider(&self.spec);
        let providers = vec![provider];
        self.controller.round(providers, &mut self.memory).await;
    }

    /// Another process leads from now on: it remembers nothing.
    fn other_leader(&mut self) {
        self.memory = Memory::default();
        self.controller = controller(&self.server);
    }

    fn ids(&self) -> Vec<String> {
        let keyring = self.server.stored();
        keyring.key_ids().map(|id| id.to_string()).collect()
    }

    fn said(&self, kind: &str) -> String {
        let conditions = self.server.status()["conditions"].clone();
        let mut conditions = conditions.as_array().unwrap().iter();
        let says = conditions.find(|it| it["type"] == kind);
        says.map_or_else(String::new, |it| {
            let part = |field: &str| it[field].as_str().unwrap().to_owned();
            format!("{} {}: {}", part("status"), part("reason"), part("message"))
        })
    }
}

fn controller(server: &Server) -> KeyProviderController {
    controller_of(server.client(), server.log.audit())
}

fn controller_of(client: Client, audit: Audit) -> KeyProviderController {
    let standing = Standing::new(Vaults::of([]), Providers::new());
    standing.told(Arc::new(BTreeMap::new()));
    KeyProviderController {
        events: Events::new(client.clone(), "pod"),
        client,
        namespace: "secretvault".into(),
        standing,
        audit,
        metrics: ControllerMetrics::default(),
    }
}

fn just_now() -> Option<Time> {
    Some(Time(Timestamp::now()))
}

#[tokio::test(start_paused = true)]
async fn a_key_is_made_once_for_each_reason_and_none_is_lost() {
    let mut scene = Scene::begin(&[60]);
    scene.round().await;
    let first = scene.ids();
    scene.spec.rotated_since = just_now();
    for _ in 0..3 {
        scene.round().await;
    }
    let second = scene.ids();
    assert_eq!(second.len(), 2);
    assert_eq!(second[1], first[0], "the old one unwraps still");
    assert_eq!(scene.server.status()["primaryKeyId"], second[0]);
    assert_eq!(scene.server.events(), ["KeyringReady", "KeyRotated"]);
    let lines = scene.server.log.records();
    let said = lines
        .iter()
        .map(|line| [&line["audit"], &line["event"], &line["keyId"]]);
    let said: Vec<_> = said.map(|it| it.map(|it| it.as_str().unwrap())).collect();
    let ready = ["key", "KeyringReady", first[0].as_str()];
    assert_eq!(said, [ready, ["key", "KeyRotated", &second[0]]]);
    scene.spec.rotate_after = Some("30d".parse().unwrap());
    scene.round().await;
    assert_eq!(scene.ids(), second);
    assert_eq!(scene.server.other_data(), "untouched");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_made_when_the_last_one_is_too_old() {
    let mut scene = Scene::begin(&[60]);
    scene.spec.rotate_after = Some("2h".parse().unwrap());
    scene.round().await;
    assert_eq!(scene.ids().len(), 1);
    scene.spec.rotate_after = Some("1h".parse().unwrap());
    scene.round().await;
    scene.round().await;
    assert_eq!(scene.ids().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_write_at_the_same_time_none_loses_the_others_keys() {
    // Between the look and the decision, and between that and the write.
    for reads in [1, 2] {
        let mut scene = Scene::begin(&[60]);
        scene.spec.rotated_since = just_now();
        let other = scene.server.rotated_by_another_after_reads(reads);
        scene.round().await;
        let ids = scene.ids();
        assert!(ids.contains(&other), "{ids:?}");
        assert_eq!(ids.len(), 2, "theirs is younger than was asked for");
        assert!(scene.said("KeyCurrent").starts_with("True Current"));
        scene.round().await;
        assert_eq!(scene.ids(), ids);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_killed_at_any_request_has_made_one_key_or_none() {
    for halt in [Halt::Before, Halt::After] {
        for at in 0..6 {
            let mut scene = Scene::begin(&[60]);
            scene.round().await;
            scene.spec.rotated_since = just_now();
            scene.server.halt(Some((at, halt)));
            let server = scene.server.clone();
            tokio::select! {
                () = scene.round() => {}
                () = server.halted() => {}
            }
            scene.server.halt(None);
            scene.other_leader();
            scene.round().await;
            scene.round().await;
            assert_eq!(scene.ids().len(), 2, "{halt:?} {at}");
            assert_eq!(scene.server.status()["primaryKeyId"], scene.ids()[0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_is_made_in_a_keyring_that_lacks_one_which_a_vault_needs() {
    let mut scene = Scene::begin(&[60]);
    let ids = scene.ids();
    scene.server.vault("app", "default", "00000000000000aa");
    scene.spec.rotated_since = just_now();
    scene.round().await;
    assert_eq!(scene.ids(), ids);
    let said = scene.said("KeyCurrent");
    assert!(said.starts_with("False RotationFailed"), "{said}");
    assert!(said.contains("restore the keyring that has it"), "{said}");
    scene.server.no_vaults();
    scene.round().await;
    assert_eq!(scene.ids().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_keyring_says_what_to_do() {
    let mut scene = Scene::begin(&[60; 64]);
    scene.spec.rotated_since = just_now();
    scene.round().await;
    assert_eq!(scene.ids().len(), 64);
    assert_eq!(
        scene.said("KeyCurrent"),
        "False KeyringFull: a new key is due, and there is no room: the keyring has 64 keys, the \
         most that it may have: retire some in spec.local.retire"
    );
    assert!(scene.said("Ready").starts_with("True"), "it wraps still");
}

#[tokio::test(start_paused = true)]
async fn a_keyring_that_cannot_be_written_is_told_with_the_reason() {
    let mut scene = Scene::begin(&[60]);
    scene.spec.rotated_since = just_now();
    scene
        .server
        .refuse_writes(403, "secrets \"ring\" is forbidden");
    scene.round().await;
    assert_eq!(
        scene.said("KeyCurrent"),
        "False RotationFailed: a new key is due, and cannot be made: secrets \"ring\" is forbidden; \
         it is tried again"
    );
    // Of an invalid object, the API server may quote what was sent.
    scene.server.refuse_writes(422, "Invalid value: c2VjcmV0");
    scene.round().await;
    let said = scene.said("KeyCurrent");
    assert!(said.contains("must not be immutable"), "{said}");
    assert!(!said.contains("c2VjcmV0"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_vault_needs_is_not_retired() {
    let mut scene = Scene::begin(&[120, 60]);
    let ids = scene.ids();
    for index in 0..12 {
        scene
            .server
            .vault(&format!("v{index:0>2}"), "default", &ids[1]);
    }
    scene.server.vault("elsewhere", "other", &ids[1]);
    scene.spec.retire = vec![ids[1].clone()];
    scene.round().await;
    scene.round().await;
    assert_eq!(scene.ids(), ids);
    let said = scene.said("Retired");
    let expected = format!(
        "False InUse: key {} is needed by shop/v00, shop/v01, ",
        ids[1]
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.ends_with("shop/v09 and 2 more"), "{said}");
    assert_eq!(scene.server.events(), ["KeyringReady", "RetireRefused"]);
    scene.server.no_vaults();
    scene.round().await;
    assert_eq!(scene.ids(), [ids[0].clone()]);
    assert!(scene.said("Retired").starts_with("True Retired"));
    assert_eq!(scene.server.events().last().unwrap(), "KeyRetired");
    scene.round().await;
    assert_eq!(scene.server.events().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_primary_key_is_not_retired_nor_one_that_was_it_a_moment_ago() {
    let mut scene = Scene::begin(&[120, 60]);
    let ids = scene.ids();
    scene.spec.retire = vec![ids[0].clone()];
    scene.round().await;
    assert!(scene.said("Retired").starts_with("False Primary"));
    // It is rotated away and is to go, in the same moment.
    scene.spec.rotated_since = just_now();
    scene.round().await;
    assert_eq!(scene.ids().len(), 3);
    assert!(scene.said("Retired").starts_with("False RecentlyPrimary"));
    scene.other_leader();
    scene.round().await;
    assert_eq!(scene.ids().len(), 3, "who leads next sees it too");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_person_made_an_older_one_the_primary_of_stays_for_a_while() {
    let mut scene = Scene::begin(&[120, 60]);
    let ids = scene.ids();
    scene.round().await;
    scene.server.make_primary(&ids[1]);
    scene.spec.retire = vec![ids[0].clone()];
    scene.round().await;
    assert!(scene.said("Retired").starts_with("False RecentlyPrimary"));
    scene.memory = Memory::default();
    scene.round().await;
    assert_eq!(scene.ids(), [ids[1].clone()]);
}

#[tokio::test(start_paused = true)]
async fn who_needs_a_key_must_be_known_or_it_stays() {
    let mut scene = Scene::begin(&[120, 60]);
    let ids = scene.ids();
    scene.spec.retire = vec![ids[1].clone()];
    scene.server.lists_no_vaults(true);
    scene.round().await;
    assert_eq!(scene.ids(), ids);
    scene.server.lists_no_vaults(false);
    scene.round().await;
    assert_eq!(scene.ids(), [ids[0].clone()]);
}

#[tokio::test(start_paused = true)]
async fn ids_that_are_not_there_are_done_and_nobody_is_asked() {
    let mut scene = Scene::begin(&[60]);
    let ids = scene.ids();
    scene.spec.retire = vec!["00000000000000aa".into()];
    scene.server.lists_no_vaults(true);
    scene.round().await;
    assert!(scene.said("Retired").starts_with("True Retired"));
    scene.spec.retire.clear();
    scene.round().await;
    assert_eq!(scene.said("Retired"), "", "nothing is to be retired");
    assert_eq!(scene.ids(), ids);
}

#[tokio::test(start_paused = true)]
async fn an_equal_status_is_not_written_again() {
    let mut scene = Scene::begin(&[60]);
    for _ in 0..3 {
        scene.round().await;
    }
    assert_eq!(scene.server.statuses(), 1);
    let said = scene.server.status()["keys"].clone();
    assert_eq!(said[0]["primary"], json!(true));
    assert_eq!(said[0]["vaults"], json!(0));
}

#[test]
fn what_a_rotated_keyring_wraps_opens_after_it_was_stored() {
    let mut keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
    let wrapped = keyring.wrap(&Plaintext::from(b"x".as_slice())).unwrap();
    keyring.rotate(Timestamp::now()).unwrap();
    let server = Server::default();
    server.keyring(&keyring);
    let stored = server.stored();
    assert!(stored.unwrap(&wrapped.key_id, &wrapped.wrapped).is_ok());
}
