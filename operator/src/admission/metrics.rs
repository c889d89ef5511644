use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts reviews by outcome.
#[derive(Clone, Debug, Default)]
pub struct WebhookMetrics {
    deletions: Counter,
    pods: Family<PodLabels, Counter>,
    vaults: Family<VaultLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VaultLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PodLabels {
    outcome: PodOutcome,
}

/// What became of a pod.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub(super) enum PodOutcome {
    /// Something was added to it.
    Injected,
    /// It is not as its annotations need it.
    Refused,
    /// It was not annotated, or everything was there already.
    Unchanged,
    /// This replica could not tell.
    Unavailable,
}

impl WebhookMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "admission_reviews",
            "Reviews of SecretVault manifests by outcome",
            self.vaults.clone(),
        );
        registry.register(
            "deletion_admission_reviews",
            "Reviews of deletions of vaults in use",
            self.deletions.clone(),
        );
        registry.register(
            "pod_admission_reviews",
            "Reviews of pods by outcome",
            self.pods.clone(),
        );
    }

    pub(super) fn count_vault(&self, outcome: &'static str) {
        self.vaults.get_or_create(&VaultLabels { outcome }).inc();
    }

    pub(super) fn count_pod(&self, outcome: PodOutcome) {
        self.pods.get_or_create(&PodLabels { outcome }).inc();
    }

    pub(super) fn count_deletion(&self) {
        self.deletions.inc();
    }
}

#[cfg(test)]
impl WebhookMetrics {
    pub(super) fn pods(&self, outcome: PodOutcome) -> u64 {
        self.pods.get_or_create(&PodLabels { outcome }).get()
    }
}
