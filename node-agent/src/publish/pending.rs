//! The volumes that wait to be refreshed, because something in them has changed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    release::{Changed, Held},
    volume::TargetPath,
};

/// Why a volume waits, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// When the first event came that is not answered yet. `None`: no event, the agent has started.
    pub(super) heard: Option<Instant>,
    /// What should have come then.
    pub(super) changed: Vec<Changed>,
    /// How often it was tried since the last event.
    pub(super) tries: usize,
    /// Whether it must be asked for alone: it was part of an answer that was too large.
    pub(super) alone: bool,
    due: Due,
}

/// When a volume's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    At(Instant),
    /// When whoever works on it has finished.
    Freed,
}

/// All that wait. A volume waits once, however many events there are.
#[derive(Debug, Default)]
pub(super) struct Pending {
    wishes: Mutex<HashMap<TargetPath, Wish>>,
    news: Notify,
}

impl Wish {
    /// Something has changed.
    pub(super) fn heard(changed: Vec<Changed>, now: Instant) -> Self {
        Self {
            heard: Some(now),
            changed,
            tries: 0,
            alone: false,
            due: Due::At(now),
        }
    }

    /// Nobody knows whether something has changed.
    pub(super) fn at_start(now: Instant) -> Self {
        Self {
            heard: None,
            ..Self::heard(Vec::new(), now)
        }
    }

    /// Once more, later.
    pub(super) fn again_at(self, due: Instant) -> Self {
        Self {
            tries: self.tries + 1,
            due: Due::At(due),
            ..self
        }
    }

    /// Once more, at once, and not together with others.
    pub(super) fn by_itself(self, now: Instant) -> Self {
        Self {
            alone: true,
            due: Due::At(now),
            ..self
        }
    }

    /// Once more, when the volume is free.
    pub(super) fn when_freed(self) -> Self {
        Self {
            due: Due::Freed,
            ..self
        }
    }

    /// Whether what was to come is there already: then nobody has to ask.
    pub(super) fn has_come(&self, held: &Held) -> bool {
        !self.changed.is_empty() && self.is_fulfilled(held)
    }

    /// Whether a volume that was asked for shows what was to come.
    pub(super) fn is_fulfilled(&self, held: &Held) -> bool {
        self.changed.iter().all(|changed| held.has_reached(changed))
    }

    /// Takes in what came later.
    fn merge(&mut self, other: Self) {
        self.heard = match (self.heard, other.heard) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        for changed in other.changed {
            self.expect(changed);
        }
        self.tries = self.tries.min(other.tries);
        self.alone |= other.alone;
        self.due = match (self.due, other.due) {
            (Due::At(one), Due::At(other)) => Due::At(one.min(other)),
            (Due::Freed, _) | (_, Due::Freed) => Due::Freed,
        };
    }

    /// The last word about a handle is enough.
    fn expect(&mut self, changed: Changed) {
        let mut known = self.changed.iter_mut();
        match known.find(|known| known.handle == changed.handle) {
            Some(known) if known.at_least >= changed.at_least => {}
            Some(known) => *known = changed,
            None => self.changed.push(changed),
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        match self.due {
            Due::At(due) => due <= now,
            Due::Freed => false,
        }
    }
}

impl Pending {
    /// Adds to what is wished of a volume.
    pub(super) fn add(&self, target: TargetPath, wish: Wish) {
        let mut wishes = self.wishes();
        match wishes.get_mut(&target) {
            Some(known) => known.merge(wish),
            None => drop(wishes.insert(target, wish)),
        }
        drop(wishes);
        self.news.notify_one();
    }

    /// The volume is free: its turn comes now.
    pub(super) fn free(&self, target: &TargetPath, now: Instant) {
        if let Some(wish) = self.wishes().get_mut(target) {
            wish.due = Due::At(now);
        }
        self.news.notify_one();
    }

    /// The volume is gone.
    pub(super) fn forget(&self, target: &TargetPath) {
        self.wishes().remove(target);
    }

    /// Waits until some volume's turn has come.
    pub(super) async fn ready(&self) {
        loop {
            let next = self.next_due();
            let now = Instant::now();
            match next {
                Some(due) if due <= now => return,
                Some(due) => tokio::select! {
                    () = sleep_until(due) => return,
                    () = self.news.notified() => {}
                },
                None => self.news.notified().await,
            }
        }
    }

    /// Takes the volumes of one request: those that wait longest, of which `bytes` says how large
    /// the answers will be.
    pub(super) fn take(
        &self,
        now: Instant,
        bytes: impl Fn(&TargetPath) -> usize,
    ) -> Vec<(TargetPath, Wish)> {
        let mut wishes = self.wishes();
        let mut due: Vec<(Option<Instant>, TargetPath)> = wishes
            .iter()
            .filter(|(_, wish)| wish.is_due(now))
            .map(|(target, wish)| (wish.heard, target.clone()))
            .collect();
        // A volume for which nobody has heard anything comes last.
        due.sort_by_key(|(heard, _)| (heard.is_none(), *heard));
        let mut batch = Vec::new();
        let mut room = BATCH_BYTES;
        for (_, target) in due {
            let is_alone = wishes.get(&target).is_some_and(|wish| wish.alone);
            let takes = bytes(&target);
            let fits = takes <= room && !is_alone && batch.len() < BATCH_VOLUMES;
            if !batch.is_empty() && !fits {
                continue;
            }
            room = if is_alone {
                0
            } else {
                room.saturating_sub(takes)
            };
            batch.extend(wishes.remove_entry(&target));
        }
        batch
    }

    fn next_due(&self) -> Option<Instant> {
        let wishes = self.wishes();
        let dues = wishes.values().filter_map(|wish| match wish.due {
            Due::At(due) => Some(due),
            Due::Freed => None,
        });
        dues.min()
    }

    fn wishes(&self) -> MutexGuard<'_, HashMap<TargetPath, Wish>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Volumes in one request.
const BATCH_VOLUMES: usize = secretvault_delivery::MAX_VOLUMES_PER_REQUEST;

/// What the answers to one request may take, as far as one can tell: two of them are in memory at
/// once, while they are opened and written.
const BATCH_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests;
