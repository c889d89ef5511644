//! What is told to whoever writes something that is admitted all the same.

use kube::core::DynamicObject;
use secretvault_seal::never_matching;

use crate::words::shortened;

/// As many and as long as the API server passes on; none: no warnings at all.
pub(super) fn passed_on(mut warnings: Vec<String>) -> Option<Vec<String>> {
    let more = warnings.len().saturating_sub(MOST);
    warnings.truncate(MOST);
    if more > 0 {
        warnings.push(format!("and {more} more"));
    }
    let lines = warnings.into_iter();
    let lines: Vec<_> = lines.map(|line| shortened(line, LONGEST)).collect();
    Some(lines).filter(|lines| !lines.is_empty())
}

/// Of a vault: rules that can never allow anything.
pub(super) fn of_vault(vault: &DynamicObject) -> Option<Vec<String>> {
    let never = vault.data.get("spec").map(never_matching);
    let never = never.into_iter().flatten();
    passed_on(never.map(|it| it.to_string()).collect())
}

/// The API server cuts warnings beyond 256 bytes, and drops all beyond 4096 together.
const LONGEST: usize = 256;
const MOST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_few_and_short() {
        let passed_on = passed_on(vec!["x".repeat(1000); 30]).unwrap();
        assert_eq!(passed_on.len(), MOST + 1);
        assert_eq!(passed_on[MOST], "and 20 more");
        let length: usize = passed_on.iter().map(String::len).sum();
        assert!(length < 4096 && passed_on.iter().all(|it| it.len() <= LONGEST));
    }

    #[test]
    fn no_warnings_are_none() {
        assert_eq!(passed_on(Vec::new()), None);
    }
}
