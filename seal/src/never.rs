use secretvault_crds::limits::{MAX_ACCESS_RULES, MAX_ALTERNATIVES, MAX_SELECTOR_TERMS};
use secretvault_crds::{AccessRule, LabelSelector, parse_access};
use secretvault_vault::effort::{MAX_EFFORT, effort, weight};
use secretvault_vault::{EntryName, EntryPattern, Never, never};
use serde::Deserialize;
use serde_json::Value;

use crate::examine::entry_names;

/// What keeps rules of `spec.access` from ever allowing anything: for whoever writes them. Looks at
/// no value.
///
/// Nothing is said of rules that cannot be read or are beyond a limit: those are refused.
#[must_use]
pub fn never_matching(spec: &Value) -> Vec<Never> {
    let access = spec.get("access").map(Vec::<AccessRule>::deserialize);
    let Some(Ok(access)) = access else {
        return Vec::new();
    };
    if access.len() > MAX_ACCESS_RULES || !access.iter().all(is_within_limits) {
        return Vec::new();
    }
    let Ok(rules) = parse_access(&access) else {
        return Vec::new();
    };
    let entries = entry_names(spec).filter_map(|name| EntryName::try_from(name).ok());
    let entries: Vec<EntryName> = entries.collect();
    let patterns = rules.iter().filter_map(|rule| rule.entries.as_ref());
    let globs = weight(patterns.flatten().filter_map(EntryPattern::glob));
    let names = weight(entries.iter().map(EntryName::as_str));
    if effort(globs, names) > MAX_EFFORT {
        return Vec::new();
    }
    never(&rules, &entries)
}

/// Whether a rule has as much as the schema lets it have, which looks at it after admission.
fn is_within_limits(rule: &AccessRule) -> bool {
    let few = |list: Option<&Vec<String>>| list.is_none_or(|it| it.len() <= MAX_ALTERNATIVES);
    let namespaces = rule.namespaces.as_ref();
    let selectors = [
        rule.pod_selector.as_ref(),
        namespaces.and_then(|it| it.selector.as_ref()),
    ];
    few(rule.service_accounts.as_ref())
        && few(rule.entries.as_ref())
        && few(namespaces.and_then(|it| it.names.as_ref()))
        && selectors.into_iter().flatten().all(selects_within_limits)
}

fn selects_within_limits(selector: &LabelSelector) -> bool {
    let (labels, expressions) = (&selector.match_labels, &selector.match_expressions);
    let mut values = expressions.iter().map(|it| it.values.len());
    labels.len() <= MAX_SELECTOR_TERMS
        && expressions.len() <= MAX_SELECTOR_TERMS
        && values.all(|count| count <= MAX_ALTERNATIVES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
    fn nothing_is_said_of_rules_beyond_a_limit() {
        let of = |rule: Value, count: usize| {
            let rules = vec![rule; count];
            json!({"data": {"d": ""}, "access": rules})
        };
        let many = |count: usize| vec!["e"; count];
        assert_eq!(said(&of(json!({"entries": many(64)}), 64)).len(), 64);
        assert_eq!(said(&of(json!({"entries": many(65)}), 64)), [""; 0]);
        assert_eq!(said(&of(json!({"entries": many(64)}), 65)), [""; 0]);
        let expressions = |count: usize, values: usize| {
            let expression = json!({"key": "-", "operator": "In", "values": many(values)});
            json!({"podSelector": {"matchExpressions": vec![expression; count]}})
        };
        assert_eq!(said(&of(expressions(32, 64), 1)).len(), 1);
        assert_eq!(said(&of(expressions(33, 64), 1)), [""; 0]);
        assert_eq!(said(&of(expressions(32, 65), 1)), [""; 0]);
    }

    #[test]
    fn nothing_is_said_of_patterns_that_would_take_too_long() {
        let patterns = vec![format!("*{}", "x".repeat(241)); 15];
        let with_entries = |count: usize| {
            let names = (0..count).map(|name| (format!("{name:0242}"), ""));
            let names: BTreeMap<String, &str> = names.collect();
            json!({"data": names, "access": [{"entries": patterns}]})
        };
        assert_eq!(said(&with_entries(160)).len(), 1);
        assert_eq!(said(&with_entries(161)), [""; 0]);
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
