//! The condition `Ready`: what it says, and since when.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use secretvault_crds::{api::CONDITION_READY, whole_second};

use crate::words::shortened;

/// What the condition `Ready` is to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ready {
    pub(super) ready: bool,
    /// A word in camel case.
    pub(super) reason: &'static str,
    /// For a person.
    pub(super) message: String,
}

impl Ready {
    /// The condition. As long as its status does not change, it keeps since when it holds.
    pub(super) fn condition(
        self,
        generation: Option<i64>,
        before: Option<&Condition>,
        now: Timestamp,
    ) -> Condition {
        let status = if self.ready { "True" } else { "False" };
        let since = before.filter(|before| before.status == status);
        Condition {
            last_transition_time: since.map_or_else(
                || whole_second(now),
                |before| before.last_transition_time.clone(),
            ),
            message: shortened(self.message, MAX_MESSAGE),
            observed_generation: generation,
            reason: self.reason.to_owned(),
            status: status.to_owned(),
            type_: CONDITION_READY.to_owned(),
        }
    }
}

/// The condition `Ready` among others.
pub(super) fn ready_of(conditions: &[Condition]) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == CONDITION_READY)
}

/// What the API server accepts in a condition.
const MAX_MESSAGE: usize = 32768;

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn ready(ready: bool) -> Ready {
        Ready {
            ready,
            reason: "Because",
            message: String::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn since_when_is_kept_while_the_status_stays() {
        let first = ready(true).condition(Some(1), None, at(1));
        let same = ready(true).condition(Some(2), Some(&first), at(2));
        assert_eq!(same.last_transition_time, first.last_transition_time);
        assert_eq!(same.observed_generation, Some(2));
        let other = ready(false).condition(Some(2), Some(&same), at(3));
        assert_eq!(other.last_transition_time, Time(at(3)));
    }
}
