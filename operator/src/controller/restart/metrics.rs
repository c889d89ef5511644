//! How restarts go.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::metrics::{Label, begin, closed};

/// Of the rollouts that changes of vaults cause.
#[derive(Clone, Debug, Default)]
pub struct RestartMetrics {
    rollouts: Family<RolloutLabels, Counter>,
    rolling: Gauge,
    waiting: Gauge,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RolloutLabels {
    outcome: RolloutOutcome,
}

/// What became of a rollout.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub(super) enum RolloutOutcome {
    /// It began.
    Begun,
    /// All pods are new.
    Completed,
    /// The API server did not take it.
    Failed,
    /// It did not end in time.
    Unfinished,
}

closed!(RolloutOutcome: Begun, Completed, Failed, Unfinished);

impl RestartMetrics {
    /// Counts a rollout.
    pub(super) fn rollout(&self, outcome: RolloutOutcome) {
        self.rollouts
            .get_or_create(&RolloutLabels { outcome })
            .inc();
    }

    /// Tells how many roll, and how many wait.
    pub(crate) fn queue_is(&self, rolling: usize, waiting: usize) {
        self.rolling.set(i64::try_from(rolling).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let rollouts = RolloutOutcome::ALL.iter();
        begin(
            &self.rollouts,
            rollouts.map(|&outcome| RolloutLabels { outcome }),
        );
        registry.register(
            "restart_rollouts",
            "Rollouts of workloads whose pods ask to be restarted, by what became of them",
            self.rollouts.clone(),
        );
        registry.register(
            "restart_rolling",
            "Workloads that are being rolled, as the leader sees them",
            self.rolling.clone(),
        );
        registry.register(
            "restart_waiting",
            "Workloads and pods whose turn it is not yet, as the leader sees them",
            self.waiting.clone(),
        );
    }
}
