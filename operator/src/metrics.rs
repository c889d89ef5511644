//! Every metric, with labels from closed sets only: a name or an error's text is no label, for it
//! would be without bound, and could tell more than the reader of metrics may know.

mod audit;
mod controllers;
mod label;
mod lag;
mod servers;
mod states;
mod tls;

use axum::{http::header, response::IntoResponse};
use prometheus_client::{encoding::text::encode, registry::Registry};

pub(crate) use self::label::{Label, begin, closed, pairs};
pub use self::{
    audit::{AuditMetrics, LineOutcome},
    controllers::{ControllerMetrics, ControllerName, ReconcileOutcome},
    servers::{ConnectionOutcome, OpenConnection, ServerMetrics, ServerName},
    states::{KeyProviderState, VaultState},
    tls::TlsMetrics,
};
use crate::{admission::WebhookMetrics, keys::KeyMetrics, release::ReleaseMetrics, vaults::Vaults};

/// All metric families. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Of the audit log.
    pub audit: AuditMetrics,
    /// Of the controllers.
    pub controllers: ControllerMetrics,
    /// Of the key providers.
    pub keys: KeyMetrics,
    /// Of the release protocol.
    pub release: ReleaseMetrics,
    /// Of the servers.
    pub servers: ServerMetrics,
    /// Of the certificates.
    pub tls: TlsMetrics,
    /// Of the webhooks.
    pub webhook: WebhookMetrics,
}

impl Metrics {
    /// Makes every family known by its name, with all its series. `vaults` tells how old it is.
    pub fn registry(&self, vaults: &Vaults) -> Registry {
        let mut registry = Registry::with_prefix("secretvault");
        self.audit.register(&mut registry);
        self.controllers.register(&mut registry);
        self.keys.register(&mut registry);
        self.release.register(&mut registry);
        self.servers.register(&mut registry);
        self.tls.register(&mut registry);
        self.webhook.register(&mut registry);
        registry.register_collector(Box::new(lag::WatchLag(vaults.clone())));
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

#[cfg(test)]
mod tests;
