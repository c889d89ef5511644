//! Who uses a vault, by the word of all replicas together.
//!
//! An agent that changes from one replica to another is known to both for a moment. A pod that is
//! named by both counts once, with the newer of what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::report::{ENVIRONMENT, Named, RESTART, Report, Section, Unnamed};

/// The usage of each vault that has any, by the vault's UID.
pub type Usages = BTreeMap<String, Arc<Usage>>;

/// Who uses one vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pods: BTreeMap<PodName, Use>,
    /// Those whom no replica names.
    unnamed: BTreeMap<Use, u32>,
}

/// Namespace and name of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How a pod uses a vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The generation in its files.
    pub generation: i64,
    /// The generation in its files when it started, if it has made something of it.
    pub since: i64,
    /// Whether its environment is made of it.
    pub env: bool,
    /// Whether it asks to be restarted on changes.
    pub restart: bool,
    /// Its UID, if it has made something of it.
    pub uid: String,
    /// Its node.
    pub node: String,
    /// Paths of the vault's files that it does not have, because of another of its vaults.
    pub overridden: Vec<String>,
}

impl Usage {
    /// How many pods use the vault.
    pub fn count(&self) -> u32 {
        let named = u32::try_from(self.pods.len()).unwrap_or(u32::MAX);
        let unnamed = self.unnamed.values();
        unnamed.fold(named, |sum, count| sum.saturating_add(*count))
    }

    /// The pods that are known by name.
    pub fn pods(&self) -> impl Iterator<Item = (&PodName, &Use)> {
        self.pods.iter()
    }

    /// How each of the others uses it, without name and node, and how many there are.
    pub fn unnamed(&self) -> impl Iterator<Item = (&Use, u32)> {
        self.unnamed.iter().map(|(usage, count)| (usage, *count))
    }

    fn add(&mut self, section: &Section) {
        for named in &section.pods {
            let usage = Use::from(named);
            let known = self.pods.entry(PodName::from(named)).or_default();
            if known.age() <= usage.age() {
                *known = usage;
            }
        }
        for unnamed in &section.more {
            let count = self.unnamed.entry(Use::from(unnamed)).or_default();
            *count = count.saturating_add(unnamed.count);
        }
    }
}

impl Use {
    fn age(&self) -> (i64, i64) {
        (self.generation, self.since)
    }
}

/// Joins what the replicas say.
pub(super) fn merged<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Usages {
    let mut usages: BTreeMap<&str, Usage> = BTreeMap::new();
    for report in reports {
        for (vault_uid, section) in &report.vaults {
            usages.entry(vault_uid).or_default().add(section);
        }
    }
    let usages = usages.into_iter();
    usages
        .map(|(vault_uid, usage)| (vault_uid.to_owned(), Arc::new(usage)))
        .collect()
}

impl From<&Named> for PodName {
    fn from(named: &Named) -> Self {
        Self {
            namespace: named.namespace.clone(),
            name: named.name.clone(),
        }
    }
}

impl From<&Named> for Use {
    fn from(named: &Named) -> Self {
        Self {
            generation: named.generation,
            since: named.since,
            env: named.flags & ENVIRONMENT != 0,
            restart: named.flags & RESTART != 0,
            uid: named.uid.clone(),
            node: named.node.clone(),
            overridden: named.overridden.clone(),
        }
    }
}

impl From<&Unnamed> for Use {
    fn from(unnamed: &Unnamed) -> Self {
        Self {
            generation: unnamed.generation,
            since: unnamed.since,
            env: unnamed.flags & ENVIRONMENT != 0,
            restart: unnamed.flags & RESTART != 0,
            ..Self::default()
        }
    }
}

#[cfg(test)]
impl Usage {
    /// A usage by these pods of the namespace `shop`, as a test writes it.
    pub(crate) fn of(pods: impl IntoIterator<Item = (String, Use)>) -> Self {
        let pods = pods.into_iter().map(|(name, usage)| {
            let namespace = "shop".to_owned();
            (PodName { namespace, name }, usage)
        });
        Self {
            pods: pods.collect(),
            unnamed: BTreeMap::new(),
        }
    }

    /// And so many more, without names.
    pub(crate) fn and(mut self, usage: Use, count: u32) -> Self {
        self.unnamed.insert(usage, count);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Report {
        Report::parse(&format!(r#"{{"version":1,"vaults":{text}}}"#)).unwrap()
    }

    #[test]
    fn pods_of_all_replicas_count() {
        let one = report(
            r#"{"u":{"pods":[["shop","web-0","a",1,0,0,"",[]]],"more":[[1,0,0,5]]},"v":{"more":[[2,1,1,1]]}}"#,
        );
        let other = report(
            r#"{"u":{"pods":[["shop","web-1","b",1,0,0,"",[]]],"more":[[1,0,0,4],[2,0,0,1]]}}"#,
        );
        let usages = merged([&one, &other]);
        assert_eq!(usages["u"].count(), 12);
        assert_eq!(usages["v"].count(), 1);
        assert!(usages["v"].unnamed().all(|(usage, _)| usage.env));
    }

    #[test]
    fn a_pod_that_two_replicas_name_counts_once_with_the_newer_word() {
        let old = report(r#"{"u":{"pods":[["shop","web-0","a",1,0,0,"",[]]]}}"#);
        let new = report(r#"{"u":{"pods":[["shop","web-0","b",2,0,0,"",[]]]}}"#);
        for usages in [merged([&old, &new]), merged([&new, &old])] {
            assert_eq!(usages["u"].count(), 1);
            let (_, usage) = usages["u"].pods().next().unwrap();
            assert_eq!((usage.generation, usage.node.as_str()), (2, "b"));
        }
    }

    #[test]
    fn a_pod_that_was_made_anew_with_its_old_name_counts_as_it_is_now() {
        let pod = |since: u8, uid: &str| {
            let pod = format!(r#"["shop","db-0","a",5,{since},2,"{uid}",[]]"#);
            report(&format!(r#"{{"u":{{"pods":[{pod}]}}}}"#))
        };
        let usages = merged([&pod(5, "new"), &pod(3, "old")]);
        assert_eq!(usages["u"].pods().next().unwrap().1.uid, "new");
    }

    #[test]
    fn counts_do_not_wrap() {
        let many = report(r#"{"u":{"more":[[1,0,0,4294967295]]}}"#);
        assert_eq!(merged([&many, &many])["u"].count(), u32::MAX);
    }
}
