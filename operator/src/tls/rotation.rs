//! When an authority is followed by the next: decided from what is stored and the time alone.

use jiff::{SignedDuration, Timestamp};

use super::authority::Validity;

/// What one look at the stored authority must lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Drops trusted certificates that have ended.
    Forget,
    /// Nothing.
    Keep,
    /// Lets the next authority sign: by now everybody trusts it.
    Promote,
    /// Starts anew: nothing that could sign is alive, so nobody's trust can be kept.
    Renew,
    /// Makes the next authority and trusts it, but does not sign with it yet.
    Stage,
}

/// The validities of what is stored.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Of the authority that signs.
    pub signing: Validity,
    /// Of the one that will.
    pub next: Option<Validity>,
    /// Of everything that is trusted, these two included.
    pub trusted: Vec<Validity>,
}

/// Decides what to do with the stored authority. Every branch is a table test.
pub fn plan(now: Timestamp, seen: &Seen) -> Plan {
    match seen.next {
        Some(next) if next.ended(now) => Plan::Renew,
        Some(next) if now >= promotion(next, seen.signing) => Plan::Promote,
        None if seen.signing.ended(now) => Plan::Renew,
        None if now >= seen.signing.due() => Plan::Stage,
        Some(_) | None if seen.trusted.iter().any(|old| old.ended(now)) => Plan::Forget,
        Some(_) | None => Plan::Keep,
    }
}

/// When the next authority may sign: once it was trusted for the whole overlap, or shortly before
/// the one that signs ends, if an operator that slept has no more time than that.
fn promotion(next: Validity, signing: Validity) -> Timestamp {
    let overlapped = next
        .made()
        .saturating_add(OVERLAP)
        .unwrap_or(Timestamp::MAX);
    let last_call = signing
        .not_after
        .saturating_sub(LAST_CALL)
        .unwrap_or(Timestamp::MIN);
    overlapped.min(last_call)
}

/// How long the next authority is trusted before it signs. Whoever trusts us reads the bundle
/// within seconds; a day is for those that were down.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// How long before its end an authority stops signing in any case.
const LAST_CALL: SignedDuration = SignedDuration::from_hours(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::stored::Stored, *};

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn life(from: i64, hours: i64) -> Validity {
        Validity::starting(at(from), SignedDuration::from_hours(hours))
    }

    fn seen(signing: Validity, next: Option<Validity>) -> Seen {
        Seen {
            signing,
            next,
            trusted: [Some(signing), next].into_iter().flatten().collect(),
        }
    }

    #[test]
    fn table() {
        let year = life(0, 8759); // with the backdated hour: 8760 hours, two thirds at 5839
        let late = Some(life(5839, 8760));
        let cases = [
            (0, seen(year, None), Plan::Keep),
            (5838, seen(year, None), Plan::Keep),
            (5839, seen(year, None), Plan::Stage),
            (5839 + 23, seen(year, late), Plan::Keep),
            (5839 + 24, seen(year, late), Plan::Promote),
            (8759, seen(year, None), Plan::Stage),
            (8760, seen(year, None), Plan::Renew),
            (8757, seen(year, Some(life(8756, 8760))), Plan::Keep),
            (8758, seen(year, Some(life(8756, 8760))), Plan::Promote),
            (9000, seen(year, Some(life(8756, 8760))), Plan::Promote),
            (20000, seen(year, late), Plan::Renew),
        ];
        for (hour, seen, expected) in cases {
            assert_eq!(plan(at(hour), &seen), expected, "at hour {hour}");
        }
    }

    #[test]
    fn an_old_authority_is_forgotten_once_it_has_ended() {
        let mut seen = seen(life(6000, 8760), None);
        seen.trusted.push(life(0, 8760));
        assert_eq!(plan(at(8760), &seen), Plan::Keep);
        assert_eq!(plan(at(8761), &seen), Plan::Forget);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// Whoever looks at least every twelve hours never sees an authority sign that has ended,
        /// or that was not trusted a day before.
        #[test]
        fn an_authority_is_trusted_a_day_before_it_signs(steps in prop::collection::vec(1_i64..12, 2500)) {
            let mut hour = 0;
            let mut stored = Stored::create(at(0)).unwrap();
            let mut trusted_since = vec![(stored.signing().certificate().clone(), -24)];
            for step in steps {
                hour += step;
                let plan = plan(at(hour), &stored.seen());
                prop_assert_ne!(plan, Plan::Renew);
                stored = stored.advance(plan, at(hour)).unwrap();
                for certificate in stored.trusted() {
                    if !trusted_since.iter().any(|(known, _)| known == certificate) {
                        trusted_since.push((certificate.clone(), hour));
                    }
                }
                let signing = stored.signing();
                let since = trusted_since.iter().find(|(known, _)| known == signing.certificate());
                prop_assert!(since.is_some_and(|(_, since)| hour - since >= 24));
                prop_assert!(signing.validity().covers(at(hour)));
                prop_assert!(stored.trusted().len() <= 3);
            }
            prop_assert!(trusted_since.len() >= 3, "two rotations in {hour} hours");
        }
    }
}
