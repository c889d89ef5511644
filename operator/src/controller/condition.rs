//! Conditions: what they say, and since when.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use secretvault_crds::{api::CONDITION_READY, whole_second};

use crate::words::shortened;

/// What a condition is to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Says {
    /// Whether it is so.
    pub(super) holds: bool,
    /// A word in camel case.
    pub(super) reason: &'static str,
    /// For a person.
    pub(super) message: String,
}

impl Says {
    /// The condition of this type. As long as its status does not change, it keeps since when it
    /// holds.
    pub(super) fn condition(
        self,
        kind: &str,
        generation: Option<i64>,
        before: &[Condition],
        now: Timestamp,
    ) -> Condition {
        let status = if self.holds { "True" } else { "False" };
        let before = condition_of(before, kind);
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
            type_: kind.to_owned(),
        }
    }
}

/// The condition of this type among others.
pub(super) fn condition_of<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    let mut conditions = conditions.iter();
    conditions.find(|condition| condition.type_ == kind)
}

/// The condition `Ready` among others.
pub(super) fn ready_of(conditions: &[Condition]) -> Option<&Condition> {
    condition_of(conditions, CONDITION_READY)
}

/// What the API server accepts in a condition.
const MAX_MESSAGE: usize = 32768;

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn says(holds: bool) -> Says {
        Says {
            holds,
            reason: "Because",
            message: String::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn since_when_is_kept_while_the_status_of_this_type_stays() {
        let first = says(true).condition("Ready", Some(1), &[], at(1));
        let other = says(false).condition("Other", Some(1), &[], at(1));
        let both = [other, first.clone()];
        let same = says(true).condition("Ready", Some(2), &both, at(2));
        assert_eq!(same.last_transition_time, first.last_transition_time);
        assert_eq!(same.observed_generation, Some(2));
        let other = says(false).condition("Ready", Some(2), &[same], at(3));
        assert_eq!(other.last_transition_time, Time(at(3)));
    }
}
