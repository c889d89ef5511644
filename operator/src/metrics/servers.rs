//! Connections of the servers.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    Label,
    label::{begin, closed, pairs},
};

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

    pub(super) fn register(&self, registry: &mut Registry) {
        let ended = pairs().map(|(server, outcome)| ConnectionLabels { server, outcome });
        begin(&self.ended, ended);
        let open = ServerName::ALL.iter();
        begin(&self.open, open.map(|&server| ServerLabels { server }));
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

closed!(ServerName: Health, Release, Webhook);

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

closed!(ConnectionOutcome: Broken, Closed, HandshakeFailed, Idle);
