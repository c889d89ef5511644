//! Who may have which entry.
//!
//! A vault without rules is for the pods of its own namespace, as a Secret is. With rules, a pod
//! may have an entry if at least one rule allows it; a rule allows it if every condition that the
//! rule states holds. The decision looks at names only: whether the entry exists plays no part, so
//! that a refusal tells nothing about it.

use std::collections::BTreeMap;

use crate::{
    names::EntryName,
    pattern::{EntryPattern, NamePattern},
    selector::LabelSelector,
    vault::Vault,
};

/// One rule of a vault's `access`.
///
/// An absent condition restricts nothing, with one exception: without `namespaces` the rule speaks
/// of the vault's own namespace only. Other namespaces are always named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRule {
    /// Service accounts of the pod: one of these.
    pub service_accounts: Option<Vec<NamePattern>>,
    /// Namespaces of the pod: one of these, exactly. Absent: the vault's own.
    pub namespaces: Option<Vec<String>>,
    /// Labels of the pod.
    pub pod_selector: Option<LabelSelector>,
    /// Entries: those that one of these covers.
    pub entries: Option<Vec<EntryPattern>>,
}

impl AccessRule {
    fn allows(&self, vault: &Vault, subject: &Subject, entry: &EntryName) -> bool {
        self.admits(vault, subject)
            && holds(self.entries.as_deref(), |pattern| pattern.matches(entry))
    }

    /// Whether the rule speaks of this pod at all.
    fn admits(&self, vault: &Vault, subject: &Subject) -> bool {
        let namespace = match &self.namespaces {
            None => subject.namespace == vault.reference.namespace,
            Some(namespaces) => namespaces.contains(&subject.namespace),
        };
        namespace
            && holds(self.service_accounts.as_deref(), |p| {
                p.matches(&subject.service_account)
            })
            && self
                .pod_selector
                .as_ref()
                .is_none_or(|s| s.matches(&subject.labels))
    }
}

/// The pod that asks, as the operator reviewed it: never as the agent or the pod's author names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
}

/// Decides whether a pod may have an entry of a vault, if the vault has it.
pub fn allows(vault: &Vault, subject: &Subject, entry: &EntryName) -> bool {
    match &vault.access {
        None => subject.namespace == vault.reference.namespace,
        Some(_) => rule_for(vault, subject, entry).is_some(),
    }
}

/// Decides whether a vault has anything to say to a pod: whether at least one rule is about it,
/// whatever entries it names. To any other pod of another namespace the vault does not exist.
pub fn admits(vault: &Vault, subject: &Subject) -> bool {
    match &vault.access {
        None => subject.namespace == vault.reference.namespace,
        Some(rules) => rules.iter().any(|rule| rule.admits(vault, subject)),
    }
}

/// The index of the first rule that lets a pod have an entry: for the audit line.
///
/// None if no rule does, and for a vault without rules.
pub fn rule_for(vault: &Vault, subject: &Subject, entry: &EntryName) -> Option<usize> {
    vault
        .access
        .as_ref()?
        .iter()
        .position(|rule| rule.allows(vault, subject, entry))
}

fn holds<T>(condition: Option<&[T]>, one_of: impl Fn(&T) -> bool) -> bool {
    condition.is_none_or(|alternatives| alternatives.iter().any(one_of))
}
