//! Collects what the replicas publish: the leader's view of all consumers.
//!
//! What is read is data of whoever may write the ConfigMap: see [`Report::parse`]. A replica that
//! died took nothing away, so the leader does it for every key whose pod is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Client;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::publish::{CONFIG_MAP, withdraw};
use super::report::Report;
use super::usage::{Usages, merged};
use crate::metrics::{ControllerMetrics, ControllerName, ReconcileOutcome};
use crate::vaults::Fault;

/// Collects the consumers of all replicas.
pub struct Collector {
    config_maps: Api<ConfigMap>,
    pods: Api<Pod>,
    metrics: ControllerMetrics,
    /// What is said by each replica, as it was written and as it was read.
    said: HashMap<String, (String, Option<Arc<Report>>)>,
}

/// What is known of the consumers; nothing yet, before the first look.
pub type Known = Option<Arc<Usages>>;

/// What may have changed something.
enum Hint {
    /// The ConfigMap, as it is now.
    Seen(Option<Box<ConfigMap>>),
    /// Time has passed.
    Tick,
}

impl Collector {
    /// A collector that knows nothing yet.
    pub fn new(client: &Client, namespace: &str, metrics: ControllerMetrics) -> Self {
        Self {
            config_maps: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            metrics,
            said: HashMap::new(),
        }
    }

    /// Tells what is known whenever it changes, until dropped.
    pub async fn run(mut self, told: watch::Sender<Known>) {
        let seen = watch_object(self.config_maps.clone(), CONFIG_MAP).default_backoff();
        let seen = seen.filter_map(async |seen| match seen {
            Ok(seen) => Some(Hint::Seen(seen.map(Box::new))),
            Err(error) => {
                warn!(%error, "the consumers cannot be watched");
                None
            }
        });
        let clock = stream::unfold((), |()| async { Some((sleep(PERIOD).await, ())) });
        let mut hints = Box::pin(stream::select(seen, clock.map(|()| Hint::Tick)));
        while let Some(hint) = hints.next().await {
            match hint {
                Hint::Seen(seen) => self.read(seen.map(|seen| *seen)),
                Hint::Tick => self.bury().await,
            }
            self.tell(&told);
        }
    }

    /// Takes what the ConfigMap says. What did not change is not parsed again.
    fn read(&mut self, config_map: Option<ConfigMap>) {
        let data = config_map.and_then(|it| it.data).unwrap_or_default();
        let mut before = std::mem::take(&mut self.said);
        // A cluster has a few replicas; more is somebody's play.
        for (replica, text) in data.into_iter().take(MAX_REPLICAS) {
            let known = before.remove(&replica).filter(|(last, _)| *last == text);
            let said = known.unwrap_or_else(|| {
                let report = parsed(&replica, &text);
                (text, report)
            });
            self.said.insert(replica, said);
        }
    }

    fn tell(&self, told: &watch::Sender<Known>) {
        // Ordered by name, so that the same texts make the same view.
        let reports: BTreeMap<_, _> = self.said.iter().collect();
        let reports = reports.values().filter_map(|(_, report)| report.as_deref());
        let usages = merged(reports);
        told.send_if_modified(|known| {
            let same = known.as_deref() == Some(&usages);
            if !same {
                *known = Some(Arc::new(usages));
            }
            !same
        });
    }

    /// Takes away what replicas said whose pods are gone.
    async fn bury(&mut self) {
        let replicas: Vec<String> = self.said.keys().cloned().collect();
        for replica in replicas {
            let outcome = match self.is_gone(&replica).await {
                Ok(false) => ReconcileOutcome::Unchanged,
                Ok(true) => self.forget(&replica).await,
                Err(fault) => {
                    warn!(%fault, replica, "it is not known whether a replica is gone");
                    ReconcileOutcome::Failed
                }
            };
            self.metrics
                .reconciled(ControllerName::CollectConsumers, outcome);
        }
    }

    async fn is_gone(&self, replica: &str) -> Result<bool, Fault> {
        let pod = Fault::within(ANSWER, self.pods.get_opt(replica)).await?;
        let phase = pod.map(|pod| pod.status.and_then(|status| status.phase));
        Ok(match phase {
            None => true,
            Some(phase) => matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
        })
    }

    async fn forget(&mut self, replica: &str) -> ReconcileOutcome {
        self.said.remove(replica);
        match timeout(ANSWER, withdraw(&self.config_maps, replica)).await {
            Ok(Ok(())) => {
                info!(replica, "took away the consumers of a replica that is gone");
                ReconcileOutcome::Changed
            }
            Ok(Err(error)) => {
                warn!(%error, replica, "the consumers of a replica were not taken away");
                ReconcileOutcome::Failed
            }
            Err(_) => ReconcileOutcome::Failed,
        }
    }
}

fn parsed(replica: &str, text: &str) -> Option<Arc<Report>> {
    match Report::parse(text) {
        Ok(report) => {
            if report.omitted > 0 {
                warn!(
                    replica,
                    vaults = report.omitted,
                    "a replica has no room for all consumers"
                );
            }
            Some(Arc::new(report))
        }
        Err(error) => {
            warn!(%error, replica, "what a replica says of its consumers is ignored");
            None
        }
    }
}

/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(5);
const MAX_REPLICAS: usize = 32;
/// How often to look for replicas that are gone.
const PERIOD: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use http::Method;
    use k8s_openapi::api::core::v1::PodStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::consumers::fake::FakeApi;

    const PODS: &str = "/api/v1/namespaces/system/pods";

    struct Scene {
        server: FakeApi,
        collector: Collector,
        known: watch::Receiver<Known>,
        told: watch::Sender<Known>,
    }

    impl Scene {
        fn begin() -> Self {
            let server = FakeApi::default();
            let client = server.client();
            let collector = Collector::new(&client, "system", ControllerMetrics::default());
            let (told, known) = watch::channel(None);
            Self {
                server,
                collector,
                known,
                told,
            }
        }

        fn read(&mut self, data: &[(&str, &str)]) {
            let data = data.iter();
            let data = data.map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
            let config_map = ConfigMap {
                data: Some(data.collect()),
                ..ConfigMap::default()
            };
            self.collector.read(Some(config_map));
            self.collector.tell(&self.told);
        }

        fn count(&self) -> Option<u32> {
            let known = self.known.borrow();
            let usages = known.as_ref()?;
            Some(usages.get("u").map_or(0, |usage| usage.count()))
        }
    }

    fn report(count: u32) -> String {
        format!(r#"{{"version":1,"vaults":{{"u":{{"more":[[1,0,0,{count}]]}}}}}}"#)
    }

    fn pod(phase: &str) -> Value {
        let status = PodStatus {
            phase: Some(phase.to_owned()),
            ..PodStatus::default()
        };
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "status": status})
    }

    #[tokio::test]
    async fn nothing_is_known_before_the_first_look_and_nobody_is_there_without_a_config_map() {
        let mut scene = Scene::begin();
        assert_eq!(scene.count(), None);
        scene.collector.read(None);
        scene.collector.tell(&scene.told);
        assert_eq!(scene.count(), Some(0));
    }

    #[tokio::test]
    async fn what_the_replicas_say_is_added_up_and_what_is_no_report_is_ignored() {
        let mut scene = Scene::begin();
        scene.read(&[("a", &report(3)), ("b", &report(4)), ("c", "no report")]);
        assert_eq!(scene.count(), Some(7));
        scene.read(&[("b", &report(5))]);
        assert_eq!(scene.count(), Some(5));
    }

    #[tokio::test]
    async fn only_so_many_replicas_are_believed() {
        let mut scene = Scene::begin();
        let names: Vec<String> = (0..100).map(|n| format!("replica-{n}")).collect();
        let one = report(1);
        let data: Vec<(&str, &str)> = names
            .iter()
            .map(|name| (name.as_str(), one.as_str()))
            .collect();
        scene.read(&data);
        assert_eq!(scene.count(), Some(32));
    }

    #[tokio::test]
    async fn only_a_change_is_told() {
        let mut scene = Scene::begin();
        scene.read(&[("a", &report(3))]);
        scene.known.mark_unchanged();
        scene.read(&[("a", &report(3))]);
        assert!(!scene.known.has_changed().unwrap());
        scene.read(&[("a", &report(4))]);
        assert!(scene.known.has_changed().unwrap());
    }

    #[tokio::test]
    async fn replicas_that_are_gone_have_no_consumers_and_others_keep_theirs() {
        let mut scene = Scene::begin();
        scene
            .server
            .object(&format!("{PODS}/alive"), pod("Running"));
        scene
            .server
            .object(&format!("{PODS}/evicted"), pod("Failed"));
        scene.read(&[
            ("alive", &report(1)),
            ("evicted", &report(2)),
            ("gone", &report(4)),
        ]);
        scene.collector.bury().await;
        scene.collector.tell(&scene.told);
        assert_eq!(scene.count(), Some(1));
        let patches = scene.server.asked(&Method::PATCH, CONFIG_MAP);
        let mut removed: Vec<Value> = patches.iter().map(|it| it.body.clone()).collect();
        removed.sort_by_key(ToString::to_string);
        let taken = ["evicted", "gone"].map(|key| json!({"data": {key: null}}));
        assert_eq!(removed, taken);
    }

    #[tokio::test]
    async fn an_api_server_that_fails_makes_no_replica_look_gone() {
        let mut scene = Scene::begin();
        scene.read(&[("a", &report(3))]);
        scene.server.refuse(Method::GET, PODS, 500);
        scene.collector.bury().await;
        scene.collector.tell(&scene.told);
        assert_eq!(scene.count(), Some(3));
    }
}
