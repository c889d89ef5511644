//! Who may have which entry.
//!
//! A vault without rules is for the pods of its own namespace, as a Secret is. With rules, a pod
//! may have an entry if at least one rule allows it; a rule allows it if every condition that the
//! rule states holds. The decision looks at names and labels only: whether the entry exists plays no
//! part, so that a refusal tells nothing about it.

mod granted;
mod never;

use std::{collections::BTreeMap, fmt};

use crate::{
    names::{EntryName, VaultRef},
    pattern::{EntryPattern, NamePattern},
    selector::LabelSelector,
    vault::Vault,
};

pub(crate) use granted::{Allowed, Granted};
pub use never::{Never, Why, never};

/// One rule of a vault's `access`.
///
/// An absent condition restricts nothing, with one exception: without `namespaces` the rule speaks
/// of the vault's own namespace only. Other namespaces are always said, by name or by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRule {
    /// Service accounts of the pod: one of these.
    pub service_accounts: Option<Vec<NamePattern>>,
    /// The pod's namespace. Absent: the vault's own.
    pub namespaces: Option<NamespaceRule>,
    /// Labels of the pod.
    pub pod_selector: Option<LabelSelector>,
    /// Entries: those that one of these covers.
    pub entries: Option<Vec<EntryPattern>>,
}

impl AccessRule {
    /// The conditions that keep a pod from having an entry by this rule; none: it may have it.
    pub fn unmet(&self, vault: &Vault, subject: &Subject, entry: &EntryName) -> Vec<Condition> {
        let conditions = Condition::ALL.into_iter();
        let unmet = conditions.filter(|it| !self.meets(*it, vault, subject, entry));
        unmet.collect()
    }

    /// Whether the rule looks at the labels of the pod's namespace.
    pub fn selects_namespaces(&self) -> bool {
        self.namespaces
            .as_ref()
            .is_some_and(|namespaces| namespaces.selector.is_some())
    }

    /// Whether the rule speaks of this pod at all.
    fn admits(&self, vault: &Vault, subject: &Subject) -> bool {
        let mut conditions = Condition::OF_PODS.into_iter();
        conditions.all(|condition| self.is_about(condition, vault, subject))
    }

    fn meets(
        &self,
        condition: Condition,
        vault: &Vault,
        subject: &Subject,
        entry: &EntryName,
    ) -> bool {
        if condition == Condition::Entries {
            return holds(self.entries.as_deref(), |pattern| pattern.matches(entry));
        }
        self.is_about(condition, vault, subject)
    }

    /// Whether a pod fulfils a condition. One on entries is fulfilled by every pod.
    fn is_about(&self, condition: Condition, vault: &Vault, subject: &Subject) -> bool {
        let selects = |selector: Option<&LabelSelector>, labels| {
            selector.is_none_or(|selector| selector.matches(labels))
        };
        let namespaces = self.namespaces.as_ref();
        match condition {
            Condition::Entries => true,
            Condition::NamespaceLabels => selects(
                namespaces.and_then(|it| it.selector.as_ref()),
                &subject.namespace_labels,
            ),
            Condition::Namespaces => match namespaces {
                None => subject.namespace == vault.reference.namespace,
                Some(namespaces) => namespaces.names(&subject.namespace),
            },
            Condition::PodLabels => selects(self.pod_selector.as_ref(), &subject.labels),
            Condition::ServiceAccounts => holds(self.service_accounts.as_deref(), |pattern| {
                pattern.matches(&subject.service_account)
            }),
        }
    }
}

/// The namespaces that a rule is about. What is given must hold; one of the two must be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceRule {
    /// One of these, exactly.
    pub names: Option<Vec<String>>,
    /// Labels of the namespace.
    pub selector: Option<LabelSelector>,
}

impl NamespaceRule {
    /// Whether the namespace is named, or none has to be. A rule that says nothing is no rule for
    /// every namespace.
    fn names(&self, namespace: &String) -> bool {
        match &self.names {
            None => self.selector.is_some(),
            Some(names) => names.contains(namespace),
        }
    }
}

/// A condition that a rule can state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The entry is covered by one of the patterns.
    Entries,
    /// The labels of the pod's namespace.
    NamespaceLabels,
    /// The name of the pod's namespace: one that is named, or the vault's own.
    Namespaces,
    /// The pod's labels.
    PodLabels,
    /// The pod's service account.
    ServiceAccounts,
}

impl Condition {
    /// All of them, those first that are soon told.
    const ALL: [Self; 5] = [
        Self::Namespaces,
        Self::ServiceAccounts,
        Self::PodLabels,
        Self::NamespaceLabels,
        Self::Entries,
    ];

    /// Those that speak of the pod.
    const OF_PODS: [Self; 4] = [
        Self::Namespaces,
        Self::ServiceAccounts,
        Self::PodLabels,
        Self::NamespaceLabels,
    ];

    /// The field of a rule that states it.
    pub fn field(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::NamespaceLabels => "namespaces.selector",
            Self::Namespaces => "namespaces",
            Self::PodLabels => "podSelector",
            Self::ServiceAccounts => "serviceAccounts",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entries => "entries",
            Self::NamespaceLabels => "namespace labels",
            Self::Namespaces => "namespaces",
            Self::PodLabels => "pod labels",
            Self::ServiceAccounts => "service accounts",
        })
    }
}

/// The pod that asks, as the operator reviewed it: never as the agent or the pod's author names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The pod's namespace.
    pub namespace: String,
    /// The labels of that namespace: looked at by rules that select namespaces, and by no other.
    pub namespace_labels: BTreeMap<String, String>,
    /// The pod's service account.
    pub service_account: String,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
}

/// Decides whether a pod may have an entry of a vault, if the vault has it.
pub fn allows(vault: &Vault, subject: &Subject, entry: &EntryName) -> bool {
    Granted::to(subject, vault).allows(entry)
}

/// Decides whether a vault has anything to say to a pod: whether at least one rule is about it,
/// whatever entries it names. To any other pod of another namespace the vault does not exist.
pub fn admits(vault: &Vault, subject: &Subject) -> bool {
    Granted::to(subject, vault).admits()
}

/// The index of the first rule that lets a pod have an entry: for the audit line.
///
/// None if no rule does, and for a vault without rules.
pub fn rule_for(vault: &Vault, subject: &Subject, entry: &EntryName) -> Option<usize> {
    Granted::to(subject, vault).rule_for(entry)
}

/// Whether the labels of the pod's namespace may take part in a decision about these vaults.
///
/// Those of another namespace may have it so whether they are there or not: that one is there and
/// looks at labels must not show in the time that a decision takes, nor in whether there is one.
pub fn needs_namespace_labels<'a, 'v>(
    namespace: &str,
    vaults: impl IntoIterator<Item = &'a VaultRef>,
    seen: impl Fn(&VaultRef) -> Option<&'v Vault>,
) -> bool {
    let mut vaults = vaults.into_iter();
    vaults.any(|vault| vault.namespace != namespace || seen(vault).is_some_and(selects_namespaces))
}

/// Whether a rule of this vault looks at the labels of the pod's namespace.
pub fn selects_namespaces(vault: &Vault) -> bool {
    let mut rules = vault.access.iter().flatten();
    rules.any(AccessRule::selects_namespaces)
}

/// The labels of a namespace of which nothing but the name is known. Every namespace of a cluster has
/// this one, and nobody can change it.
pub fn labels_of_name(namespace: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(NAME_LABEL.to_owned(), namespace.to_owned())])
}

fn holds<T>(condition: Option<&[T]>, one_of: impl Fn(&T) -> bool) -> bool {
    condition.is_none_or(|alternatives| alternatives.iter().any(one_of))
}

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
