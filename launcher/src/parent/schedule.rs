//! When the command is told: decided apart from clocks.

use std::time::{Duration, Instant};

/// What is known of changes that the command was not told of.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// When the first of them was seen.
    since: Instant,
    /// When to tell, or to try again.
    due: Instant,
    /// Whether somebody was told that the command does not take the signal.
    complained: bool,
}

impl Schedule {
    /// The files have changed. Further changes are waited for as long as they come soon, and not
    /// long.
    pub(super) fn changed(&mut self, now: Instant) {
        let pending = self.pending.get_or_insert(Pending {
            since: now,
            due: now,
            complained: false,
        });
        pending.due = (now + QUIET).min(pending.since + LIMIT).max(now);
    }

    /// The command was told.
    pub(super) fn announced(&mut self) {
        self.pending = None;
    }

    /// The command could not be told. True, once: it is time that somebody knew.
    pub(super) fn put_off(&mut self, now: Instant) -> bool {
        let Some(pending) = &mut self.pending else {
            return false;
        };
        pending.due = now + AGAIN;
        let complain = !pending.complained && now >= pending.since + PATIENCE;
        pending.complained |= complain;
        complain
    }

    /// Whether it is time to tell.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| now >= pending.due)
    }

    /// How long nothing is due. `None`: until there is a change.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(pending.due.saturating_duration_since(now))
    }
}

/// A burst is over when there was no change for so long.
const QUIET: Duration = Duration::from_millis(20);

/// However long a burst is: a signal at least so often.
const LIMIT: Duration = Duration::from_millis(100);

/// How often to look whether the command takes the signal.
const AGAIN: Duration = Duration::from_millis(500);

/// Longer than programs take to start.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);

    #[test]
    fn without_a_change_nothing_is_due_and_nothing_is_waited_for() {
        let now = Instant::now();
        let schedule = Schedule::default();
        assert!(!schedule.is_due(now + PATIENCE));
        assert_eq!(schedule.pause(now), None);
    }

    #[test]
    fn a_change_is_due_when_it_was_quiet_for_a_moment() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.changed(now);
        assert_eq!(schedule.pause(now), Some(QUIET));
        assert!(!schedule.is_due(now + QUIET - STEP));
        assert!(schedule.is_due(now + QUIET));
        schedule.announced();
        assert!(!schedule.is_due(now + QUIET));
    }

    #[test]
    fn a_burst_is_one_announcement_and_one_without_end_is_told_all_the_same() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        let mut told = 0;
        for step in 0..1000 {
            let now = now + STEP * step;
            schedule.changed(now);
            if schedule.is_due(now) {
                schedule.announced();
                told += 1;
            }
        }
        assert_eq!(told, 1000 / (LIMIT.as_millis() + 1));
    }

    #[test]
    fn what_is_put_off_is_tried_again_and_complained_of_once() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.changed(now);
        let mut complaints = 0;
        for step in 0..100 {
            let now = now + AGAIN * step;
            assert!(step == 0 || schedule.is_due(now));
            complaints += u32::from(schedule.put_off(now));
            assert!(!schedule.is_due(now));
            assert!(complaints == 0 || now >= schedule.pending.as_ref().unwrap().since + PATIENCE);
        }
        assert_eq!(complaints, 1);
        schedule.announced();
        schedule.changed(now + AGAIN * 200);
        assert!(
            schedule.put_off(now + AGAIN * 200 + PATIENCE),
            "another change, another complaint"
        );
    }

    #[test]
    fn a_change_while_one_is_put_off_is_tried_at_once() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.changed(now);
        schedule.put_off(now + LIMIT);
        schedule.changed(now + LIMIT + STEP);
        assert!(schedule.is_due(now + LIMIT + STEP));
    }
}
