//! What to do about a workload whose pods are to be made anew.

use super::changes::Changes;
use super::workload::{State, Workload};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing, and say why.
    Hold(Hold),
    /// Nothing: it is on its way out, or has done it.
    Nothing,
    /// Record these changes in its template.
    Roll(Changes),
    /// Nothing before it is done with what it is doing: that may be enough.
    Wait,
    /// Nothing but to see how it ends: it is being done.
    Watch,
}

/// Why a workload is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It makes pods anew when somebody deletes them.
    OnDelete,
    /// Somebody stopped it, and should be the one who starts it.
    Paused,
}

/// Decides. `patient`: whether there is time to wait for a rollout that somebody else began.
pub(super) fn plan(
    workload: &Workload,
    wanted: &Changes,
    patient: bool,
    is_alive: impl Fn(&str) -> bool,
) -> Plan {
    let recorded = workload.recorded.covers(wanted);
    match workload.state {
        State::Deleting => Plan::Nothing,
        State::Rolling if recorded => Plan::Watch,
        State::OnDelete | State::Paused | State::Settled | State::Stuck if recorded => {
            Plan::Nothing
        }
        State::OnDelete => Plan::Hold(Hold::OnDelete),
        State::Paused => Plan::Hold(Hold::Paused),
        State::Rolling if patient => Plan::Wait,
        State::Rolling | State::Settled | State::Stuck => {
            Plan::Roll(wanted.over(&workload.recorded, is_alive))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(state: State, recorded: &str, patient: bool) -> Plan {
        let workload = Workload {
            asks: true,
            uid: "w".to_owned(),
            version: "1".to_owned(),
            recorded: Changes::parse(recorded),
            state,
        };
        plan(&workload, &Changes::parse("u@5"), patient, |_| true)
    }

    #[test]
    fn what_is_done_in_each_state() {
        let roll = || Plan::Roll(Changes::parse("u@5"));
        let cases = [
            (State::Deleting, "", Plan::Nothing),
            (State::Deleting, "u@5", Plan::Nothing),
            (State::OnDelete, "", Plan::Hold(Hold::OnDelete)),
            (State::OnDelete, "u@5", Plan::Nothing),
            (State::Paused, "", Plan::Hold(Hold::Paused)),
            (State::Paused, "u@5", Plan::Nothing),
            (State::Rolling, "", Plan::Wait),
            (State::Rolling, "u@4", Plan::Wait),
            (State::Rolling, "u@5", Plan::Watch),
            (State::Settled, "", roll()),
            (State::Settled, "u@4", roll()),
            (State::Settled, "u@5", Plan::Nothing),
            (State::Settled, "u@6", Plan::Nothing),
            (State::Stuck, "", roll()),
            (State::Stuck, "u@5", Plan::Nothing),
        ];
        for (state, recorded, expected) in cases {
            let planned = planned(state, recorded, true);
            assert_eq!(planned, expected, "{state:?} {recorded:?}");
        }
    }

    #[test]
    fn patience_with_a_rollout_of_others_has_an_end() {
        assert_eq!(
            planned(State::Rolling, "", false),
            Plan::Roll(Changes::parse("u@5"))
        );
        assert_eq!(planned(State::Rolling, "u@5", false), Plan::Watch);
    }

    #[test]
    fn what_was_recorded_of_other_vaults_stays() {
        let kept = planned(State::Settled, "other@3 u@1", true);
        assert_eq!(kept, Plan::Roll(Changes::parse("other@3 u@5")));
    }
}
