//! What holds of access whatever the rules are.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::select};
use secretvault_vault::{
    AccessRule, EntryName, EntryPattern, LabelSelector, NamePattern, NamespaceRule, Operator,
    Requirement, Subject, Vault, allows, names::is_dns_subdomain, never,
};

use crate::fixture::{entry, vault};

pub(crate) const NAMES: [&str; 6] = ["a", "b", "db/a", "db/b", "db/x/a", "a.b/c"];
pub(crate) const PATTERNS: [&str; 8] = ["a", "*", "**", "db/*", "db/**", "**/a", "*/b", "d*/**"];
const ACCOUNTS: [&str; 3] = ["web", "web-1", "batch"];
const ACCOUNT_PATTERNS: [&str; 5] = ["*", "web", "web*", "batch", "-*"];
const NAMESPACES: [&str; 3] = ["shop", "platform", "batch"];
const LABELS: [&str; 2] = ["app", "tier"];
const VALUES: [&str; 3] = ["web", "other", "third"];

fn a_requirement() -> impl Strategy<Value = Requirement> {
    let operators = vec![
        Operator::DoesNotExist,
        Operator::Exists,
        Operator::In,
        Operator::NotIn,
    ];
    // Of the third value nothing is said: a label can always have another one.
    let values = prop::sample::subsequence(VALUES[..2].to_vec(), 1..3);
    (select(LABELS.to_vec()), select(operators), values).prop_map(|(key, operator, values)| {
        let values = match operator {
            Operator::DoesNotExist | Operator::Exists => Vec::new(),
            Operator::In | Operator::NotIn => values.into_iter().map(str::to_owned).collect(),
        };
        Requirement {
            key: key.to_owned(),
            operator,
            values,
        }
    })
}

fn a_selector() -> impl Strategy<Value = LabelSelector> {
    let label = (select(LABELS.to_vec()), select(VALUES[..2].to_vec()));
    (vec(label, 0..2), vec(a_requirement(), 0..4)).prop_map(|(labels, match_expressions)| {
        let labels = labels.into_iter();
        LabelSelector {
            match_labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            match_expressions,
        }
    })
}

/// All labels that an object can have, as far as [`a_selector`] tells them apart.
fn all_labels() -> Vec<BTreeMap<String, String>> {
    let mut all = vec![BTreeMap::new()];
    for key in LABELS {
        let with = |labels: &BTreeMap<String, String>, value: &str| {
            let mut labels = labels.clone();
            labels.insert(key.to_owned(), value.to_owned());
            labels
        };
        let more = all
            .iter()
            .flat_map(|it| VALUES.map(|value| with(it, value)));
        let more: Vec<_> = more.collect();
        all.extend(more);
    }
    all
}

fn some_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    select(all_labels())
}

fn entry_patterns() -> impl Strategy<Value = Vec<EntryPattern>> {
    vec(
        select(PATTERNS.to_vec()).prop_map(|p| p.parse().unwrap()),
        0..3,
    )
}

fn account_patterns() -> impl Strategy<Value = Vec<NamePattern>> {
    vec(
        select(ACCOUNT_PATTERNS.to_vec()).prop_map(|p| p.parse().unwrap()),
        0..3,
    )
}

fn names_of_namespaces() -> impl Strategy<Value = Vec<String>> {
    vec(select(NAMESPACES.to_vec()).prop_map(str::to_owned), 0..3)
}

fn some_namespaces() -> impl Strategy<Value = NamespaceRule> {
    (option::of(names_of_namespaces()), option::of(a_selector()))
        .prop_map(|(names, selector)| NamespaceRule { names, selector })
}

fn a_rule() -> impl Strategy<Value = AccessRule> {
    (
        option::of(account_patterns()),
        option::of(some_namespaces()),
        option::of(a_selector()),
        option::of(entry_patterns()),
    )
        .prop_map(
            |(service_accounts, namespaces, pod_selector, entries)| AccessRule {
                service_accounts,
                namespaces,
                pod_selector,
                entries,
            },
        )
}

pub(crate) fn a_subject() -> impl Strategy<Value = Subject> {
    (
        select(NAMESPACES.to_vec()),
        some_labels(),
        select(ACCOUNTS.to_vec()),
        some_labels(),
    )
        .prop_map(|(namespace, namespace_labels, account, labels)| Subject {
            namespace: namespace.to_owned(),
            namespace_labels,
            service_account: account.to_owned(),
            labels,
        })
}

pub(crate) fn a_vault() -> impl Strategy<Value = Vault> {
    (select(NAMESPACES.to_vec()), option::of(vec(a_rule(), 0..4))).prop_map(|(namespace, rules)| {
        let mut vault = vault(&format!("{namespace}/app"), &NAMES);
        vault.access = rules;
        vault
    })
}

/// What the subject may have of the vault, name by name.
pub(crate) fn granted(vault: &Vault, subject: &Subject) -> Vec<bool> {
    NAMES
        .iter()
        .map(|name| allows(vault, subject, &entry(name)))
        .collect()
}

fn narrower(narrow: &Vault, wide: &Vault, subject: &Subject) -> bool {
    let pairs = granted(narrow, subject)
        .into_iter()
        .zip(granted(wide, subject));
    pairs.into_iter().all(|(narrow, wide)| wide || !narrow)
}

/// Adds names to a rule that has a selector, and no names.
fn add_names(rule: &mut AccessRule, names: &[String]) {
    let selecting = rule.namespaces.as_mut().filter(|it| it.selector.is_some());
    if let Some(namespaces) = selecting.filter(|it| it.names.is_none()) {
        namespaces.names = Some(names.to_vec());
    }
}

/// Adds a selector to a rule that has names, and no selector.
fn add_selector(rule: &mut AccessRule, selector: &LabelSelector) {
    let naming = rule.namespaces.as_mut().filter(|it| it.names.is_some());
    if let Some(namespaces) = naming.filter(|it| it.selector.is_none()) {
        namespaces.selector = Some(selector.clone());
    }
}

/// Every name of at most seven letters, dots and hyphens that a service account can have.
fn all_accounts() -> Vec<String> {
    let mut names = vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..7 {
        let longer = names
            .iter()
            .flat_map(|name| ["a", "-", "."].map(|c| format!("{name}{c}")));
        names = longer.collect();
        let valid = names.iter().filter(|name| is_dns_subdomain(name));
        all.extend(valid.cloned());
    }
    all
}

/// Every pod that [`a_rule`] can tell from another.
fn all_subjects() -> impl Iterator<Item = Subject> {
    let pods = NAMESPACES.into_iter().flat_map(|namespace| {
        let accounts = ACCOUNTS.into_iter();
        accounts.map(move |account| (namespace, account))
    });
    pods.flat_map(|(namespace, account)| {
        let labels = all_labels().into_iter().flat_map(|labels| {
            let others = all_labels().into_iter();
            others.map(move |of_namespace| (labels.clone(), of_namespace))
        });
        labels.map(move |(labels, namespace_labels)| Subject {
            namespace: namespace.to_owned(),
            namespace_labels,
            service_account: account.to_owned(),
            labels,
        })
    })
}

proptest! {
    #[test]
    fn adding_a_condition_to_a_rule_never_widens(
        wide in a_vault(),
        subject in a_subject(),
        accounts in account_patterns(),
        selector in a_selector(),
        names in names_of_namespaces(),
        entries in entry_patterns(),
        which in 0..5_usize,
    ) {
        let mut narrow = wide.clone();
        for rule in narrow.access.iter_mut().flatten() {
            match which {
                0 if rule.service_accounts.is_none() => rule.service_accounts = Some(accounts.clone()),
                1 if rule.pod_selector.is_none() => rule.pod_selector = Some(selector.clone()),
                2 if rule.entries.is_none() => rule.entries = Some(entries.clone()),
                3 => add_names(rule, &names),
                4 => add_selector(rule, &selector),
                _ => {}
            }
        }
        prop_assert!(narrower(&narrow, &wide, &subject));
    }

    /// `namespaces` names others; what it does not name loses. Only the named ones can gain.
    #[test]
    fn naming_namespaces_never_widens_for_those_not_named(
        wide in a_vault(),
        subject in a_subject(),
        namespace in select(NAMESPACES.to_vec()),
    ) {
        prop_assume!(subject.namespace != namespace);
        let mut narrow = wide.clone();
        for rule in narrow.access.iter_mut().flatten().filter(|rule| rule.namespaces.is_none()) {
            let names = Some(vec![namespace.to_owned()]);
            rule.namespaces = Some(NamespaceRule { names, selector: None });
        }
        prop_assert!(narrower(&narrow, &wide, &subject));
    }

    #[test]
    fn removing_a_rule_never_widens(
        wide in a_vault(),
        subject in a_subject(),
        index in any::<prop::sample::Index>(),
    ) {
        let mut narrow = wide.clone();
        if let Some(rules) = narrow.access.as_mut().filter(|rules| !rules.is_empty()) {
            rules.remove(index.index(rules.len()));
        }
        prop_assert!(narrower(&narrow, &wide, &subject));
    }

    #[test]
    fn an_entry_outside_of_every_rule_s_globs_is_never_released(
        mut vault in a_vault(),
        subject in a_subject(),
        globs in entry_patterns(),
    ) {
        for rule in vault.access.get_or_insert_default() {
            rule.entries = Some(globs.clone());
        }
        for name in NAMES {
            let covered = globs.iter().any(|glob| glob.matches(&entry(name)));
            prop_assert!(covered || !allows(&vault, &subject, &entry(name)));
        }
    }

    #[test]
    fn a_selector_is_called_impossible_exactly_if_no_labels_fulfil_it(selector in a_selector()) {
        let possible = all_labels().iter().any(|labels| selector.matches(labels));
        prop_assert_eq!(selector.impossible().is_none(), possible, "{:?}", selector);
    }

    #[test]
    fn a_rule_that_is_said_to_never_match_allows_no_pod_any_entry(rule in a_rule()) {
        let mut vault = vault("shop/app", &NAMES);
        if !never(std::slice::from_ref(&rule), vault.entries.keys()).is_empty() {
            vault.access = Some(vec![rule]);
            for subject in all_subjects() {
                let granted = granted(&vault, &subject);
                prop_assert!(!granted.contains(&true), "{:?} has {:?}", subject, granted);
            }
        }
    }

    /// The names are all that an account can have: there is a letter, and each sign beside letters.
    #[test]
    fn a_pattern_of_accounts_is_said_to_match_none_exactly_if_it_matches_none(
        text in "[a.*-]{1,5}",
    ) {
        let Ok(pattern) = text.parse::<NamePattern>() else { return Ok(()) };
        let rule = AccessRule { service_accounts: Some(vec![pattern.clone()]), ..AccessRule::default() };
        let none: [&EntryName; 0] = [];
        let possible = never(&[rule], none).is_empty();
        let matched = all_accounts().iter().any(|account| pattern.matches(account));
        prop_assert_eq!(possible, matched, "{}", text);
    }
}
