//! What the controllers do and see.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    KeyProviderState, Label, VaultState,
    label::{begin, closed, pairs},
};
use crate::controller::{RestartMetrics, RotationMetrics};

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
        for &state in KeyProviderState::ALL {
            let many = states.iter().filter(|seen| **seen == state).count();
            let gauge = self
                .key_providers
                .get_or_create(&KeyProviderLabels { state });
            gauge.set(i64::try_from(many).unwrap_or(i64::MAX));
        }
    }

    /// Tells how many vaults are how.
    pub fn vaults_are(&self, states: &[VaultState]) {
        for &state in VaultState::ALL {
            let many = states.iter().filter(|seen| **seen == state).count();
            let gauge = self.vaults.get_or_create(&VaultLabels { state });
            gauge.set(i64::try_from(many).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.key_providers_are(&[]);
        self.vaults_are(&[]);
        let reconciles = pairs().map(|(controller, outcome)| ReconcileLabels {
            controller,
            outcome,
        });
        begin(&self.reconciles, reconciles);
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

closed!(
    ControllerName: Bootstrap,
    CollectConsumers,
    KeyProvider,
    PublishCa,
    PublishConsumers,
    Restart,
    Vault,
);

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

closed!(ReconcileOutcome: Changed, Failed, Unchanged);

#[cfg(test)]
mod tests {
    use super::*;

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
