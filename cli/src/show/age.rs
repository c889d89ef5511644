//! How long ago something was.

use jiff::Timestamp;

/// An age in the unit that fits it, as kubectl rounds; `-` if nobody knows it.
pub(super) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else {
        return UNKNOWN.to_owned();
    };
    // A clock that was set back makes nothing younger than now.
    let seconds = now.duration_since(then).as_secs().max(0);
    let fitting = UNITS.iter().find(|(_, _, below)| seconds < *below);
    let (unit, length, _) = fitting.unwrap_or(&YEARS);
    format!("{}{unit} ago", seconds / length)
}

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "-";

/// A unit, its length, and the age from which the next one is used.
const UNITS: [(&str, i64, i64); 4] = [
    ("s", 1, 2 * MINUTE),
    ("m", MINUTE, 3 * HOUR),
    ("h", HOUR, 2 * DAY),
    ("d", DAY, 2 * YEARS.1),
];

const YEARS: (&str, i64, i64) = ("y", 365 * DAY, i64::MAX);
const DAY: i64 = 24 * HOUR;
const HOUR: i64 = 60 * MINUTE;
const MINUTE: i64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_unit_that_fits_it() {
        for (seconds, expected) in [
            (-5, "0s ago"),
            (0, "0s ago"),
            (119, "119s ago"),
            (120, "2m ago"),
            (3 * 3600 - 1, "179m ago"),
            (3 * 3600, "3h ago"),
            (48 * 3600, "2d ago"),
            (2 * 365 * 86400, "2y ago"),
        ] {
            let now = Timestamp::from_second(1_000_000_000).unwrap();
            let then = Timestamp::from_second(now.as_second() - seconds).unwrap();
            assert_eq!(ago(Some(then), now), expected);
        }
        assert_eq!(ago(None, Timestamp::UNIX_EPOCH), "-");
    }
}
