//! The tries at a login: when another one may be, and what there is to say until then.

use tokio::time::Instant;

use super::backoff::{Backoff, random};
use crate::keys::ProviderFault;

/// Counts logins, and notes what came of them.
#[derive(Default)]
pub(super) struct Attempts {
    logins: u64,
    /// The newest login of use when the backoff began from zero.
    settled: u64,
    backoff: Backoff,
    fault: Option<ProviderFault>,
}

impl Attempts {
    /// The number of a login that was made just now.
    pub(super) fn number(&mut self) -> u64 {
        self.logins += 1;
        self.logins
    }

    /// Notes a login that failed, or that is of no use.
    pub(super) fn failed(&mut self, fault: &ProviderFault, now: Instant) {
        self.backoff.failed(now, random());
        self.fault = Some(fault.clone());
    }

    /// Begins from zero if a login was of use since it last did; `of_use` is the newest of those.
    /// That a login was made says nothing: a server may accept it, and none of its tokens.
    pub(super) fn settle(&mut self, of_use: u64) {
        if of_use > self.settled {
            self.settled = of_use;
            self.backoff.succeeded();
            self.fault = None;
        }
    }

    /// The last failure, if it is too early for another try.
    pub(super) fn waits(&self, now: Instant) -> Option<ProviderFault> {
        let fault = self.fault.as_ref().filter(|_| self.backoff.waits(now));
        fault.cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keys::KeyFault;

    /// Notes at `now` that a login is of no use. Returns when there may be another one: at the
    /// latest after that many milliseconds, and at the earliest after four fifths of them.
    fn useless(attempts: &mut Attempts, now: Instant, milliseconds: u64) -> Instant {
        let fault = ProviderFault::new(KeyFault::PermissionDenied, "no");
        attempts.failed(&fault, now);
        let end = Duration::from_millis(milliseconds);
        let early = now + end * 4 / 5 - Duration::from_millis(1);
        assert_eq!(attempts.waits(early), Some(fault), "{milliseconds}");
        assert_eq!(attempts.waits(now + end), None, "{milliseconds}");
        now + end
    }

    #[test]
    fn logins_that_are_of_no_use_are_made_later_each_time() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        for milliseconds in [250, 500, 1000, 2000, 4000, 5000, 5000] {
            attempts.settle(0);
            attempts.number();
            now = useless(&mut attempts, now, milliseconds);
        }
    }

    #[test]
    fn after_one_that_was_of_use_the_next_wait_is_the_first_again() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        for milliseconds in [250, 500, 1000] {
            attempts.number();
            now = useless(&mut attempts, now, milliseconds);
        }
        let of_use = attempts.number();
        attempts.settle(of_use);
        assert_eq!(attempts.waits(now), None);
        now = useless(&mut attempts, now, 250);
        // That one is lost, and counts once.
        attempts.settle(of_use);
        useless(&mut attempts, now, 500);
    }
}
