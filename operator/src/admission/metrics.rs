use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use secretvault_audit::Word;
use tokio::time::Instant;

use crate::metrics::{Label, begin, closed};

/// Counts reviews by outcome. Clones count together.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    deletions: Counter,
    pods: Family<PodLabels, Counter>,
    sealing: Histogram,
    vaults: Family<VaultLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VaultLabels {
    outcome: VaultOutcome,
}

/// What became of a manifest, or of a request to delete a vault that has editors.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub(super) enum VaultOutcome {
    /// It is as it may be, or was made so.
    Admitted,
    /// The API server could not be asked for what decides.
    CannotAsk,
    /// The requester lacks a right.
    Forbidden,
    /// The vault's editors do not let the requester.
    NoEditor,
    /// There is no usable key.
    NoKey,
    /// The key provider is not for this namespace.
    NotAllowed,
    /// The manifest cannot be sealed.
    Refused,
    /// Something did not answer in time.
    TooLate,
    /// It is not in the audit log.
    Unrecorded,
    /// The answer could not be written.
    Unwritable,
}

closed!(
    VaultOutcome: Admitted,
    CannotAsk,
    Forbidden,
    NoEditor,
    NoKey,
    NotAllowed,
    Refused,
    TooLate,
    Unrecorded,
    Unwritable,
);

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

closed!(PodOutcome: Injected, Refused, Unchanged, Unavailable);

impl VaultOutcome {
    /// The audit log's word for it.
    pub(super) fn word(self) -> Word {
        Word(self.name())
    }
}

impl PodOutcome {
    /// The audit log's word for it.
    pub(super) fn word(self) -> Word {
        Word(self.name())
    }
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        Self {
            deletions: Counter::default(),
            pods: Family::default(),
            sealing: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            vaults: Family::default(),
        }
    }
}

impl WebhookMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let vaults = VaultOutcome::ALL.iter();
        begin(&self.vaults, vaults.map(|&outcome| VaultLabels { outcome }));
        let pods = PodOutcome::ALL.iter();
        begin(&self.pods, pods.map(|&outcome| PodLabels { outcome }));
        registry.register(
            "admission_reviews",
            "Reviews of SecretVault manifests by outcome",
            self.vaults.clone(),
        );
        registry.register(
            "deletion_admission_reviews",
            "Reviews of deletions of vaults",
            self.deletions.clone(),
        );
        registry.register(
            "pod_admission_reviews",
            "Reviews of pods by outcome",
            self.pods.clone(),
        );
        registry.register_with_unit(
            "seal",
            "Time from a review of a SecretVault to its answer",
            Unit::Seconds,
            self.sealing.clone(),
        );
    }

    pub(super) fn count_vault(&self, outcome: VaultOutcome) {
        self.vaults.get_or_create(&VaultLabels { outcome }).inc();
    }

    pub(super) fn count_pod(&self, outcome: PodOutcome) {
        self.pods.get_or_create(&PodLabels { outcome }).inc();
    }

    pub(super) fn count_deletion(&self) {
        self.deletions.inc();
    }

    /// Times what makes of a manifest what is stored.
    pub(super) async fn sealing<T>(&self, sealing: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let sealed = sealing.await;
        self.sealing.observe(begun.elapsed().as_secs_f64());
        sealed
    }
}

#[cfg(test)]
impl WebhookMetrics {
    pub(super) fn pods(&self, outcome: PodOutcome) -> u64 {
        self.pods.get_or_create(&PodLabels { outcome }).get()
    }
}
