//! Every combination of conditions in a rule, and every pair of such rules.

use secretvault_vault::{
    AccessRule, Condition, EntryName, Subject, Vault, admits, allows, rule_for,
};

use crate::fixture::{RuleWords, VaultWords, anyone, entry, pod, vault};

/// How a rule has one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Fails,
    Holds,
}

const STATES: [State; 3] = [State::Absent, State::Fails, State::Holds];

/// A rule, and what it must come to for one pod and one entry.
#[derive(Clone, Debug)]
struct Case {
    rule: AccessRule,
    unmet: Vec<Condition>,
}

impl Case {
    fn allows(&self) -> bool {
        self.unmet.is_empty()
    }

    fn admits(&self) -> bool {
        let mut unmet = self.unmet.iter();
        unmet.all(|condition| *condition == Condition::Entries)
    }
}

/// What a case is about: the account `web`, with the label `app=web`.
fn subject(namespace: &str) -> Subject {
    pod(namespace, "web")
}

fn asked() -> EntryName {
    entry("db/password")
}

/// All rules for a pod of this namespace, where the vault is in `shop`.
fn cases(namespace: &str) -> Vec<Case> {
    let mut cases = vec![Case {
        rule: anyone(),
        unmet: Vec::new(),
    }];
    let conditions = [
        Condition::Entries,
        Condition::NamespaceLabels,
        Condition::Namespaces,
        Condition::PodLabels,
        Condition::ServiceAccounts,
    ];
    for condition in conditions {
        cases = cases
            .iter()
            .flat_map(|case| STATES.map(|state| with(case, condition, state, namespace)))
            .collect();
    }
    for case in &mut cases {
        // The one condition that holds without being stated: the vault's own namespace.
        if case.rule.namespaces.is_none() && namespace != "shop" {
            case.unmet.push(Condition::Namespaces);
        }
        case.unmet.sort_unstable();
    }
    cases
}

fn with(case: &Case, condition: Condition, state: State, namespace: &str) -> Case {
    let Case { rule, mut unmet } = case.clone();
    let rule = match (condition, state) {
        (_, State::Absent) => rule,
        (Condition::Entries, State::Fails) => rule.to(&["db/*/x", "smtp/**"]),
        (Condition::Entries, State::Holds) => rule.to(&["smtp/**", "**/password"]),
        (Condition::NamespaceLabels, State::Fails) => rule.where_labelled("team", "none"),
        (Condition::NamespaceLabels, State::Holds) => rule.where_labelled("team", namespace),
        (Condition::Namespaces, State::Fails) => rule.from(&["none", "sho", "batc"]),
        (Condition::Namespaces, State::Holds) => rule.from(&["none", namespace]),
        (Condition::PodLabels, State::Fails) => rule.labelled("app", "none"),
        (Condition::PodLabels, State::Holds) => rule.labelled("app", "web"),
        (Condition::ServiceAccounts, State::Fails) => rule.accounts(&["we", "web-*", "b*"]),
        (Condition::ServiceAccounts, State::Holds) => rule.accounts(&["none", "w*b"]),
    };
    if state == State::Fails {
        unmet.push(condition);
    }
    Case { rule, unmet }
}

fn with_rules(rules: &[&Case]) -> Vault {
    let rules = rules.iter().map(|case| case.rule.clone());
    rules.fold(vault("shop/app", &["db/password"]), VaultWords::with_rule)
}

#[test]
fn a_rule_allows_exactly_if_none_of_its_conditions_fails() {
    for namespace in ["shop", "batch"] {
        let subject = subject(namespace);
        let cases = cases(namespace);
        assert_eq!(cases.len(), 3_usize.pow(5));
        for case in &cases {
            let vault = with_rules(&[case]);
            let mut unmet = case.rule.unmet(&vault, &subject, &asked());
            unmet.sort_unstable();
            assert_eq!(unmet, case.unmet, "{namespace}: {:?}", case.rule);
            let allowed = allows(&vault, &subject, &asked());
            assert_eq!(allowed, case.allows(), "{namespace}: {:?}", case.rule);
            let admitted = admits(&vault, &subject);
            assert_eq!(admitted, case.admits(), "{namespace}: {:?}", case.rule);
        }
    }
}

#[test]
fn of_two_rules_either_suffices_and_the_first_that_allows_is_named() {
    for namespace in ["shop", "batch"] {
        let subject = subject(namespace);
        let cases = cases(namespace);
        for one in &cases {
            for other in &cases {
                let pair = [one, other];
                let vault = with_rules(&pair);
                let named = rule_for(&vault, &subject, &asked());
                let expected = pair.iter().position(|case| case.allows());
                assert_eq!(named, expected, "{namespace}: {pair:?}");
                let admitted = admits(&vault, &subject);
                let expected = pair.iter().any(|case| case.admits());
                assert_eq!(admitted, expected, "{namespace}: {pair:?}");
            }
        }
    }
}
