//! Rules that can never allow anything: what whoever writes one should be told.
//!
//! # Guarantees
//! A rule that is named here allows no pod any entry that the vault has, whatever pods, accounts and
//! namespaces there will be.
//!
//! # Caveats
//! What is possible is not what is there: whether an account of a possible name exists is not asked.

use thiserror::Error;

use super::{AccessRule, Condition, NAME_LABEL, NamespaceRule};
use crate::{
    names::{EntryName, is_dns_subdomain},
    pattern::NamePattern,
    selector::{Impossible, LabelSelector, Operator, Requirement},
};

/// A condition that nothing can fulfil.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("spec.access[{rule}].{}: {why}", .condition.field())]
pub struct Never {
    /// The rule's index.
    pub rule: usize,
    /// The condition.
    pub condition: Condition,
    /// Why nothing fulfils it.
    pub why: Why,
}

/// Why nothing fulfils a condition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Why {
    /// Every pattern has a form that no account's name has.
    #[error("no service account can have such a name, so this rule allows nothing")]
    Accounts,
    /// No pattern covers an entry.
    #[error("no entry of this vault is covered, so this rule allows nothing")]
    Entries,
    /// No labels fulfil the selector.
    #[error("{0}, so this rule allows nothing")]
    Labels(#[from] Impossible),
}

/// What keeps rules of a vault from ever allowing anything, rule by rule.
///
/// A vault without entries has no rule that covers none: they are still to come.
pub fn never<'a, E>(rules: &[AccessRule], entries: E) -> Vec<Never>
where
    E: IntoIterator<Item = &'a EntryName>,
{
    let entries: Vec<&EntryName> = entries.into_iter().collect();
    let rules = rules.iter().enumerate();
    let never = rules.flat_map(|(index, rule)| {
        impossible(rule, &entries).map(move |(condition, why)| Never {
            rule: index,
            condition,
            why,
        })
    });
    never.collect()
}

fn impossible(rule: &AccessRule, entries: &[&EntryName]) -> impl Iterator<Item = (Condition, Why)> {
    let labels = |selector: &LabelSelector| selector.impossible().map(Why::from);
    let namespaces = rule.namespaces.as_ref().and_then(impossible_namespace);
    let pod_labels = rule.pod_selector.as_ref().and_then(labels);
    let conditions = [
        accounts(rule).map(|why| (Condition::ServiceAccounts, why)),
        namespaces.map(|why| (Condition::NamespaceLabels, why.into())),
        pod_labels.map(|why| (Condition::PodLabels, why)),
        covered(rule, entries).map(|why| (Condition::Entries, why)),
    ];
    conditions.into_iter().flatten()
}

fn accounts(rule: &AccessRule) -> Option<Why> {
    let patterns = rule.service_accounts.as_ref()?;
    let possible = patterns.iter().any(can_name_an_account);
    (!possible).then_some(Why::Accounts)
}

/// Whether a name that an object can have is covered. If any is, then one with a letter for each
/// star: a letter may stand beside everything, and is no longer than its star.
fn can_name_an_account(pattern: &NamePattern) -> bool {
    is_dns_subdomain(&pattern.as_str().replace('*', "a"))
}

fn covered(rule: &AccessRule, entries: &[&EntryName]) -> Option<Why> {
    let patterns = rule.entries.as_ref()?;
    let covers = |entry: &&EntryName| patterns.iter().any(|pattern| pattern.matches(entry));
    (!entries.is_empty() && !entries.iter().any(covers)).then_some(Why::Entries)
}

/// Judges the labels together with the name, which is a label of every namespace.
fn impossible_namespace(namespaces: &NamespaceRule) -> Option<Impossible> {
    let selector = namespaces.selector.as_ref()?;
    let (operator, values) = match &namespaces.names {
        None => (Operator::Exists, Vec::new()),
        Some(names) => (Operator::In, names.clone()),
    };
    let name = Requirement {
        key: NAME_LABEL.to_owned(),
        operator,
        values,
    };
    let mut named = selector.clone();
    named.match_expressions.push(name);
    named.impossible()
}
