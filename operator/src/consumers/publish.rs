//! Publishes the consumers of this replica, for the one that leads.
//!
//! # Guarantees
//! * One key of the ConfigMap, this replica's own, applied by a manager of its own: no replica
//!   takes away what another one wrote.
//! * A write each [`PAUSE`] at most, and none while nothing changes, but for one each [`RESYNC`]: it
//!   heals what somebody deleted, and costs etcd nothing when nobody did.
//! * A replica that ends in order takes its key away.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::registry::Consumers;
use super::report::Report;
use crate::metrics::{ControllerMetrics, ControllerName, ReconcileOutcome};

/// Publishes the consumers of one replica.
pub struct Publisher {
    config_maps: Api<ConfigMap>,
    pod_name: String,
    consumers: Consumers,
    metrics: ControllerMetrics,
    /// What is published, and since when.
    published: Option<(String, Instant)>,
    /// Whether anything may have been written.
    wrote: bool,
    /// How long a report may be.
    budget: usize,
}

impl Publisher {
    /// A publisher that has published nothing yet.
    pub fn new(
        client: &Client,
        namespace: &str,
        pod_name: &str,
        consumers: Consumers,
        metrics: ControllerMetrics,
    ) -> Self {
        Self {
            config_maps: Api::namespaced(client.clone(), namespace),
            pod_name: pod_name.to_owned(),
            consumers,
            metrics,
            published: None,
            wrote: false,
            budget: BUDGET,
        }
    }

    /// Publishes until told to stop, then takes the key away.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
        if self.wrote {
            let removed = timeout(ANSWER, withdraw(&self.config_maps, &self.pod_name)).await;
            match removed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "the consumers were not taken away"),
                Err(_) => warn!("the consumers were not taken away in time"),
            }
        }
    }

    async fn keep(&mut self) {
        let mut changes = self.consumers.changes();
        loop {
            // What changes meanwhile is written with the rest.
            sleep(PAUSE).await;
            changes.mark_unchanged();
            self.publish().await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { sleep(RESYNC).await },
                () = sleep(self.rest()) => {}
            }
        }
    }

    /// How long to rest when nothing changes.
    fn rest(&self) -> Duration {
        if self.published.is_some() {
            RESYNC
        } else {
            RETRY
        }
    }

    async fn publish(&mut self) {
        let text = Report::text(&self.consumers.snapshot(), self.budget);
        let outcome = if self.is_published(&text) {
            ReconcileOutcome::Unchanged
        } else {
            self.write(text).await
        };
        self.metrics
            .reconciled(ControllerName::PublishConsumers, outcome);
    }

    fn is_published(&self, text: &str) -> bool {
        self.published
            .as_ref()
            .is_some_and(|(last, at)| last == text && at.elapsed() < RESYNC)
    }

    async fn write(&mut self, text: String) -> ReconcileOutcome {
        self.published = None;
        self.wrote = true;
        let patch = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG_MAP},
            "data": {&self.pod_name: &text},
        });
        let parameters = PatchParams::apply(&manager(&self.pod_name)).force();
        let patch = Patch::Apply(patch);
        let written = self.config_maps.patch(CONFIG_MAP, &parameters, &patch);
        match timeout(ANSWER, written).await {
            Ok(Ok(_)) => {
                self.published = Some((text, Instant::now()));
                ReconcileOutcome::Changed
            }
            Ok(Err(error)) => {
                self.shorten_if_refused(&error);
                warn!(%error, "the consumers were not published");
                ReconcileOutcome::Failed
            }
            Err(_) => {
                warn!("the consumers were not published in time");
                ReconcileOutcome::Failed
            }
        }
    }

    /// With more replicas than usual, their reports may be too much for one ConfigMap: all of them
    /// get shorter until they fit.
    fn shorten_if_refused(&mut self, error: &kube::Error) {
        let too_long = matches!(error, kube::Error::Api(answer) if TOO_LONG.contains(&answer.code));
        if too_long {
            self.budget = (self.budget / 2).max(LEAST);
        }
    }
}

/// Takes a replica's key away, whoever wrote it.
///
/// # Errors
/// Fails when the API server refuses. That there is no such ConfigMap is no failure.
pub(super) async fn withdraw(api: &Api<ConfigMap>, pod_name: &str) -> Result<(), kube::Error> {
    let patch = Patch::Merge(json!({"data": {pod_name: null}}));
    match api.patch(CONFIG_MAP, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(answer)) if answer.code == NOT_FOUND => Ok(()),
        written => written.map(drop),
    }
}

/// The field manager of one replica's key: the end of a pod's name is what tells it apart.
fn manager(pod_name: &str) -> String {
    let room = MAX_MANAGER - MANAGER.len();
    let start = pod_name.len().saturating_sub(room);
    let end = pod_name.get(start..).unwrap_or(pod_name);
    format!("{MANAGER}{end}")
}

/// Where the replicas publish.
pub(super) const CONFIG_MAP: &str = "secretvault-consumers";
/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a report may be: three replicas, as during an upgrade, fit into a ConfigMap.
const BUDGET: usize = 300 * 1024;
/// A report is never made shorter than that.
const LEAST: usize = 8 * 1024;
const MANAGER: &str = "secretvault-operator-";
/// What the API server accepts.
const MAX_MANAGER: usize = 128;
const NOT_FOUND: u16 = 404;
/// How long to gather changes before a write.
const PAUSE: Duration = Duration::from_secs(2);
const RESYNC: Duration = Duration::from_secs(60);
/// How soon to try again after a write that failed.
const RETRY: Duration = Duration::from_secs(5);
/// How the API server says that an object is too large, by its rules or by etcd's.
const TOO_LONG: [u16; 2] = [413, 422];

#[cfg(test)]
mod tests {
    use http::Method;
    use secretvault_vault::VaultRef;
    use serde_json::Value;
    use tokio::task::JoinHandle;

    use super::super::registry::{Consumer, Holding};
    use super::*;
    use crate::consumers::fake::{Asked, FakeApi};

    struct Scene {
        server: FakeApi,
        consumers: Consumers,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Scene {
        fn begin() -> Self {
            let (server, consumers) = (FakeApi::default(), Consumers::default());
            let client = server.client();
            let metrics = ControllerMetrics::default();
            let publisher = Publisher::new(&client, "system", "pod", consumers.clone(), metrics);
            let stop = CancellationToken::new();
            let task = tokio::spawn(publisher.run(stop.clone()));
            Self {
                server,
                consumers,
                stop,
                task,
            }
        }

        fn patches(&self) -> Vec<Asked> {
            self.server.asked(&Method::PATCH, CONFIG_MAP)
        }

        fn texts(&self) -> Vec<Value> {
            let patches = self.patches().into_iter();
            patches
                .map(|patch| patch.body["data"]["pod"].clone())
                .collect()
        }

        fn hold(&self, pod: &str) {
            let consumer = Consumer {
                vault: VaultRef::new("shop", "app"),
                vault_uid: "u".to_owned(),
                pod_namespace: "shop".to_owned(),
                pod: pod.to_owned(),
                pod_uid: String::new(),
                node: "node-a".to_owned(),
                env: false,
                restart: false,
                overridden: Vec::new(),
            };
            let holding = Holding {
                generation: 1,
                since: 1,
            };
            self.consumers.hold(consumer, holding);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_changes_are_one_write_and_no_change_is_none() {
        let scene = Scene::begin();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(scene.texts().len(), 1);
        for n in 0..1000 {
            scene.hold(&format!("web-{n}"));
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_secs(10)).await;
        assert_eq!(scene.texts().len(), 2);
        let text = scene.texts()[1].as_str().unwrap().to_owned();
        assert!(text.contains(r#""more":[[1,0,0,900]]"#), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_between_two_writes_is_none() {
        let scene = Scene::begin();
        sleep(Duration::from_secs(10)).await;
        for n in 0..10 {
            scene.hold("web");
            let held = scene.consumers.snapshot().into_keys().next();
            scene.consumers.drop(&held.unwrap());
            sleep(Duration::from_secs(n)).await;
        }
        assert_eq!(scene.texts().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_changes_is_written_once_a_minute() {
        let scene = Scene::begin();
        sleep(Duration::from_secs(605)).await;
        let written = scene.texts().len();
        assert!((9..=11).contains(&written), "{written}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_replica_applies_its_own_key_by_its_own_manager() {
        let scene = Scene::begin();
        sleep(Duration::from_secs(10)).await;
        let patch = scene.patches().remove(0);
        let query = patch.query;
        assert!(
            query.contains("fieldManager=secretvault-operator-pod"),
            "{query}"
        );
        assert_eq!(patch.body["data"].as_object().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_takes_the_key_away() {
        let scene = Scene::begin();
        scene.hold("web");
        sleep(Duration::from_secs(10)).await;
        scene.stop.cancel();
        scene.task.await.unwrap();
        let patch = scene
            .server
            .asked(&Method::PATCH, CONFIG_MAP)
            .pop()
            .unwrap();
        assert_eq!(patch.body, json!({"data": {"pod": null}}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_is_refused_as_too_long_gets_shorter() {
        let scene = Scene::begin();
        scene.server.refuse(Method::PATCH, CONFIG_MAP, 422);
        for n in 0..1000 {
            scene.hold(&format!("{}-{n}", "w".repeat(200)));
        }
        sleep(Duration::from_secs(60)).await;
        let texts = scene.texts();
        let length = |text: &Value| text.as_str().unwrap().len();
        assert!(length(&texts[0]) > 20_000, "{}", length(&texts[0]));
        let last = texts.last().unwrap();
        assert!(length(last) <= LEAST, "{}", length(last));
    }

    #[test]
    fn a_managers_name_is_one_that_the_api_server_takes() {
        assert_eq!(manager("pod-1"), "secretvault-operator-pod-1");
        let long = format!("{}-end", "x".repeat(249));
        assert_eq!(manager(&long).len(), MAX_MANAGER);
        assert!(manager(&long).ends_with("-end"));
    }
}
