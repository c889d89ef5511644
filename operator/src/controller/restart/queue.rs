//! Whose turn it is: a workload rolls once its vaults have been quiet for a while, and only so many
//! roll at a time.
//!
//! # Guarantees
//! * [`SLOTS`] workloads at most are being rolled.
//! * A namespace with many workloads does not keep another one waiting: whoever has the fewest
//!   rolling goes first, and within it who waits longest.
//! * Vaults that never get quiet delay a rollout by [`LONGEST`] at most.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::changes::Changes;
use super::due::PodId;
use super::owner::Obstacle;
use super::workload::WorkloadId;

/// What is to be restarted, or to be told that it cannot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Pod(PodId, Obstacle),
    Workload(WorkloadId),
}

/// All that is to be restarted, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: BTreeMap<Subject, Turn>,
}

#[derive(Debug)]
struct Turn {
    wanted: Changes,
    /// Since when something is wanted that was not done.
    first: Instant,
    /// When something new was wanted the last time.
    changed: Instant,
    /// When it was last wanted at all.
    seen: Instant,
    /// For which changes it was told why nothing is done.
    told: Option<Changes>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing more is to be done for these changes.
    Done(Changes),
    /// It is being rolled, for so long at most.
    Rolling { until: Instant },
    /// It is not its turn yet.
    Waiting { not_before: Instant },
}

impl Queue {
    /// Takes what is wanted now. `rolls_already`: whether one that is new here is being rolled for
    /// it, as another leader began it: it has its slot at once.
    pub(super) fn want(
        &mut self,
        wanted: BTreeMap<Subject, Changes>,
        rolls_already: impl Fn(&Subject, &Changes) -> bool,
        now: Instant,
    ) {
        for (subject, changes) in wanted {
            let has_room = self.turns.len() < MOST;
            match self.turns.get_mut(&subject) {
                Some(turn) => turn.want(changes, now),
                None if has_room => {
                    let mut turn = Turn::new(changes, now);
                    if rolls_already(&subject, &turn.wanted) {
                        turn.stage = Stage::Rolling { until: now + BOUND };
                    }
                    self.turns.insert(subject, turn);
                }
                // It is wanted again, when there is room.
                None => {}
            }
        }
        self.turns.retain(|_, turn| match turn.stage {
            Stage::Rolling { .. } => true,
            Stage::Waiting { .. } => turn.seen == now,
            // A replica that restarts knows nobody for a moment; what was done stays done.
            Stage::Done(_) => now - turn.seen < REMEMBERED,
        });
    }

    /// Those whose turn it is.
    pub(super) fn next(&self, now: Instant) -> Vec<(Subject, Changes)> {
        let mut ready: Vec<(&Subject, &Turn)> = self
            .turns
            .iter()
            .filter(|(_, turn)| turn.is_ready(now))
            .collect();
        ready.sort_by_key(|(_, turn)| turn.first);
        let (pods, mut workloads): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .partition(|(subject, _)| matches!(subject, Subject::Pod(..)));
        let mut chosen: Vec<_> = pods.into_iter().take(AT_ONCE).collect();
        let mut rolling = self.rolling_by_namespace();
        while rolling.values().sum::<usize>() < SLOTS && !workloads.is_empty() {
            let load = |subject: &Subject| rolling.get(subject.namespace()).copied().unwrap_or(0);
            let least = (0..workloads.len()).min_by_key(|n| load(workloads[*n].0));
            let Some(least) = least else { break };
            let next = workloads.remove(least);
            *rolling.entry(next.0.namespace()).or_default() += 1;
            chosen.push(next);
        }
        let chosen = chosen.into_iter();
        chosen
            .map(|(subject, turn)| (subject.clone(), turn.wanted.clone()))
            .collect()
    }

    /// Those that are being rolled, and whether their time is up.
    pub(super) fn rolling(&self, now: Instant) -> Vec<(WorkloadId, bool)> {
        let rolling =
            self.turns
                .iter()
                .filter_map(|(subject, turn)| match (subject, &turn.stage) {
                    (Subject::Workload(id), Stage::Rolling { until }) => {
                        Some((id.clone(), now >= *until))
                    }
                    (Subject::Workload(_) | Subject::Pod(..), _) => None,
                });
        rolling.collect()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        let turns = self.turns.values();
        turns
            .filter(|turn| matches!(turn.stage, Stage::Waiting { .. }))
            .count()
    }

    /// Whether somebody waited long enough for a rollout that others began.
    pub(super) fn is_patient(&self, subject: &Subject, now: Instant) -> bool {
        let turn = self.turns.get(subject);
        turn.is_some_and(|turn| now - turn.first < PATIENCE)
    }

    /// Notes that it is being rolled.
    pub(super) fn rolls(&mut self, subject: &Subject, now: Instant) {
        self.stage(subject, Stage::Rolling { until: now + BOUND });
    }

    /// Notes that nothing more is to be done for these changes.
    pub(super) fn done(&mut self, subject: &Subject, changes: &Changes, now: Instant) {
        self.stage(subject, Stage::Done(changes.clone()));
        if let Some(turn) = self.turns.get_mut(subject) {
            turn.revive(now);
        }
    }

    /// Notes that it is to be looked at again after a pause.
    pub(super) fn again(&mut self, subject: &Subject, pause: Duration, now: Instant) {
        self.stage(
            subject,
            Stage::Waiting {
                not_before: now + pause,
            },
        );
    }

    /// Whether it is to be told why nothing is done: once for all that is wanted.
    pub(super) fn must_tell(&mut self, subject: &Subject) -> bool {
        let Some(turn) = self.turns.get_mut(subject) else {
            return false;
        };
        let told = turn
            .told
            .as_ref()
            .is_some_and(|told| told.covers(&turn.wanted));
        turn.told = Some(turn.wanted.clone());
        !told
    }

    fn stage(&mut self, subject: &Subject, stage: Stage) {
        if let Some(turn) = self.turns.get_mut(subject) {
            turn.stage = stage;
        }
    }

    fn rolling_by_namespace(&self) -> BTreeMap<&str, usize> {
        let mut rolling = BTreeMap::new();
        for (subject, turn) in &self.turns {
            if matches!(turn.stage, Stage::Rolling { .. }) {
                *rolling.entry(subject.namespace()).or_default() += 1;
            }
        }
        rolling
    }
}

impl Subject {
    fn namespace(&self) -> &str {
        match self {
            Self::Pod(pod, _) => &pod.name.namespace,
            Self::Workload(id) => &id.namespace,
        }
    }
}

impl Turn {
    fn new(wanted: Changes, now: Instant) -> Self {
        Self {
            wanted,
            first: now,
            changed: now,
            seen: now,
            told: None,
            stage: Stage::Waiting { not_before: now },
        }
    }

    fn want(&mut self, changes: Changes, now: Instant) {
        self.seen = now;
        if !self.wanted.covers(&changes) {
            self.changed = now;
        }
        self.wanted = changes;
        self.revive(now);
    }

    /// Waits again if more is wanted than was done.
    fn revive(&mut self, now: Instant) {
        if matches!(&self.stage, Stage::Done(done) if !done.covers(&self.wanted)) {
            self.first = now;
            self.stage = Stage::Waiting { not_before: now };
        }
    }

    fn is_ready(&self, now: Instant) -> bool {
        let quiet = now - self.changed >= QUIET || now - self.first >= LONGEST;
        quiet && matches!(self.stage, Stage::Waiting { not_before } if now >= not_before)
    }
}

/// How many pods are told at a time that they cannot be restarted.
const AT_ONCE: usize = 16;
/// How long a rollout is watched, and takes a slot.
const BOUND: Duration = Duration::from_secs(600);
/// How long vaults that are never quiet may delay a rollout.
const LONGEST: Duration = Duration::from_secs(60);
/// How many may be queued.
const MOST: usize = 1024;
/// How long a rollout that others began may delay ours.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a vault's contents must be as they are: several quick edits are one change.
pub(super) const QUIET: Duration = Duration::from_secs(5);
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many workloads roll at a time.
pub(super) const SLOTS: usize = 4;

#[cfg(test)]
mod tests;
