use secretvault_crds::{AccessRule, parse_access};
use secretvault_vault::{EntryName, Never, never};
use serde::Deserialize;
use serde_json::Value;

use crate::examine::entry_names;

/// What keeps rules of `spec.access` from ever allowing anything: for whoever writes them. Looks at
/// no value.
///
/// Nothing is said of rules that cannot be read: those are refused.
#[must_use]
pub fn never_matching(spec: &Value) -> Vec<Never> {
    let access = spec.get("access").map(Vec::<AccessRule>::deserialize);
    let Some(Ok(access)) = access else {
        return Vec::new();
    };
    let Ok(rules) = parse_access(&access) else {
        return Vec::new();
    };
    let entries = entry_names(spec).filter_map(|name| EntryName::try_from(name).ok());
    never(&rules, &entries.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(spec: &Value) -> Vec<String> {
        let never = never_matching(spec);
        never.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn entries_of_all_four_maps_count() {
        let rules = |entries: &[&str]| json!([{"entries": ["d/*"]}, {"entries": entries}]);
        for map in ["data", "binaryData", "publicData", "publicBinaryData"] {
            let covered = json!({map: {"d/e": "hunter2"}, "access": rules(&["**"])});
            assert_eq!(said(&covered), [""; 0]);
            let uncovered = json!({map: {"d/e": "hunter2"}, "access": rules(&["e"])});
            let words = "spec.access[1].entries: no entry of this vault is covered, so this rule \
                         allows nothing";
            assert_eq!(said(&uncovered), [words]);
        }
    }

    #[test]
    fn nothing_is_said_where_there_are_no_rules_or_none_that_can_be_read() {
        for access in [
            json!(null),
            json!({}),
            json!([]),
            json!([{"entries": [1]}]),
            json!([{"entries": ["a**"]}, {"serviceAccounts": ["-"]}]),
        ] {
            assert_eq!(
                said(&json!({"data": {"a": "b"}, "access": access})),
                [""; 0]
            );
        }
        assert_eq!(said(&json!({"data": {"a": "b"}})), [""; 0]);
        assert_eq!(said(&json!(null)), [""; 0]);
    }
}
