//! The controller at work, against an API server in memory.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::consumers::{Usage, Usages, Use, fake::FakeApi};
use crate::keys::Providers;
use crate::vaults::Vaults;

const PATH: &str = "/apis/secretvault.dev/v1alpha1/namespaces/shop/secretvaults/app";

struct Scene {
    server: FakeApi,
    vaults: Vaults,
    told: watch::Sender<Known>,
    task: JoinHandle<()>,
    generation: i64,
    version: u32,
}

fn controller(
    server: &FakeApi,
    vaults: Vaults,
    consumers: watch::Receiver<Known>,
) -> VaultController {
    VaultController {
        client: server.client(),
        standing: Standing::new(vaults, Providers::new()),
        consumers,
        events: Events::new(server.client(), "pod"),
        metrics: ControllerMetrics::default(),
    }
}

impl Scene {
    /// A vault at its first generation that no pod uses, and a controller that has seen it.
    async fn begin() -> Self {
        let (server, vaults) = (FakeApi::default(), Vaults::of([]));
        let (told, consumers) = watch::channel(None);
        let controller = controller(&server, vaults.clone(), consumers);
        let task = tokio::spawn(controller.run());
        let mut scene = Self {
            server,
            vaults,
            told,
            task,
            generation: 0,
            version: 0,
        };
        scene.server.object(
            PATH,
            json!({
                "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVault",
                "metadata": {"namespace": "shop", "name": "app", "uid": "u"}, "spec": {},
            }),
        );
        scene.edit();
        scene.settle(30).await;
        scene
    }

    /// Changes the vault.
    fn edit(&mut self) {
        self.generation += 1;
        let mut stored = self.server.stored(PATH);
        stored["metadata"]["generation"] = json!(self.generation);
        stored["spec"]["publicData"] = json!({"a": self.generation.to_string()});
        self.server.object(PATH, stored);
        self.arrive();
    }

    /// The watch brings what is stored now.
    fn arrive(&mut self) {
        self.version += 1;
        let mut stored = self.server.stored(PATH);
        stored["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object: SecretVault = serde_json::from_value(stored).unwrap();
        self.vaults.arrive(object);
    }

    /// Lets so many seconds pass, in which whatever is written comes back by the watch.
    async fn settle(&mut self, seconds: u64) {
        let mut seen = self.patches();
        for _ in 0..seconds * 2 {
            sleep(Duration::from_millis(500)).await;
            if self.patches() != seen {
                seen = self.patches();
                self.arrive();
            }
        }
    }

    /// So many of a thousand pods hold the newest generation, and the others the one before.
    fn pods(&self, updated: u32) {
        let pods = (0..1000).map(|n| {
            let behind = i64::from(n >= updated);
            let usage = Use {
                generation: self.generation - behind,
                ..Use::default()
            };
            (format!("web-{n:0>3}"), usage)
        });
        let usages: Usages = [("u".to_owned(), Arc::new(Usage::of(pods)))].into();
        self.told.send_replace(Some(Arc::new(usages)));
    }

    fn patches(&self) -> usize {
        self.server.asked(&Method::PATCH, "/status").len()
    }

    fn said(&self) -> Value {
        let status = self.server.stored(PATH)["status"].clone();
        json!([status["consumerCount"], status["staleCount"]])
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_that_change_together_are_two_writes_and_never_shown_as_stale() {
    let mut scene = Scene::begin().await;
    scene.pods(1000);
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([1000, 0]));
    let before = scene.patches();
    scene.edit();
    for updated in (0..=1000).step_by(100) {
        scene.pods(updated);
        scene.settle(1).await;
        assert_eq!(scene.said(), json!([1000, 0]), "{updated} of them have it");
    }
    scene.settle(30).await;
    // Its turn comes again without a reason.
    sleep(2 * CHECK).await;
    assert_eq!(scene.said(), json!([1000, 0]));
    let consumer = &scene.server.stored(PATH)["status"]["consumers"][0];
    assert_eq!(consumer["generation"], 2);
    assert_eq!(scene.patches() - before, 2);
}

#[tokio::test(start_paused = true)]
async fn who_stays_behind_is_shown() {
    let mut scene = Scene::begin().await;
    scene.pods(1000);
    scene.settle(30).await;
    scene.edit();
    scene.pods(990);
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([1000, 10]));
}

#[tokio::test(start_paused = true)]
async fn before_the_consumers_are_known_the_status_keeps_what_it_says() {
    let mut scene = Scene::begin().await;
    scene.pods(1000);
    scene.settle(30).await;
    scene.told.send_replace(None);
    scene.edit();
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([1000, 0]));
    assert_eq!(scene.server.stored(PATH)["status"]["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_nobody_uses_any_more_has_no_consumers() {
    let mut scene = Scene::begin().await;
    scene.pods(1000);
    scene.settle(30).await;
    scene.told.send_replace(Some(Arc::default()));
    scene.settle(10).await;
    assert_eq!(
        scene.said(),
        json!([1000, 0]),
        "its agents may be on their way to another replica"
    );
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([0, 0]));
    assert_eq!(
        scene.server.stored(PATH)["status"]["consumers"],
        Value::Null
    );
}

/// A vault of a generation, with a status or without.
fn vault(generation: i64, consumers: Option<i32>) -> SecretVault {
    let status = consumers.map(|count| json!({"consumerCount": count}));
    let object = json!({
        "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVault",
        "metadata": {"namespace": "shop", "name": "app", "uid": "u", "generation": generation},
        "spec": {}, "status": status,
    });
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn a_vault_that_waited_for_its_turn_is_looked_at_as_it_is_then() {
    let look = |stored: Vec<SecretVault>| {
        let consumers = watch::channel(None).1;
        let controller = controller(&FakeApi::default(), Vaults::of(stored), consumers);
        let due = Due {
            vault: Arc::new(vault(1, None)),
            stand: None,
            usage: None,
            before: None,
        };
        let now = controller.as_it_is_now(due)?;
        Some(now.vault.status.as_ref()?.consumer_count)
    };
    assert_eq!(look(vec![vault(1, Some(3))]), Some(Some(3)));
    assert_eq!(look(vec![vault(2, Some(3))]), None, "the next round's");
    assert_eq!(look(Vec::new()), None, "it is gone");
}

#[test]
fn jitter_adds_up_to_a_quarter() {
    assert_eq!(jittered(CHECK, 0), CHECK);
    assert_eq!(jittered(CHECK, u32::MAX), CHECK + CHECK / 4);
}

#[tokio::test(start_paused = true)]
async fn pods_that_made_something_of_values_are_not_stale_when_these_are_only_sealed_anew() {
    let mut scene = Scene::begin().await;
    let environment = |scene: &Scene| {
        let usage = Use {
            generation: scene.generation,
            since: 1,
            env: true,
            ..Use::default()
        };
        let usage = Usage::of([("web".to_owned(), usage)]);
        let usages: Usages = [("u".to_owned(), Arc::new(usage))].into();
        scene.told.send_replace(Some(Arc::new(usages)));
    };
    environment(&scene);
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([1, 0]));
    // Another generation, stored otherwise, of the same contents.
    let spec = |scene: &Scene| -> secretvault_crds::SecretVaultSpec {
        serde_json::from_value(scene.server.stored(PATH)["spec"].clone()).unwrap()
    };
    let from = spec(&scene).content_revision();
    scene.edit();
    let to = spec(&scene).stored_revision();
    let mut stored = scene.server.stored(PATH);
    stored["spec"]["dataKey"] = json!({
        "provider": "default", "keyId": "k", "id": "0".repeat(32), "wrapped": "w", "rekey": 1,
        "resealed": {"from": from, "to": to},
    });
    scene.server.object(PATH, stored);
    scene.arrive();
    environment(&scene);
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([1, 0]));
    // And then other ones.
    scene.edit();
    environment(&scene);
    scene.settle(30).await;
    assert_eq!(scene.said(), json!([1, 1]));
}
