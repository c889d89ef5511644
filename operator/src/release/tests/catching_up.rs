//! What a volume shows already, and a replica that is behind it.

use std::time::Duration;

use secretvault_crds::{OnDelete, SecretVault};
use secretvault_delivery::v1::{Grant, HeldFile, HeldVault, Reason, Volume};
use secretvault_keyring::Keyring;
use serde_json::json;
use tokio::time::Instant;

use crate::release::fixture::{Sealing, World, volume};
use crate::vaults::Vaults;

/// The volume, when it holds what was granted.
pub(super) fn holding(mut volume: Volume, grant: &Grant) -> Volume {
    volume.held_vaults = grant.vaults.iter().map(held_vault).collect();
    let files = grant.files.iter().map(|file| HeldFile {
        vault: file.vault,
        entry: file.entry.clone(),
        path: file.path.clone(),
    });
    volume.held_files = files.collect();
    volume
}

fn held_vault(vault: &secretvault_delivery::v1::GrantedVault) -> HeldVault {
    HeldVault {
        namespace: vault.namespace.clone(),
        name: vault.name.clone(),
        uid: vault.uid.clone(),
        generation: vault.generation,
        on_delete: vault.on_delete,
        at_least: 0,
    }
}

fn vault(keyring: &Keyring) -> SecretVault {
    let mut vault = Sealing::new(keyring, "shop", "app")
        .secret("a", "1")
        .generation(3);
    vault.object.spec.on_delete = Some(OnDelete::Remove);
    vault.object
}

async fn published() -> (World, Volume) {
    let world = World::with(|keyring| [vault(keyring)]).await;
    let grant = world.grant(volume("app", "")).await;
    let volume = holding(volume("app", ""), &grant);
    (world, volume)
}

fn stored(world: &World, uid: Option<&str>) {
    is_stored(world, "shop/app", uid.map(|uid| (uid, 1)));
}

/// What the API server has of a vault, whatever this replica's view has.
fn is_stored(world: &World, vault: &str, version: Option<(&str, i64)>) {
    let (namespace, name) = vault.split_once('/').unwrap();
    let object = version.map(|(uid, generation)| {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "namespace": namespace, "name": name, "uid": uid, "generation": generation,
            },
        })
    });
    let path = format!("/apis/secretvault.dev/v1alpha1/namespaces/{namespace}/secretvaults/{name}");
    world.server.object(&path, object);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_holds_this_generation_or_an_earlier_one_is_answered_at_once() {
    let (world, mut volume) = published().await;
    for generation in [3, 2] {
        volume.held_vaults[0].generation = generation;
        let begun = Instant::now();
        assert_eq!(world.grant(volume.clone()).await.vaults[0].generation, 3);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stays_behind_says_so_after_two_seconds() {
    let (world, mut volume) = published().await;
    volume.held_vaults[0].generation = 4;
    let begun = Instant::now();
    assert_eq!(world.denial(volume).await.reason(), Reason::Behind);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

/// Another replica told the agent of a change that this one has not seen.
#[tokio::test(start_paused = true)]
async fn a_replica_that_is_behind_what_the_agent_heard_of_waits_as_well() {
    let (world, mut volume) = published().await;
    volume.held_vaults[0].at_least = 4;
    let begun = Instant::now();
    assert_eq!(world.denial(volume.clone()).await.reason(), Reason::Behind);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    let next = Sealing::new(&world.keyring, "shop", "app").secret("a", "2");
    let arrival = arrive_after(&world, HALF, next.generation(4).object);
    let (grant, ()) = tokio::join!(world.grant(volume), arrival);
    assert_eq!(grant.vaults[0].generation, 4);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_catches_up_in_time_answers_with_what_arrived() {
    let (world, mut volume) = published().await;
    volume.held_vaults[0].generation = 4;
    let arrival = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let next = Sealing::new(&world.keyring, "shop", "app")
            .secret("a", "2")
            .generation(4);
        world.vaults.arrive(next.object);
    };
    let (grant, ()) = tokio::join!(world.grant(volume), arrival);
    assert_eq!(grant.vaults[0].generation, 4);
}

/// Not in the view: deleted, or not arrived yet? Taken for deleted, its files would go.
#[tokio::test(start_paused = true)]
async fn a_vault_that_only_this_replica_does_not_know_is_not_taken_for_deleted() {
    let (mut world, volume) = published().await;
    let object = vault(&world.keyring);
    world.vaults = Vaults::of([]);
    stored(&world, Some("uid-app"));
    assert_eq!(world.denial(volume.clone()).await.reason(), Reason::Behind);
    let arrival = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.vaults.arrive(object);
    };
    let (grant, ()) = tokio::join!(world.grant(volume), arrival);
    assert_eq!(grant.files.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_vaults_files_go_or_stay_as_it_said() {
    let (mut world, mut volume) = published().await;
    world.vaults = Vaults::of([]);
    stored(&world, None);
    let grant = world.grant(volume.clone()).await;
    assert!(
        grant.files.is_empty() && grant.retained.is_empty(),
        "{grant:?}"
    );
    volume.held_vaults[0].on_delete = secretvault_delivery::v1::OnDelete::Retain.into();
    assert_eq!(world.grant(volume).await.retained, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_vault_of_the_same_name_that_was_made_anew_is_another_vault() {
    let (world, mut volume) = published().await;
    volume.held_vaults[0].uid = "uid-before".to_owned();
    volume.held_vaults[0].generation = 9;
    stored(&world, Some("uid-app"));
    assert_eq!(world.grant(volume.clone()).await.vaults[0].uid, "uid-app");
    stored(&world, Some("uid-before"));
    assert_eq!(
        world.denial(volume).await.reason(),
        Reason::Behind,
        "then this view is old"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_being_deleted_is_served_what_it_holds() {
    use crate::release::fixture::{POD, pod};
    let (world, holding) = published().await;
    let mut terminating = pod();
    terminating["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    world.server.object(POD, Some(terminating));
    assert_eq!(world.grant(holding).await.files.len(), 1);
    assert_eq!(
        world.denial(volume("app", "")).await.reason(),
        Reason::PodMismatch
    );
}

/// A world in which this replica's view lacks `shop/app`, and what it will be.
async fn lagging() -> (World, SecretVault) {
    let mut world = World::with(|_| []).await;
    let object = Sealing::new(&world.keyring, "shop", "app")
        .secret("a", "1")
        .object;
    world.vaults = Vaults::of([]);
    is_stored(&world, "shop/app", Some(("uid-app", 1)));
    (world, object)
}

async fn arrive_after(world: &World, wait: Duration, object: SecretVault) {
    tokio::time::sleep(wait).await;
    world.vaults.arrive(object);
}

const HALF: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn a_vault_that_was_applied_just_before_its_pod_is_waited_for_and_not_refused() {
    let (world, object) = lagging().await;
    let begun = Instant::now();
    let arrival = arrive_after(&world, HALF, object);
    let (grant, ()) = tokio::join!(world.grant(volume("app", "")), arrival);
    assert_eq!(grant.files.len(), 1);
    assert_eq!(begun.elapsed(), HALF);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_does_not_arrive_is_refused_after_a_second() {
    let (world, _) = lagging().await;
    let begun = Instant::now();
    let denial = world.denial(volume("app", "")).await;
    assert_eq!(denial.reason(), Reason::NotFound);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_not_stored_is_refused_at_once() {
    let (world, _) = lagging().await;
    is_stored(&world, "shop/app", None);
    let begun = Instant::now();
    let denial = world.denial(volume("app", "")).await;
    assert_eq!(denial.reason(), Reason::NotFound);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// A rule or an entry that was added just now, and a vault that was made anew.
#[tokio::test(start_paused = true)]
async fn a_later_version_of_a_vault_is_waited_for_before_a_refusal_by_an_earlier_one() {
    type Change = fn(&mut SecretVault);
    let changes: [(&str, &str, (&str, i64), Change); 3] = [
        ("", "a rule", ("uid-app", 2), |vault| {
            vault.spec.access = None;
        }),
        ("b", "an entry", ("uid-app", 2), |vault| {
            vault.spec.access = None;
            vault
                .spec
                .public_data
                .insert("b".to_owned(), "2".to_owned());
        }),
        ("", "made anew", ("uid-anew", 1), |vault| {
            vault.spec.access = None;
            vault.metadata.uid = Some("uid-anew".to_owned());
        }),
    ];
    for (items, name, (uid, generation), change) in changes {
        let world = World::with(|keyring| {
            let vault = Sealing::new(keyring, "shop", "app").secret("a", "1");
            [vault.access(&["batch"], &["**"]).object]
        })
        .await;
        is_stored(&world, "shop/app", Some(("uid-app", 1)));
        let begun = Instant::now();
        let denial = world.denial(volume("app", items)).await;
        assert_eq!(denial.reason(), Reason::Forbidden);
        assert_eq!(
            begun.elapsed(),
            Duration::ZERO,
            "{name}: it is the stored one"
        );
        is_stored(&world, "shop/app", Some((uid, generation)));
        let mut next = Sealing::new(&world.keyring, "shop", "app")
            .secret("a", "1")
            .generation(generation)
            .object;
        change(&mut next);
        let arrival = arrive_after(&world, HALF, next);
        let (grant, ()) = tokio::join!(world.grant(volume("app", items)), arrival);
        assert_eq!(grant.files.len(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn several_vaults_that_were_applied_just_now_are_waited_for_within_the_same_second() {
    let (world, app) = lagging().await;
    is_stored(&world, "shop/other", Some(("uid-other", 1)));
    let other = Sealing::new(&world.keyring, "shop", "other")
        .secret("b", "1")
        .object;
    let begun = Instant::now();
    let arrivals = async {
        arrive_after(&world, HALF, app).await;
        arrive_after(&world, HALF / 2, other).await;
    };
    let (grant, ()) = tokio::join!(world.grant(volume("app, other", "")), arrivals);
    assert_eq!(grant.files.len(), 2);
    assert_eq!(begun.elapsed(), HALF + HALF / 2);
    is_stored(&world, "shop/third", Some(("uid-third", 1)));
    is_stored(&world, "shop/fourth", Some(("uid-fourth", 1)));
    let begun = Instant::now();
    let third = Sealing::new(&world.keyring, "shop", "third")
        .secret("c", "1")
        .object;
    let arrival = arrive_after(&world, HALF, third);
    let (denial, ()) = tokio::join!(world.denial(volume("third, fourth", "")), arrival);
    assert_eq!(denial.reason(), Reason::NotFound);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_optional_vault_that_was_applied_just_before_its_pod_is_waited_for_too() {
    let (world, object) = lagging().await;
    let text = "[{vault: app, optional: true}]";
    let arrival = arrive_after(&world, HALF, object);
    let (grant, ()) = tokio::join!(world.grant(volume(text, "")), arrival);
    assert_eq!(grant.files.len(), 1);
    is_stored(&world, "shop/extra", None);
    let begun = Instant::now();
    let text = "[{vault: extra, optional: true}]";
    assert!(world.grant(volume(text, "")).await.files.is_empty());
    assert_eq!(
        begun.elapsed(),
        Duration::ZERO,
        "the control: it is missing"
    );
}

/// No word and no request tells whether a vault of another namespace is there.
#[tokio::test(start_paused = true)]
async fn another_namespaces_vault_is_looked_for_alike_whether_it_is_there_or_not() {
    let world = World::with(|keyring| {
        [Sealing::new(keyring, "platform", "closed")
            .secret("a", "1")
            .object]
    })
    .await;
    is_stored(&world, "platform/closed", Some(("uid-closed", 1)));
    let mut seen = Vec::new();
    for vault in ["closed", "absent"] {
        let (begun, arrived) = (Instant::now(), world.server.arrived());
        let denial = world.denial(volume(&format!("platform/{vault}"), "")).await;
        let words = denial.message.replace(vault, "VAULT");
        seen.push((
            denial.reason,
            words,
            begun.elapsed(),
            world.server.arrived() - arrived,
        ));
        // The next reviews are made anew.
        tokio::time::sleep(Duration::from_secs(60)).await;
        world
            .vaults
            .relist([Sealing::new(&world.keyring, "platform", "closed").object]);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_while_looking_for_a_later_version_is_no_reason_not_to_answer() {
    let (world, _) = lagging().await;
    let path = "/apis/secretvault.dev/v1alpha1/namespaces/shop/secretvaults/app";
    world.server.object(path, Some(json!("no object")));
    let denial = world.denial(volume("app", "")).await;
    assert_eq!(denial.reason(), Reason::NotFound);
}
