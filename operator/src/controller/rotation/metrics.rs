//! How it goes with bringing vaults to the key that they should have.

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::plan::Why;
use super::write::{Ended, Step};
use crate::metrics::{begin, closed, pairs};

/// Of rewraps, reseals and the keys of keyrings.
#[derive(Clone, Debug, Default)]
pub struct RotationMetrics {
    failing: Gauge,
    keys: Family<KeyringLabels, Counter>,
    oldest: Gauge,
    remaining: Gauge,
    steps: Family<StepLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StepLabels {
    step: StepName,
    outcome: StepOutcome,
}

#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
enum StepName {
    /// A new data key because of the old one's age.
    ResealAge,
    /// A new data key because of another provider.
    ResealProvider,
    /// The same data key under another key.
    Rewrap,
}

closed!(StepName: ResealAge, ResealProvider, Rewrap);

#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
enum StepOutcome {
    /// The vault changed in the meantime; its turn comes again.
    Conflict,
    Done,
    /// It will be tried again.
    Failed,
    /// The vault is gone.
    Gone,
}

closed!(StepOutcome: Conflict, Done, Failed, Gone);

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KeyringLabels {
    change: KeyringChange,
    outcome: KeyringOutcome,
}

/// What becomes of the keys of a keyring.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub(in crate::controller) enum KeyringChange {
    /// A key was taken out.
    Retire,
    /// A key was made.
    Rotate,
}

closed!(KeyringChange: Retire, Rotate);

/// Whether it was written.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub(in crate::controller) enum KeyringOutcome {
    /// It is written.
    Done,
    /// It is not.
    Failed,
    /// It must not be.
    Refused,
}

closed!(KeyringOutcome: Done, Failed, Refused);

impl RotationMetrics {
    /// Counts a step.
    pub(super) fn ended(&self, step: Step, ended: &Ended) {
        let step = match step {
            Step::Reseal(Why::Age) => StepName::ResealAge,
            Step::Reseal(Why::Provider) => StepName::ResealProvider,
            Step::Rewrap => StepName::Rewrap,
        };
        let outcome = match ended {
            Ended::Conflict => StepOutcome::Conflict,
            Ended::Done => StepOutcome::Done,
            Ended::Failed(_) => StepOutcome::Failed,
            Ended::Gone => StepOutcome::Gone,
        };
        let labels = StepLabels { step, outcome };
        self.steps.get_or_create(&labels).inc();
    }

    /// Counts what became of a keyring's keys.
    pub(in crate::controller) fn keyring(&self, change: KeyringChange, outcome: KeyringOutcome) {
        let labels = KeyringLabels { change, outcome };
        self.keys.get_or_create(&labels).inc();
    }

    /// Tells how many vaults are not as they should be, and how many of them cannot be made so now.
    pub(crate) fn remaining(&self, remaining: usize, failing: usize) {
        self.remaining.set(number(remaining));
        self.failing.set(number(failing));
    }

    /// Tells when the oldest key was made that a vault needs, if that is known.
    pub(crate) fn oldest_key(&self, created: Option<Timestamp>, now: Timestamp) {
        let age = created.map(|created| now.duration_since(created).as_secs());
        self.oldest.set(age.unwrap_or_default().max(0));
    }

    /// Tells that this replica sees nothing: another one leads.
    pub(crate) fn nothing_is_seen(&self) {
        self.remaining(0, 0);
        self.oldest.set(0);
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let keys = pairs().map(|(change, outcome)| KeyringLabels { change, outcome });
        begin(&self.keys, keys);
        let steps = pairs().map(|(step, outcome)| StepLabels { step, outcome });
        begin(&self.steps, steps);
        registry.register(
            "keyring_changes",
            "Keys made in keyrings and taken out of them, by what became of it",
            self.keys.clone(),
        );
        registry.register(
            "oldest_key_age_seconds",
            "Age of the oldest key that a vault needs, of those whose age is known, as the leader sees it",
            self.oldest.clone(),
        );
        registry.register(
            "rewrap_failing",
            "Vaults that cannot be brought to the key and the provider that they should have, as the leader sees them",
            self.failing.clone(),
        );
        registry.register(
            "rewrap_remaining",
            "Vaults without the key and the provider that they should have, as the leader sees them",
            self.remaining.clone(),
        );
        registry.register(
            "rewraps",
            "Data keys wrapped with another key or made anew, by what became of it",
            self.steps.clone(),
        );
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
