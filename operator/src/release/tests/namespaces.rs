//! Rules that select namespaces by label: read from the living namespace, and only where they matter.
//! (Each request here meets a service that remembers no namespace.)

use secretvault_crds::SecretVault;
use secretvault_delivery::v1::{Reason, Volume};
use secretvault_vault::VaultRef;
use serde_json::{Value, json};
use tonic::Code;

use super::catching_up::holding;
use crate::release::fixture::{Sealing, World, volume};

const NAMESPACE: &str = "/api/v1/namespaces/shop";

/// The namespace of the pod, with these labels.
fn namespace(labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels},
    })
}

fn with_access(sealing: Sealing<'_>, namespaces: &Value) -> SecretVault {
    let mut object = sealing.object;
    let rules = json!([{"namespaces": namespaces}]);
    object.spec.access = serde_json::from_value(rules).unwrap();
    object
}

/// `platform/blue` is for namespaces of the team `blue`, `platform/named` for `shop` if it is one,
/// `shop/own` for any of that team, and `shop/app` for its own namespace.
async fn world() -> World {
    let world = World::with(|keyring| {
        let blue = json!({"matchLabels": {"team": "blue"}});
        let vault = |namespace, name| Sealing::new(keyring, namespace, name).secret("a", "1");
        [
            with_access(vault("platform", "blue"), &json!({"selector": blue})),
            with_access(
                vault("platform", "named"),
                &json!({"names": ["shop"], "selector": blue}),
            ),
            with_access(
                vault("platform", "other"),
                &json!({"names": ["batch"], "selector": blue}),
            ),
            with_access(vault("shop", "own"), &json!({"selector": blue})),
            vault("shop", "app").object,
        ]
    })
    .await;
    labelled(&world, &json!({"team": "blue"}));
    world
}

fn labelled(world: &World, labels: &Value) {
    world.server.object(NAMESPACE, Some(namespace(labels)));
}

/// The namespace cannot be read, and nothing else is amiss.
fn unreadable(world: &World) {
    world.server.object(NAMESPACE, Some(json!("no namespace")));
}

async fn has(world: &World, vault: &str) -> bool {
    !world.grant(volume(vault, "")).await.files.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_has_the_labels_may_and_one_that_lacks_them_may_not() {
    let world = world().await;
    for vault in ["platform/blue", "platform/named", "own", "app"] {
        assert!(has(&world, vault).await, "{vault}");
    }
    // Both conditions must hold.
    let denial = world.denial(volume("platform/other", "")).await;
    assert_eq!(denial.reason(), Reason::Forbidden);
    for labels in [json!({"team": "red"}), json!({}), Value::Null] {
        labelled(&world, &labels);
        for vault in ["platform/blue", "platform/named", "own"] {
            let denial = world.denial(volume(vault, "")).await;
            assert_eq!(denial.reason(), Reason::Forbidden, "{vault} with {labels}");
        }
        assert!(has(&world, "app").await);
    }
}

/// The pod's own labels are its author's choice.
#[tokio::test(start_paused = true)]
async fn a_pod_does_not_stand_in_for_its_namespace() {
    let world = world().await;
    labelled(&world, &json!({}));
    let mut pod = crate::release::fixture::pod();
    pod["metadata"]["labels"]["team"] = "blue".into();
    world.server.object(crate::release::fixture::POD, Some(pod));
    let denial = world.denial(volume("platform/blue", "")).await;
    assert_eq!(denial.reason(), Reason::Forbidden);
}

async fn published(world: &World, vaults: &str) -> Volume {
    let grant = world.grant(volume(vaults, "")).await;
    holding(volume(vaults, ""), &grant)
}

#[tokio::test(start_paused = true)]
async fn a_label_that_is_taken_away_removes_the_files() {
    let world = world().await;
    let volume = published(&world, "platform/blue").await;
    assert_eq!(world.grant(volume.clone()).await.files.len(), 1);
    labelled(&world, &json!({}));
    let grant = world.grant(volume).await;
    assert!(grant.files.is_empty() && grant.retained.is_empty());
}

/// What goes although nothing else of the volume can be decided: by the same labels.
#[tokio::test(start_paused = true)]
async fn a_denial_withdraws_by_the_labels_that_there_are() {
    let world = world().await;
    let held = published(&world, "app, platform/blue").await;
    let app = VaultRef::new("shop", "app");
    world.vaults.arrive_unreadable(app, "uid-app", 1);
    let denial = world.denial(held.clone()).await;
    assert_eq!(
        (denial.reason(), denial.withdrawn),
        (Reason::Damaged, vec![])
    );
    labelled(&world, &json!({}));
    let denial = world.denial(held).await;
    assert_eq!(denial.withdrawn, ["a"]);
}

/// What cannot be decided is not decided: a running pod keeps its files.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_read_is_no_denial() {
    let world = world().await;
    let held = published(&world, "platform/blue").await;
    unreadable(&world);
    for volume in [
        held,
        volume("platform/blue", ""),
        volume("own", ""),
        volume("app, own", ""),
    ] {
        let status = world.ask(vec![volume]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    // It is not asked for where no rule looks at it.
    assert!(has(&world, "app").await);
}

/// Neither what is asked of the API server, nor whether there is an answer, tells a pod of another
/// namespace what is there.
#[tokio::test(start_paused = true)]
async fn a_vault_that_selects_namespaces_is_not_told_from_one_that_is_not_there() {
    let world = world().await;
    labelled(&world, &json!({}));
    let mut seen = Vec::new();
    for vault in ["platform/blue", "platform/missing"] {
        let arrived = world.server.arrived();
        let denial = world.denial(volume(vault, "")).await;
        let message = denial.message.replace(vault, "VAULT");
        seen.push((denial.reason, message, world.server.arrived() - arrived));
    }
    assert_eq!(seen[0], seen[1]);
    unreadable(&world);
    for vault in ["platform/blue", "platform/missing"] {
        let status = world.ask(vec![volume(vault, "")]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{vault}");
    }
}
