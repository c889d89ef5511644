//! Every metric, with labels from closed sets only: a name or an error's text is no label, for it
//! would be without bound, and could tell more than the reader of metrics may know.

mod states;

use axum::{http::header, response::IntoResponse};
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

pub use self::states::{KeyProviderState, VaultState};
use crate::{
    admission::WebhookMetrics,
    controller::{RestartMetrics, RotationMetrics},
    release::ReleaseMetrics,
};

/// All metric families. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Of the controllers.
    pub controllers: ControllerMetrics,
    /// Of the release protocol.
    pub release: ReleaseMetrics,
    /// Of the servers.
    pub servers: ServerMetrics,
    /// Of the certificates.
    pub tls: TlsMetrics,
    /// Of the vault webhook.
    pub webhook: WebhookMetrics,
}

impl Metrics {
    /// Makes every family known by its name.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("secretvault");
        self.controllers.register(&mut registry);
        self.release.register(&mut registry);
        self.servers.register(&mut registry);
        self.tls.register(&mut registry);
        self.webhook.register(&mut registry);
        registry
    }
}

/// Renders the registry in the OpenMetrics text format.
pub fn render(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match encode(&mut text, registry) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, kind)], text)),
        Err(_) => Err(http::StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// When certificates end, as seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct TlsMetrics {
    authority: Gauge,
    serving: Gauge,
}

impl TlsMetrics {
    /// Tells when the authority ends.
    pub fn authority_ends(&self, end: Timestamp) {
        self.authority.set(end.as_second());
    }

    /// Tells when the serving certificate ends.
    pub fn serving_ends(&self, end: Timestamp) {
        self.serving.set(end.as_second());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "ca_expiry_timestamp_seconds",
            "When the certificate authority that signs ends",
            self.authority.clone(),
        );
        registry.register(
            "serving_certificate_expiry_timestamp_seconds",
            "When this replica's serving certificate ends",
            self.serving.clone(),
        );
    }
}

/// Connections of the servers.
#[derive(Clone, Debug, Default)]
pub struct ServerMetrics {
    ended: Family<ConnectionLabels, Counter>,
    open: Family<ServerLabels, Gauge>,
}

impl ServerMetrics {
    /// Counts a connection as open, until what this gives is dropped.
    pub fn opened(&self, server: ServerName) -> OpenConnection {
        let gauge = self.open.get_or_create_owned(&ServerLabels { server });
        gauge.inc();
        OpenConnection(gauge)
    }

    /// Counts how a connection ended.
    pub fn ended(&self, server: ServerName, outcome: ConnectionOutcome) {
        self.ended
            .get_or_create(&ConnectionLabels { server, outcome })
            .inc();
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that ended", self.ended.clone());
        registry.register(
            "open_connections",
            "Connections that are open",
            self.open.clone(),
        );
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ConnectionLabels {
    server: ServerName,
    outcome: ConnectionOutcome,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ServerLabels {
    server: ServerName,
}

/// The servers of this process.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum ServerName {
    /// Health and metrics.
    Health,
    /// The delivery service.
    Release,
    /// The webhooks.
    Webhook,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum ConnectionOutcome {
    /// Broken off by the peer, by a protocol error or by us at the end of a shutdown.
    Broken,
    /// Closed in order.
    Closed,
    /// The TLS handshake failed or took too long.
    HandshakeFailed,
    /// Idle for too long.
    Idle,
}

/// What the controllers do and see. Only the leader's numbers move, and only it has any of what is
/// seen: sums over the replicas are right.
#[derive(Clone, Debug, Default)]
pub struct ControllerMetrics {
    key_providers: Family<KeyProviderLabels, Gauge>,
    leader: Gauge,
    reconciles: Family<ReconcileLabels, Counter>,
    /// Of restarts.
    pub restarts: RestartMetrics,
    /// Of keys that are rotated and vaults that follow.
    pub rotation: RotationMetrics,
    vaults: Family<VaultLabels, Gauge>,
}

impl ControllerMetrics {
    /// Tells whether this replica leads. One that does not sees nothing.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        self.key_providers_are(&[]);
        self.restarts.queue_is(0, 0);
        self.rotation.nothing_is_seen();
        self.vaults_are(&[]);
    }

    /// Counts one reconcile.
    pub fn reconciled(&self, controller: ControllerName, outcome: ReconcileOutcome) {
        let labels = ReconcileLabels {
            controller,
            outcome,
        };
        self.reconciles.get_or_create(&labels).inc();
    }

    /// Tells how many key providers are how.
    pub fn key_providers_are(&self, states: &[KeyProviderState]) {
        for state in KeyProviderState::ALL {
            let many = states.iter().filter(|seen| **seen == state).count();
            let gauge = self
                .key_providers
                .get_or_create(&KeyProviderLabels { state });
            gauge.set(i64::try_from(many).unwrap_or(i64::MAX));
        }
    }

    /// Tells how many vaults are how.
    pub fn vaults_are(&self, states: &[VaultState]) {
        for state in VaultState::ALL {
            let many = states.iter().filter(|seen| **seen == state).count();
            let gauge = self.vaults.get_or_create(&VaultLabels { state });
            gauge.set(i64::try_from(many).unwrap_or(i64::MAX));
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "key_providers",
            "Key providers by their state, as the leader sees them",
            self.key_providers.clone(),
        );
        registry.register(
            "leader",
            "Whether this replica runs the controllers",
            self.leader.clone(),
        );
        registry.register(
            "reconciles",
            "Reconciles by their outcome",
            self.reconciles.clone(),
        );
        self.restarts.register(registry);
        self.rotation.register(registry);
        registry.register(
            "vaults",
            "Vaults by their state, as the leader sees them",
            self.vaults.clone(),
        );
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KeyProviderLabels {
    state: KeyProviderState,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct VaultLabels {
    state: VaultState,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReconcileLabels {
    controller: ControllerName,
    outcome: ReconcileOutcome,
}

/// The controllers.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum ControllerName {
    /// Makes the default key provider.
    Bootstrap,
    /// Takes away the consumers of replicas that are gone.
    CollectConsumers,
    /// Keeps the status of key providers, and makes their keyrings.
    KeyProvider,
    /// Publishes the certificate authority.
    PublishCa,
    /// Publishes the consumers of a replica.
    PublishConsumers,
    /// Restarts pods that ask for it.
    Restart,
    /// Keeps the status of vaults.
    Vault,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum ReconcileOutcome {
    /// Something was written.
    Changed,
    /// It will be tried again.
    Failed,
    /// Nothing had to be done.
    Unchanged,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_our_prefix_and_closed_labels() {
        let metrics = Metrics::default();
        metrics
            .controllers
            .reconciled(ControllerName::Vault, ReconcileOutcome::Unchanged);
        let open = metrics.servers.opened(ServerName::Webhook);
        let mut text = String::new();
        encode(&mut text, &metrics.registry()).unwrap();
        assert!(
            text.contains(
                r#"secretvault_reconciles_total{controller="Vault",outcome="Unchanged"} 1"#
            )
        );
        assert!(text.contains(r#"secretvault_open_connections{server="Webhook"} 1"#));
        drop(open);
        assert!(text.ends_with("# EOF\n"));
    }

    /// Of those that show before anything was counted, which leaves few out.
    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../docs/metrics.md");
        let text = {
            let mut text = String::new();
            encode(&mut text, &Metrics::default().registry()).unwrap();
            text
        };
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut count = 0;
        for name in names {
            let (name, kind) = name.split_once(' ').unwrap();
            assert!(
                page.contains(&format!("| `{name}` | {kind} |")),
                "{name} {kind}"
            );
            count += 1;
        }
        assert!(count > 5, "{text}");
    }

    #[test]
    fn who_leads_no_more_sees_no_vaults() {
        let metrics = ControllerMetrics::default();
        metrics.vaults_are(&[VaultState::Sealed, VaultState::Damaged, VaultState::Sealed]);
        let sealed = || {
            let state = VaultState::Sealed;
            metrics.vaults.get_or_create(&VaultLabels { state }).get()
        };
        assert_eq!(sealed(), 2);
        metrics.leads(false);
        assert_eq!(sealed(), 0);
    }
}
