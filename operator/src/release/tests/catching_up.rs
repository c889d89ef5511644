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
    let object = uid.map(|uid| {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"namespace": "shop", "name": "app", "uid": uid},
        })
    });
    world.server.object(VAULT, object);
}

const VAULT: &str = "/apis/secretvault.dev/v1alpha1/namespaces/shop/secretvaults/app";

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
