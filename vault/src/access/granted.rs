//! What the rules of a vault say to one pod: found out once, and looked up afterwards.
//!
//! There may be thousands of patterns, and as many names. So each rule is asked once whether it is about
//! the pod, and each pattern at most once whether it covers a name.

use std::collections::BTreeMap;

use super::Subject;
use crate::{
    effort::{effort, weight},
    names::EntryName,
    pattern::EntryPattern,
    vault::{EntryKind, Vault},
};

/// What is granted to one pod: the rules that are about it, by the entries that they name.
#[derive(Clone, Debug)]
pub(crate) struct Granted<'a> {
    vault: &'a Vault,
    admits: bool,
    /// The first rule that means every entry. Those after it add nothing.
    every: Option<usize>,
    /// Names, each with the first rule that has it.
    named: BTreeMap<&'a str, usize>,
    /// Patterns with a `*`, in the order of their rules.
    globs: Vec<(usize, &'a EntryPattern)>,
}

/// By what a pod may have an entry.
#[derive(Clone, Copy, Debug)]
enum By {
    /// The vault has no rules, and is of the pod's namespace.
    Namespace,
    /// The first rule that allows it.
    Rule(usize),
}

impl<'a> Granted<'a> {
    /// Asks each rule whether it is about the pod.
    pub(crate) fn to(subject: &Subject, vault: &'a Vault) -> Self {
        let own = subject.namespace == vault.reference.namespace;
        let mut granted = Self {
            vault,
            admits: own && vault.access.is_none(),
            every: None,
            named: BTreeMap::new(),
            globs: Vec::new(),
        };
        let rules = vault.access.iter().flatten().enumerate();
        for (rule, stated) in rules.filter(|(_, stated)| stated.admits(vault, subject)) {
            granted.admits = true;
            let Some(patterns) = &stated.entries else {
                granted.every = Some(rule);
                break;
            };
            for pattern in patterns {
                granted.add(rule, pattern);
            }
        }
        granted
    }

    fn add(&mut self, rule: usize, pattern: &'a EntryPattern) {
        if pattern.glob().is_some() {
            self.globs.push((rule, pattern));
        } else {
            self.named.entry(pattern.as_str()).or_insert(rule);
        }
    }

    /// The vault.
    pub(crate) fn vault(&self) -> &'a Vault {
        self.vault
    }

    /// Whether the vault has anything to say to the pod.
    pub(crate) fn admits(&self) -> bool {
        self.admits
    }

    /// Whether the pod may have an entry, if the vault has it.
    pub(crate) fn allows(&self, entry: &EntryName) -> bool {
        self.by(entry).is_some()
    }

    /// The first rule by which the pod may have an entry.
    pub(crate) fn rule_for(&self, entry: &EntryName) -> Option<usize> {
        self.by(entry).and_then(By::rule)
    }

    /// What it takes to find out about names of this weight.
    pub(crate) fn effort(&self, names: usize) -> usize {
        let globs = self.globs.iter();
        let globs = globs.map(|(_, pattern)| pattern.as_str());
        effort(weight(globs), names)
    }

    /// Finds out which of these names the pod may have.
    pub(crate) fn among(self, names: impl IntoIterator<Item = &'a EntryName>) -> Allowed<'a> {
        let names = names.into_iter();
        let allowed = names.filter_map(|name| Some((name, self.by(name)?)));
        Allowed {
            names: allowed.collect(),
            granted: self,
        }
    }

    fn by(&self, entry: &EntryName) -> Option<By> {
        if self.vault.access.is_none() {
            return self.admits.then_some(By::Namespace);
        }
        let named = self.named.get(entry.as_str()).copied();
        let known = named.into_iter().chain(self.every).min();
        let globs = self.globs.iter();
        let mut earlier = globs.take_while(|(rule, _)| known.is_none_or(|known| *rule < known));
        let covering = earlier.find(|(_, pattern)| pattern.matches(entry));
        covering.map(|(rule, _)| *rule).or(known).map(By::Rule)
    }
}

impl By {
    fn rule(self) -> Option<usize> {
        match self {
            Self::Namespace => None,
            Self::Rule(rule) => Some(rule),
        }
    }
}

/// What of a vault one pod may have, decided.
#[derive(Clone, Debug)]
pub(crate) struct Allowed<'a> {
    granted: Granted<'a>,
    /// The names that it may have.
    names: BTreeMap<&'a EntryName, By>,
}

impl<'a> Allowed<'a> {
    /// Decides about every entry that the vault has.
    pub(crate) fn to(subject: &Subject, vault: &'a Vault) -> Self {
        Granted::to(subject, vault).among(vault.entries.keys())
    }

    /// The vault.
    pub(crate) fn vault(&self) -> &'a Vault {
        self.granted.vault
    }

    /// Whether the vault has anything to say to the pod.
    pub(crate) fn admits(&self) -> bool {
        self.granted.admits
    }

    /// Whether the pod may have an entry, if the vault has it. A name that was not decided about it may
    /// not have.
    pub(crate) fn allows(&self, entry: &EntryName) -> bool {
        self.names.contains_key(entry)
    }

    /// The first rule that allows an entry.
    pub(crate) fn rule_for(&self, entry: &EntryName) -> Option<usize> {
        self.names.get(entry).copied().and_then(By::rule)
    }

    /// The entries that the vault has and the pod may have.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a EntryName, EntryKind)> {
        let entries = self.vault().entries.iter();
        let allowed = entries.filter(move |(entry, _)| self.allows(entry));
        allowed.map(|(entry, kind)| (entry, *kind))
    }
}
