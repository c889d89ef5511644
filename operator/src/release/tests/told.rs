//! The pod's Events: what is told, and that it is told once.

use secretvault_crds::SecretVault;
use secretvault_delivery::v1::delivery_client::DeliveryClient;
use secretvault_delivery::v1::verdict::Outcome;
use secretvault_delivery::v1::{Grant, ReleaseRequest, Volume};
use secretvault_keyring::Keyring;
use secretvault_vault::VaultRef;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::catching_up::holding;
use crate::release::fixture::{Sealing, World, volume};

/// One replica, which remembers what it told.
struct Replica {
    world: World,
    client: DeliveryClient<axum::Router>,
}

impl Replica {
    async fn with<const N: usize>(make: impl FnOnce(&Keyring) -> [SecretVault; N]) -> Self {
        let world = World::with(make).await;
        let client = DeliveryClient::new(world.router());
        Self { world, client }
    }

    async fn ask(&mut self, volume: Volume) -> Outcome {
        self.try_to_ask(volume).await.unwrap()
    }

    async fn try_to_ask(&mut self, volume: Volume) -> Result<Outcome, Status> {
        let volumes = vec![volume];
        let mut request = tonic::Request::new(ReleaseRequest { volumes });
        let token = "Bearer t-agent".parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        let answer = self.client.release(request).await?.into_inner();
        Ok(answer.verdicts[0].outcome.clone().unwrap())
    }

    async fn grant(&mut self, volume: Volume) -> Grant {
        let outcome = self.ask(volume).await;
        let Outcome::Grant(grant) = outcome else {
            panic!("{outcome:?}")
        };
        grant
    }

    /// Type, reason and note of each Event so far.
    async fn told(&self) -> Vec<(String, String, String)> {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let events = self.world.server.events().await;
        let events = events.iter();
        events
            .map(|event| {
                (
                    text(event, "type"),
                    text(event, "reason"),
                    text(event, "note"),
                )
            })
            .collect()
    }
}

fn shared_and_app(keyring: &Keyring) -> [SecretVault; 2] {
    [
        Sealing::new(keyring, "shop", "app")
            .secret("both", "hunter2")
            .object,
        Sealing::new(keyring, "shop", "shared")
            .secret("both", "hunter3")
            .secret("own", "hunter4")
            .object,
    ]
}

#[tokio::test(start_paused = true)]
async fn what_was_overridden_is_told_in_one_event_of_the_pod() {
    let mut replica = Replica::with(shared_and_app).await;
    let _ = replica.grant(volume("shared, app", "")).await;
    let events = replica.world.server.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert_eq!(
        event["regarding"],
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "namespace": "shop", "name": "web-0", "uid": "pod-uid",
        })
    );
    assert_eq!(event["metadata"]["namespace"], "shop");
    assert_eq!(event["type"], "Normal");
    assert_eq!(
        event["note"],
        "vault shop/app overrides files of vault shop/shared, which is listed before it: both"
    );
    let line = &replica.world.log.lines(1)[0];
    let expected = json!([
        {"path": "both", "vault": "shop/shared", "entry": "both", "by": "shop/app"},
    ]);
    assert_eq!(line["overridden"], expected);
    for text in [event.to_string(), replica.world.log.text()] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_with_nothing_to_say_tells_nothing() {
    let mut replica = Replica::with(shared_and_app).await;
    let _ = replica.grant(volume("app", "")).await;
    assert_eq!(replica.told().await, []);
}

#[tokio::test(start_paused = true)]
async fn kubelets_second_publish_and_every_republish_tell_nothing_again() {
    let mut replica = Replica::with(shared_and_app).await;
    let grant = replica.grant(volume("shared, app", "")).await;
    let _ = replica.grant(volume("shared, app", "")).await;
    let held = holding(volume("shared, app", ""), &grant);
    for _ in 0..3 {
        let _ = replica.grant(held.clone()).await;
    }
    assert_eq!(replica.told().await.len(), 1);
}

/// It holds nothing, so that each republish looks like the first publish.
#[tokio::test(start_paused = true)]
async fn a_volume_that_waits_for_an_optional_vault_tells_it_once() {
    let mut replica = Replica::with(|_| []).await;
    let text = "[{vault: extra, optional: true}]";
    for _ in 0..3 {
        let grant = replica.grant(volume(text, "")).await;
        assert_eq!(grant.awaited.len(), 1);
    }
    let told = replica.told().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].0.as_str(), told[0].1.as_str()),
        ("Normal", "SecretsMounted")
    );
}

#[tokio::test(start_paused = true)]
async fn an_optional_vault_of_another_namespace_is_not_awaited_by_a_handle() {
    let mut replica = Replica::with(|_| []).await;
    let text = "[{vault: platform/extra, optional: true}]";
    assert!(replica.grant(volume(text, "")).await.awaited.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_empty_vault_is_a_warning() {
    let mut replica = Replica::with(|keyring| [Sealing::new(keyring, "shop", "app").object]).await;
    let _ = replica.grant(volume("app", "")).await;
    let expected = ("Warning", "SecretsMissing", "vault shop/app has no entries");
    let (kind, reason, note) = replica.told().await.remove(0);
    assert_eq!((kind.as_str(), reason.as_str(), note.as_str()), expected);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_nothing_of_its_own() {
    let mut replica = Replica::with(|_| []).await;
    let Outcome::Denial(_) = replica.ask(volume("app", "")).await else {
        panic!("granted")
    };
    assert_eq!(replica.told().await, []);
}

fn app(keyring: &Keyring) -> Sealing<'_> {
    Sealing::new(keyring, "shop", "app")
        .secret("a", "1")
        .secret("b", "2")
}

/// A volume that holds `a` and `b`, the second of which its pod may not have any more.
async fn narrowed() -> (Replica, Volume) {
    let mut replica = Replica::with(|keyring| [app(keyring).object]).await;
    let grant = replica.grant(volume("app", "")).await;
    let held = holding(volume("app", ""), &grant);
    let closed = app(&replica.world.keyring)
        .access(&["shop"], &["a"])
        .generation(2);
    replica.world.vaults.arrive(closed.object);
    (replica, held)
}

#[tokio::test(start_paused = true)]
async fn a_right_that_ended_is_told_once_with_the_paths_that_go() {
    let (mut replica, held) = narrowed().await;
    let grant = replica.grant(held.clone()).await;
    assert_eq!(grant.files.len(), 1);
    let held = holding(held, &grant);
    for _ in 0..3 {
        let _ = replica.grant(held.clone()).await;
    }
    let told = replica.told().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].0.as_str(), told[0].1.as_str()),
        ("Warning", "SecretsWithdrawn")
    );
    assert!(told[0].2.ends_with(": b"), "{told:?}");
    let line = replica.world.log.lines(2).remove(1);
    assert_eq!(
        (&line["verdict"], &line["withdrawn"]),
        (&json!("grant"), &json!(["b"]))
    );
}

/// Its owner must not read that files go which stay.
#[tokio::test(start_paused = true)]
async fn a_right_that_ended_is_not_told_before_its_verdict_is_recorded() {
    let (mut replica, held) = narrowed().await;
    replica.world.log.full(true);
    let refused = replica.try_to_ask(held.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(replica.told().await, []);
    // The control: the same again, once there is room.
    replica.world.log.full(false);
    let _ = replica.grant(held).await;
    let told = replica.told().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1, "SecretsWithdrawn");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_ended_is_told_where_the_rest_of_the_volume_is_denied() {
    let mut replica = Replica::with(|keyring| {
        let other = Sealing::new(keyring, "shop", "other").secret("o", "1");
        [app(keyring).object, other.object]
    })
    .await;
    let grant = replica.grant(volume("app, other", "")).await;
    let held = holding(volume("app, other", ""), &grant);
    let closed = app(&replica.world.keyring)
        .access(&["shop"], &["a"])
        .generation(2);
    replica.world.vaults.arrive(closed.object);
    let other = VaultRef::new("shop", "other");
    replica
        .world
        .vaults
        .arrive_unreadable(other, "uid-other", 2);
    for _ in 0..2 {
        let Outcome::Denial(denial) = replica.ask(held.clone()).await else {
            panic!("granted")
        };
        assert_eq!(denial.withdrawn, ["b"]);
    }
    let told = replica.told().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].2.ends_with(": b"), "{told:?}");
}
