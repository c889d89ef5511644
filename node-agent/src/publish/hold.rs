//! How long a publish that fails is kept waiting.
//!
//! kubelet backs off to two minutes between its calls, so a cause that goes away would be noticed
//! late. Therefore the first failure of a volume is answered at once, so that the pod's Event
//! appears; later calls are held and tried again here until the cause is gone.

use std::time::Duration;

use super::{PublishError, Reason};

/// What to do after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Tell kubelet.
    Answer,
    /// Try again after a pause.
    RetryAfter(Duration),
}

/// Decides. `told` is the reason that kubelet heard last for this volume, `failed` why the last try
/// came to nothing, `waited` the time that this call has been held, `chance` any number.
pub(super) fn after_failure(
    told: Option<Reason>,
    failed: &PublishError,
    waited: Duration,
    chance: u32,
) -> Next {
    // A new reason is news for the pod's owner.
    if told != Some(failed.reason()) || !failed.may_pass() || waited >= HOLD {
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
    use crate::{
        release::{DenialReason, ReleaseError},
        volume::BudgetError,
    };

    const NOW: Duration = Duration::ZERO;

    fn denied(reason: DenialReason) -> PublishError {
        let (message, withdrawn) = (String::new(), Vec::new());
        ReleaseError::Denied {
            reason,
            message,
            withdrawn,
        }
        .into()
    }

    #[test]
    fn a_first_failure_is_answered_at_once() {
        let failed = denied(DenialReason::NotFound);
        assert_eq!(after_failure(None, &failed, NOW, 0), Next::Answer);
        assert!(patience(None) < Duration::from_secs(2));
    }

    #[test]
    fn the_same_failure_again_is_held_for_a_minute() {
        let (told, failed) = (Some(Reason::NotFound), denied(DenialReason::NotFound));
        let next = |waited| after_failure(told, &failed, waited, 0);
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
        let failed = denied(DenialReason::Forbidden);
        assert_eq!(after_failure(told, &failed, NOW, 0), Next::Answer);
    }

    #[test]
    fn what_waiting_cannot_help_is_not_held() {
        let (told, failed) = (
            Some(Reason::TokenRejected),
            denied(DenialReason::TokenRejected),
        );
        assert_eq!(after_failure(told, &failed, NOW, 0), Next::Answer);
    }

    #[test]
    fn a_volume_that_is_too_large_is_not_held_and_one_that_the_node_has_no_room_for_is() {
        let told = Some(Reason::NoRoom);
        let large = BudgetError::Volume { bytes: 2, limit: 1 }.into();
        assert_eq!(after_failure(told, &large, NOW, 0), Next::Answer);
        let (bytes, left, limit) = (2, 1, 9);
        let full = BudgetError::Node { bytes, left, limit }.into();
        assert_eq!(after_failure(told, &full, NOW, 0), Next::RetryAfter(PAUSE));
    }

    #[test]
    fn pauses_differ_and_are_about_a_second() {
        let (told, failed) = (Some(Reason::Unavailable), PublishError::Busy);
        for chance in [0, 1, 999, 1000, u32::MAX] {
            let Next::RetryAfter(pause) = after_failure(told, &failed, NOW, chance) else {
                panic!("answered");
            };
            assert!(pause >= PAUSE && pause < PAUSE + JITTER, "{pause:?}");
        }
    }
}
