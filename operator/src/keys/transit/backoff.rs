//! How long to wait after failures, with jitter so that replicas do not come together.

use std::time::Duration;

use tokio::time::Instant;

/// Counts failures in a row, and says when the next try may be.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Notes a failure at `now`. `random` chooses the jitter.
    pub(super) fn failed(&mut self, now: Instant, random: u8) {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(MAX_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + shortened(doubled.min(LONGEST), random));
    }

    /// Notes a success: the next failure is the first one again.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether it is too early for another try.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| now < at)
    }
}

/// Four fifths of a span to all of it.
pub(super) fn shortened(span: Duration, random: u8) -> Duration {
    span.mul_f64(1.0 - f64::from(random) / f64::from(u8::MAX) / 5.0)
}

/// A byte to choose a jitter with. Nothing depends on it: without randomness there is no jitter.
pub(super) fn random() -> u8 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
const MAX_DOUBLINGS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_five_seconds() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert!(!backoff.waits(now));
        for milliseconds in [250, 500, 1000, 2000, 4000, 5000, 5000] {
            backoff.failed(now, 0);
            let end = now + Duration::from_millis(milliseconds);
            assert!(backoff.waits(end - Duration::from_millis(1)) && !backoff.waits(end));
        }
        backoff.succeeded();
        assert!(!backoff.waits(now));
        backoff.failed(now, 0);
        assert!(!backoff.waits(now + FIRST));
    }

    #[test]
    fn jitter_takes_up_to_a_fifth() {
        let span = Duration::from_secs(10);
        assert_eq!(shortened(span, 0), span);
        assert_eq!(shortened(span, 255), Duration::from_secs(8));
    }

    #[test]
    fn very_many_failures_do_not_overflow() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..100 {
            backoff.failed(now, 7);
        }
        assert!(!backoff.waits(now + LONGEST));
    }
}
