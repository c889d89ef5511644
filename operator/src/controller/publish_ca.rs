//! Publishes the certificate authority: to the agents in a ConfigMap, to the API server in the
//! webhook configuration.
//!
//! Somebody who changes either is overruled: without the right certificates nothing can be sealed
//! or released. A configuration that is not there is left alone: it comes with the chart.
//!
//! Every replica does this, without the lease: what one wrote the others find written, and a new
//! installation must not wait until the lease of the last one has ended.

use std::{collections::BTreeMap, time::Duration};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::MutatingWebhookConfiguration,
        core::v1::{ConfigMap, Secret},
    },
};
use kube::{
    Api, Client,
    api::Patch,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::apply;
use crate::{
    metrics::{ControllerMetrics, ControllerName, ReconcileOutcome},
    tls::{BUNDLE, CA_SECRET},
};

/// Publishes the certificate authority.
pub struct CaPublisher {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    webhooks: Api<MutatingWebhookConfiguration>,
    metrics: ControllerMetrics,
    tried: watch::Sender<bool>,
}

impl CaPublisher {
    /// A publisher that has not begun. `tried` turns true once there was an authority and every
    /// write was tried: whatever came of it, since a replica that can tell the agents but not the
    /// API server is still of use.
    pub fn new(
        client: &Client,
        namespace: &str,
        metrics: ControllerMetrics,
        tried: watch::Sender<bool>,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client.clone(), namespace),
            webhooks: Api::all(client.clone()),
            metrics,
            tried,
        }
    }

    /// Works until dropped.
    pub async fn run(self) {
        let mut triggers = Box::pin(self.triggers().ready_chunks(BURST));
        while triggers.next().await.is_some() {
            while !self.reconcile().await {
                sleep(RETRY).await;
            }
        }
    }

    /// Whatever may have changed something. Only a hint: each round reads everything anew.
    fn triggers(&self) -> impl Stream<Item = ()> + use<> {
        let secret = watch_object(self.secrets.clone(), CA_SECRET).default_backoff();
        let config_map = watch_object(self.config_maps.clone(), CONFIG_MAP).default_backoff();
        let webhooks = watch_object(self.webhooks.clone(), WEBHOOKS).default_backoff();
        let clock = stream::unfold((), |()| async { Some((sleep(PERIOD).await, ())) });
        let watched = stream::select(config_map.map(drop), webhooks.map(drop));
        stream::select(stream::select(secret.map(drop), watched), clock)
    }

    /// Publishes once; false when it has to be tried again.
    async fn reconcile(&self) -> bool {
        let outcome = match timeout(ROUND, self.publish()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                warn!(%error, "the certificate authority was not published");
                ReconcileOutcome::Failed
            }
            Err(_) => ReconcileOutcome::Failed,
        };
        self.metrics.reconciled(ControllerName::PublishCa, outcome);
        outcome != ReconcileOutcome::Failed
    }

    async fn publish(&self) -> Result<ReconcileOutcome, kube::Error> {
        let secret = self.secrets.get_opt(CA_SECRET).await?;
        let Some(bundle) = secret.and_then(|secret| secret.data?.remove(BUNDLE)) else {
            // The replicas are about to make it; that is a change, and a hint.
            return Ok(ReconcileOutcome::Unchanged);
        };
        let told = self.tell(&bundle).await;
        self.tried.send_replace(true);
        told
    }

    /// Writes what differs.
    async fn tell(&self, bundle: &ByteString) -> Result<ReconcileOutcome, kube::Error> {
        let mut outcome = ReconcileOutcome::Unchanged;
        let config_map = self.config_maps.get_opt(CONFIG_MAP).await?;
        if let Some(patch) = config_map_patch(config_map.as_ref(), bundle) {
            let patch = Patch::Apply(patch);
            self.config_maps
                .patch(CONFIG_MAP, &apply::parameters(), &patch)
                .await?;
            info!(
                config_map = CONFIG_MAP,
                "published the certificate authority"
            );
            outcome = ReconcileOutcome::Changed;
        }
        let webhooks = self.webhooks.get_opt(WEBHOOKS).await?;
        if let Some(patch) = webhooks.and_then(|webhooks| webhooks_patch(&webhooks, bundle)) {
            let patch = Patch::Apply(patch);
            self.webhooks
                .patch(WEBHOOKS, &apply::parameters(), &patch)
                .await?;
            info!(webhooks = WEBHOOKS, "published the certificate authority");
            outcome = ReconcileOutcome::Changed;
        }
        Ok(outcome)
    }
}

/// What to apply for the ConfigMap to hold the bundle; none when it does.
fn config_map_patch(found: Option<&ConfigMap>, bundle: &ByteString) -> Option<Value> {
    let bundle = std::str::from_utf8(&bundle.0).ok()?;
    let held = found.and_then(|found| found.data.as_ref()?.get(CONFIG_MAP_KEY));
    let data = BTreeMap::from([(CONFIG_MAP_KEY, bundle)]);
    (held.map(String::as_str) != Some(bundle)).then(|| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": CONFIG_MAP,
                "labels": {"app.kubernetes.io/managed-by": "secretvault-operator"},
            },
            "data": data,
        })
    })
}

/// What to apply for every webhook to trust the bundle; none when each does. All are in it, so
/// that none is given up.
fn webhooks_patch(found: &MutatingWebhookConfiguration, bundle: &ByteString) -> Option<Value> {
    let webhooks = found.webhooks.as_deref().unwrap_or_default();
    let trusts = |held: Option<&ByteString>| held == Some(bundle);
    if webhooks
        .iter()
        .all(|webhook| trusts(webhook.client_config.ca_bundle.as_ref()))
    {
        return None;
    }
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    Some(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": WEBHOOKS},
        "webhooks": webhooks,
    }))
}

/// Where agents find what to trust.
const CONFIG_MAP: &str = "secretvault-ca";
const CONFIG_MAP_KEY: &str = "ca.crt";
const WEBHOOKS: &str = "00-secretvault";
/// Hints that are answered by one round.
const BURST: usize = 16;
const PERIOD: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, WebhookClientConfig};
    use kube::client::Body;

    use super::*;
    use crate::metrics::Metrics;

    fn bundle(text: &str) -> ByteString {
        ByteString(text.as_bytes().to_vec())
    }

    fn config_map(text: &str) -> ConfigMap {
        let data = BTreeMap::from([("ca.crt".to_owned(), text.to_owned())]);
        ConfigMap {
            data: Some(data),
            ..ConfigMap::default()
        }
    }

    fn webhooks(bundles: &[Option<&str>]) -> MutatingWebhookConfiguration {
        let webhook = |(n, held): (usize, &Option<&str>)| MutatingWebhook {
            name: format!("{n}.secretvault.dev"),
            client_config: WebhookClientConfig {
                ca_bundle: held.map(bundle),
                ..WebhookClientConfig::default()
            },
            ..MutatingWebhook::default()
        };
        MutatingWebhookConfiguration {
            webhooks: Some(bundles.iter().enumerate().map(webhook).collect()),
            ..MutatingWebhookConfiguration::default()
        }
    }

    #[test]
    fn what_is_right_is_not_written_again() {
        assert_eq!(
            config_map_patch(Some(&config_map("CA")), &bundle("CA")),
            None
        );
        assert_eq!(
            webhooks_patch(&webhooks(&[Some("CA"), Some("CA")]), &bundle("CA")),
            None
        );
        assert_eq!(webhooks_patch(&webhooks(&[]), &bundle("CA")), None);
    }

    #[test]
    fn a_missing_or_changed_config_map_is_written() {
        for found in [None, Some(config_map("evil"))] {
            let patch = config_map_patch(found.as_ref(), &bundle("CA")).unwrap();
            assert_eq!(patch["data"], json!({"ca.crt": "CA"}));
        }
    }

    #[test]
    fn if_one_webhook_is_wrong_all_are_applied() {
        let patch = webhooks_patch(&webhooks(&[Some("CA"), None]), &bundle("CA")).unwrap();
        let expected = json!([
            {"name": "0.secretvault.dev", "clientConfig": {"caBundle": "Q0E="}},
            {"name": "1.secretvault.dev", "clientConfig": {"caBundle": "Q0E="}},
        ]);
        assert_eq!(patch["webhooks"], expected);
    }

    /// One round against an API server with these answers; whether it counts as a try.
    async fn tried(answers: Vec<(u16, Value)>) -> bool {
        let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let tried = watch::Sender::new(false);
        let metrics = Metrics::default().controllers;
        let publisher = CaPublisher::new(&client, "system", metrics, tried.clone());
        let api_server = async {
            for (status, body) in answers {
                let (_, answer) = server.next_request().await.unwrap();
                let body = Body::from(body.to_string().into_bytes());
                let response = Response::builder().status(status).body(body);
                answer.send_response(response.unwrap());
            }
        };
        let _ = tokio::join!(publisher.publish(), api_server);
        *tried.borrow()
    }

    fn refusal(code: u16, reason: &str) -> (u16, Value) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": reason, "code": code, "message": reason});
        (code, status)
    }

    #[tokio::test]
    async fn without_an_authority_nothing_was_tried() {
        assert!(!tried(vec![refusal(404, "NotFound")]).await);
    }

    #[tokio::test]
    async fn a_refusal_to_trust_counts_as_tried() {
        let secret = json!({"metadata": {}, "data": {BUNDLE: "Q0E="}});
        let config_map = json!({"metadata": {}, "data": {"ca.crt": "CA"}});
        let forbidden = refusal(403, "Forbidden");
        assert!(tried(vec![(200, secret), (200, config_map), forbidden]).await);
    }
}
