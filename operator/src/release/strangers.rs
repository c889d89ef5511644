//! Callers who are no agent: how many of their refusals are recorded.
//!
//! Whoever reaches the port can be refused as often as they like: with no token, a forged one, or
//! one for this audience that any pod may have projected. A line for each would push the lines about
//! pods out of the files that are kept, and make verdicts wait for the log.
//!
//! # Guarantees
//! * One refusal in each [`PAUSE`] is recorded, the first after a rest at once. The lines that are
//!   left out would say little more: nobody is named in them.
//! * The operator's log says how many were left out, at the next one that is recorded. Metrics
//!   count all of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// What is known of the callers that were refused: when, and how many.
#[derive(Default)]
pub(super) struct Strangers(Mutex<Pace>);

impl Strangers {
    /// Counts a refusal: whether it is one that is recorded.
    pub(super) fn take_turn(&self, now: Instant) -> bool {
        let passed_over = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .step(now);
        if let Some(refusals @ 1..) = passed_over {
            warn!(
                refusals,
                "callers who are no agent were refused, and are not in the audit log"
            );
        }
        passed_over.is_some()
    }
}

#[derive(Default)]
struct Pace {
    /// When another one is recorded. None: none was yet.
    rested: Option<Instant>,
    passed_over: u64,
}

impl Pace {
    /// For a refusal that is recorded: how many before it were not.
    fn step(&mut self, now: Instant) -> Option<u64> {
        if self.rested.is_some_and(|rested| now < rested) {
            self.passed_over += 1;
            return None;
        }
        self.rested = Some(now + PAUSE);
        Some(std::mem::take(&mut self.passed_over))
    }
}

/// From one line to the next, at least: a day of them has some 25 MiB.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_a_second_is_recorded_and_says_how_many_were_not() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let steps = [
            (0, Some(0)),
            (0, None),
            (999, None),
            (1_000, Some(2)),
            (1_999, None),
            (60_000, Some(1)),
            (120_000, Some(0)),
        ];
        for (at, passed_over) in steps {
            let now = begun + Duration::from_millis(at);
            assert_eq!(pace.step(now), passed_over, "after {at} ms");
        }
    }
}
