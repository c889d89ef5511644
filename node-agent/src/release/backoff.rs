//! Pauses between two streams. With jitter: a replica that leaves has had a stream of many nodes.

use std::time::Duration;

/// How often in a row a stream did not last.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a stream that has lasted so long. `chance` is any number.
    pub(super) fn pause(&mut self, lasted: Duration, chance: u32) -> Duration {
        // A replica that accepts streams and ends them at once must not be asked ever faster.
        if lasted >= LONGEST {
            self.failures = 0;
        }
        let factor = 1 << self.failures.min(DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        let shortest = SHORTEST * factor;
        let span = (5 * shortest).min(LONGEST) - shortest;
        shortest + span * (chance % 1000) / 1000
    }
}

/// The pause when the next stream will not last either.
pub(super) fn long(chance: u32) -> Duration {
    LONG + LONG * (chance % 1000) / 1000
}

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(30);
const DOUBLINGS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(backoff: &mut Backoff, lasted: Duration) -> (u128, u128) {
        let failures = backoff.failures;
        let least = backoff.pause(lasted, 0);
        backoff.failures = failures;
        let most = backoff.pause(lasted, 999);
        (least.as_millis(), most.as_millis())
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_are_spread() {
        let mut backoff = Backoff::default();
        let ranges: Vec<_> = (0..8)
            .map(|_| range(&mut backoff, Duration::ZERO))
            .collect();
        assert_eq!(
            ranges,
            [
                (100, 499),
                (200, 999),
                (400, 1998),
                (800, 3996),
                (1600, 7993),
                (3200, 9993),
                (3200, 9993),
                (3200, 9993)
            ]
        );
    }

    #[test]
    fn a_stream_that_lasted_starts_anew_and_one_that_did_not_does_not() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.pause(Duration::from_secs(9), 0);
        }
        assert_eq!(range(&mut backoff, Duration::from_secs(9)).0, 3200);
        assert_eq!(range(&mut backoff, Duration::from_secs(10)), (100, 499));
    }
}
