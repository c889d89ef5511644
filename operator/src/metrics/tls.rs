//! When certificates end.

use jiff::Timestamp;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

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

    pub(super) fn register(&self, registry: &mut Registry) {
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
