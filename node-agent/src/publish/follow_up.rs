//! Whether a volume is asked for once more after a change, before kubelet's next republish does.

use std::time::Duration;

use super::Reason;

/// Decides. `failed`: why the volume is not refreshed, if it is not; `came`: whether what was
/// expected has come; `tries`: how often it was tried already, counted from the last event;
/// `chance`: any number.
pub(super) fn follow_up(
    failed: Option<Reason>,
    came: bool,
    tries: usize,
    chance: u32,
) -> Option<Duration> {
    let helps = match failed {
        None => !came,
        Some(reason) => asking_again_helps(reason),
    };
    let pause = *PAUSES.get(tries)?;
    helps.then(|| pause + pause * (chance % 1000) / 1000)
}

/// What passes by itself, and soon. The rest is the next event's business, or the republish's.
fn asking_again_helps(reason: Reason) -> bool {
    match reason {
        Reason::Behind | Reason::KeyUnavailable | Reason::Unavailable => true,
        Reason::AgentRejected
        | Reason::Damaged
        | Reason::Forbidden
        | Reason::Interrupted
        | Reason::InvalidRequest
        | Reason::Malformed
        | Reason::NoRoom
        | Reason::Node
        | Reason::NotFound
        | Reason::PodMismatch
        | Reason::TokenRejected => false,
    }
}

/// The first is for a replica that has not heard of the change yet, the last for one that starts.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(30),
    Duration::from_millis(150),
    Duration::from_millis(700),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_is_not_asked_for_again() {
        assert_eq!(follow_up(None, true, 0, 0), None);
        assert_eq!(follow_up(None, false, 0, 0), Some(PAUSES[0]));
    }

    #[test]
    fn what_passes_by_itself_is_tried_again_and_nothing_else() {
        for (reason, again) in [
            (Reason::AgentRejected, false),
            (Reason::Behind, true),
            (Reason::Damaged, false),
            (Reason::Forbidden, false),
            (Reason::Interrupted, false),
            (Reason::InvalidRequest, false),
            (Reason::KeyUnavailable, true),
            (Reason::Malformed, false),
            (Reason::NoRoom, false),
            (Reason::Node, false),
            (Reason::NotFound, false),
            (Reason::PodMismatch, false),
            (Reason::TokenRejected, false),
            (Reason::Unavailable, true),
        ] {
            for came in [false, true] {
                let next = follow_up(Some(reason), came, 1, 0);
                assert_eq!(next.is_some(), again, "{reason:?}");
            }
        }
    }

    #[test]
    fn pauses_grow_are_spread_and_end() {
        let reason = Some(Reason::Unavailable);
        for (tries, least) in PAUSES.into_iter().enumerate() {
            let pause = |chance| follow_up(reason, false, tries, chance).unwrap();
            assert_eq!(pause(0), least);
            assert!(pause(999) < 2 * least && pause(999) > least);
        }
        assert_eq!(follow_up(reason, false, PAUSES.len(), 0), None);
        assert_eq!(follow_up(None, false, PAUSES.len(), 0), None);
    }
}
