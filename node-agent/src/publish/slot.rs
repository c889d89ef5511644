//! One slot per target: what serialises the operations on a volume, and what is known of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Reason;
use crate::{state::Record, volume::TargetPath};

/// A volume's place. Whoever works on the volume holds `work`.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) work: Arc<tokio::sync::Mutex<Work>>,
    notes: Mutex<Notes>,
}

/// What is known of a volume, and changes with each operation.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// What it takes to ask again. `None`: nothing is attached, or its state was lost.
    pub(super) record: Option<Record>,
    /// Whether the record is remembered beyond the process.
    pub(super) is_saved: bool,
    /// When the operator was last asked with success.
    pub(super) refreshed: Option<Instant>,
    /// How often the volume was unpublished: a publish from before must not attach it again.
    pub(super) unpublished: u64,
}

/// What is asked while an operation runs.
#[derive(Debug)]
struct Notes {
    answer_bytes: Option<usize>,
    told: Option<Reason>,
    trouble: Option<Trouble>,
    touched: Instant,
}

/// Why an attached volume is not up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Slot {
    fn new(now: Instant) -> Self {
        Self {
            work: Arc::default(),
            notes: Mutex::new(Notes {
                answer_bytes: None,
                told: None,
                trouble: None,
                touched: now,
            }),
        }
    }

    /// The reason that kubelet heard last, if the last publish failed.
    pub(super) fn told(&self) -> Option<Reason> {
        self.notes().told
    }

    /// Notes what kubelet hears.
    pub(super) fn tell(&self, reason: Option<Reason>) {
        self.notes().told = reason;
    }

    /// How large the operator's last answer was.
    pub(super) fn answer_bytes(&self) -> Option<usize> {
        self.notes().answer_bytes
    }

    /// Notes how large an answer was.
    pub(super) fn answered(&self, bytes: usize) {
        self.notes().answer_bytes = Some(bytes);
    }

    /// Why the volume is not up to date.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.notes().trouble.clone()
    }

    /// Notes trouble, or its end. Answers whether that is news.
    pub(super) fn note(&self, trouble: Option<Trouble>) -> bool {
        let mut notes = self.notes();
        let reason = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| trouble.reason);
        let news = reason(&notes.trouble) != reason(&trouble);
        notes.trouble = trouble;
        news
    }

    /// A slot is of no more use when nobody holds it, nothing is attached, and kubelet has not
    /// asked for so long that it never will again.
    fn is_stale(self: &Arc<Self>, now: Instant) -> bool {
        Arc::strong_count(self) == 1
            && now.duration_since(self.notes().touched) > STALE
            && self.work.try_lock().is_ok_and(|work| work.record.is_none())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<TargetPath, Arc<Slot>>>);

impl Slots {
    /// The slot of a target; a new one if there is none. Takes away those that are stale.
    pub(super) fn of(&self, target: &TargetPath, now: Instant) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(target) {
            slots.retain(|_, slot| !slot.is_stale(now));
        }
        let slot = slots
            .entry(target.clone())
            .or_insert_with(|| Arc::new(Slot::new(now)));
        slot.notes().touched = now;
        Arc::clone(slot)
    }

    /// How large the operator's last answer about a target was.
    pub(super) fn answer_bytes(&self, target: &TargetPath) -> Option<usize> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(target)?.answer_bytes()
    }

    /// The targets that there are slots for.
    pub(super) fn targets(&self) -> Vec<TargetPath> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.keys().cloned().collect()
    }
}

/// Longer than kubelet's longest pause between two tries.
const STALE: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn target(name: &str) -> TargetPath {
        let path = format!("/k/pods/u/volumes/kubernetes.io~csi/{name}/mount");
        TargetPath::parse(Path::new("/k"), &path).unwrap()
    }

    #[test]
    fn a_target_has_one_slot() {
        let (slots, now) = (Slots::default(), Instant::now());
        let slot = slots.of(&target("a"), now);
        slot.tell(Some(Reason::NotFound));
        assert_eq!(slots.of(&target("a"), now).told(), Some(Reason::NotFound));
        assert_eq!(slots.of(&target("b"), now).told(), None);
    }

    #[test]
    fn slots_of_volumes_that_never_came_go_after_a_while() {
        let (slots, now) = (Slots::default(), Instant::now());
        let held = slots.of(&target("held"), now);
        slots.of(&target("left"), now);
        slots.of(&target("new"), now + STALE + Duration::from_secs(1));
        let mut left = slots.targets();
        left.sort();
        assert_eq!(left, [target("held"), target("new")]);
        drop(held);
    }

    #[test]
    fn trouble_is_news_once() {
        let slot = Slot::new(Instant::now());
        let trouble = |reason| {
            let message = "why".to_owned();
            Some(Trouble { reason, message })
        };
        assert!(slot.note(trouble(Reason::Unavailable)));
        assert!(!slot.note(trouble(Reason::Unavailable)));
        assert!(slot.note(trouble(Reason::Forbidden)));
        assert!(slot.note(None));
        assert!(!slot.note(None));
    }
}
