//! Whether the keys that should be retired are gone, in words.

use super::super::condition::Says;
use super::lifetime::Hold;
use super::plan::Observed;

/// What the condition `Retired` is to say; none: there is nothing to say, or nobody can tell.
pub(super) fn says(observed: &Observed) -> Option<Says> {
    let retirement = observed.retirement.as_ref().filter(|_| observed.retires)?;
    let mut stay: Vec<&(String, Hold)> = retirement.stay.iter().collect();
    stay.sort_by_key(|(_, hold)| severity(hold));
    let (holds, reason) = match (&observed.unretired, stay.first()) {
        (_, Some((_, hold))) => (false, reason(hold)),
        (Some(_), None) => (false, RETIRE_FAILED),
        (None, None) => (true, RETIRED),
    };
    let stay = stay.into_iter().map(|(id, hold)| told(id, hold));
    let unretired = observed.unretired.iter();
    let unretired = unretired.map(|why| format!("the keyring was not changed: {why}"));
    let mut parts: Vec<String> = stay.chain(unretired).collect();
    if holds {
        let done = "no key that spec.local.retire names is in the keyring any more";
        parts.push(done.to_owned());
    }
    Some(Says {
        holds,
        reason,
        message: parts.join("; "),
    })
}

fn told(id: &str, hold: &Hold) -> String {
    match hold {
        Hold::InUse(vaults) => format!("key {id} is needed by {}", listed(vaults)),
        Hold::Primary => format!("key {id} wraps new data keys: rotate first, with rotatedSince"),
        Hold::RecentlyPrimary => {
            format!("key {id} wrapped new data keys a moment ago: it goes within ten minutes")
        }
    }
}

fn reason(hold: &Hold) -> &'static str {
    match hold {
        Hold::InUse(_) => IN_USE,
        Hold::Primary => PRIMARY,
        Hold::RecentlyPrimary => RECENTLY_PRIMARY,
    }
}

/// What a person must do something about comes first.
fn severity(hold: &Hold) -> u8 {
    match hold {
        Hold::InUse(_) => 0,
        Hold::Primary => 1,
        Hold::RecentlyPrimary => 2,
    }
}

/// Up to ten names, then how many more.
fn listed(vaults: &[String]) -> String {
    let shown = vaults.get(..MOST).unwrap_or(vaults).join(", ");
    match vaults.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(super) const IN_USE: &str = "InUse";
pub(super) const PRIMARY: &str = "Primary";
pub(super) const RECENTLY_PRIMARY: &str = "RecentlyPrimary";
pub(super) const RETIRED: &str = "Retired";
pub(super) const RETIRE_FAILED: &str = "RetireFailed";
const MOST: usize = 10;

#[cfg(test)]
mod tests {
    use super::super::lifetime::Retirement;
    use super::*;

    fn said(stay: Vec<(&str, Hold)>, unretired: Option<&str>) -> String {
        let stay = stay.into_iter().map(|(id, hold)| (id.to_owned(), hold));
        let observed = Observed {
            retires: true,
            retirement: Some(Retirement {
                go: Vec::new(),
                stay: stay.collect(),
            }),
            unretired: unretired.map(str::to_owned),
            ..Observed::test()
        };
        let says = says(&observed).unwrap();
        let holds = if says.holds { "True" } else { "False" };
        format!("{holds} {}: {}", says.reason, says.message)
    }

    #[test]
    fn reasons_by_what_holds_keys_back() {
        let users = |count: usize| {
            let names = (0..count).map(|n| format!("shop/v{n}"));
            Hold::InUse(names.collect())
        };
        assert_eq!(
            said(vec![], None),
            "True Retired: no key that spec.local.retire names is in the keyring any more"
        );
        assert_eq!(
            said(vec![("p", Hold::Primary), ("k", users(2))], None),
            "False InUse: key k is needed by shop/v0, shop/v1; key p wraps new data keys: rotate \
             first, with rotatedSince"
        );
        let many = said(vec![("k", users(12))], None);
        assert!(many.ends_with("shop/v8, shop/v9 and 2 more"), "{many}");
        assert!(
            said(vec![("k", Hold::RecentlyPrimary)], None).starts_with("False RecentlyPrimary")
        );
        assert_eq!(
            said(vec![], Some("forbidden")),
            "False RetireFailed: the keyring was not changed: forbidden"
        );
    }

    #[test]
    fn nothing_is_said_where_nothing_is_to_be_retired() {
        assert_eq!(says(&Observed::test()), None);
    }
}
