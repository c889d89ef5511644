//! How long a publish that fails is kept waiting.
//!
//! kubelet backs off to two minutes between its calls, so a cause that goes away would be noticed
//! late. Therefore the first failure of a volume is answered at once, so that the pod's Event
//! appears; later calls are held and tried again here until the cause is gone.

use std::time::Duration;

use super::Reason;

/// What to do after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Tell kubelet.
    Answer,
    /// Try again after a pause.
    RetryAfter(Duration),
}

/// Decides. `told` is the reason that kubelet heard last for this volume, `waited` the time that
/// this call has been held, `chance` any number.
pub(super) fn after_failure(
    told: Option<Reason>,
    failed: Reason,
    waited: Duration,
    chance: u32,
) -> Next {
    // A new reason is news for the pod's owner.
    if told != Some(failed) || !failed.may_pass() || waited >= HOLD {
        return Next::Answer;
    }
    Next::RetryAfter(PAUSE + JITTER * (chance % 1000) / 1000)
}

/// How long one try may take: a first one must be answered within two seconds.
pub(super) fn patience(told: Option<Reason>) -> Duration {
    if told.is_none() { FIRST_TRY } else { LATER_TRY }
}

/// How long a refresh of an attached volume may take. Nobody waits for it but a republish.
pub(super) const REFRESH: Duration = Duration::from_secs(5);

/// Half of the two minutes after which kubelet gives up.
const HOLD: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(800);
const JITTER: Duration = Duration::from_millis(400);
const FIRST_TRY: Duration = Duration::from_millis(1800);
const LATER_TRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_first_failure_is_answered_at_once() {
        assert_eq!(after_failure(None, Reason::NotFound, NOW, 0), Next::Answer);
        assert!(patience(None) < Duration::from_secs(2));
    }

    #[test]
    fn the_same_failure_again_is_held_for_a_minute() {
        let told = Some(Reason::NotFound);
        let next = |waited| after_failure(told, Reason::NotFound, waited, 0);
        assert_eq!(next(NOW), Next::RetryAfter(PAUSE));
        assert_eq!(
            next(HOLD - Duration::from_millis(1)),
            Next::RetryAfter(PAUSE)
        );
        assert_eq!(next(HOLD), Next::Answer);
    }

    #[test]
    fn a_new_reason_is_told_at_once() {
        let told = Some(Reason::Unavailable);
        assert_eq!(after_failure(told, Reason::Forbidden, NOW, 0), Next::Answer);
    }

    #[test]
    fn what_waiting_cannot_help_is_not_held() {
        let reason = Reason::TokenRejected;
        assert_eq!(after_failure(Some(reason), reason, NOW, 0), Next::Answer);
    }

    #[test]
    fn pauses_differ_and_are_about_a_second() {
        let reason = Reason::Unavailable;
        for chance in [0, 1, 999, 1000, u32::MAX] {
            let Next::RetryAfter(pause) = after_failure(Some(reason), reason, NOW, chance) else {
                panic!("answered");
            };
            assert!(pause >= PAUSE && pause < PAUSE + JITTER, "{pause:?}");
        }
    }
}
