//! What one replica says of its consumers: its key in the ConfigMap `secretvault-consumers`.
//!
//! # Format
//! ```json
//! {"version":1,"vaults":{"VAULT-UID":{
//!   "pods":[["shop","web-0","node-a",7,3,3,"POD-UID",["db/password"]]],
//!   "more":[[7,3,1,200]]}}}
//! ```
//! * `pods`: namespace, name and node of a pod, the generation that it holds, the one it started
//!   with, flags (1: environment, 2: restart), its UID, overridden paths. Without flags the first
//!   generation and the UID say nothing and are 0 and empty: pods that differ in nothing else need
//!   not be told apart.
//! * `more`: generation, first generation and flags of pods that are counted and not named, and how
//!   many there are. Named are those that hold the oldest generations.
//! * `omitted`: how many vaults are left out altogether.
//!
//! What is read comes from whoever may write a ConfigMap: it is parsed strictly, and each limit is
//! there so that nobody makes the leader work or hold more than an honest replica does.

mod row;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::row::{NamedRow, UnnamedRow};
use super::registry::{Consumer, Holding};
use secretvault_crds::limits::MAX_OVERRIDDEN;
use secretvault_vault::FilePath;

/// One replica's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    version: u8,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) omitted: usize,
    pub(super) vaults: BTreeMap<String, Section>,
}

/// What a report says of one vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pods: Vec<Named>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) more: Vec<Unnamed>,
}

/// A pod that is known by its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "NamedRow")]
pub(super) struct Named {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) node: String,
    pub(super) generation: i64,
    /// The generation that it started with.
    pub(super) since: i64,
    pub(super) flags: u8,
    pub(super) uid: String,
    /// Paths.
    pub(super) overridden: Vec<String>,
}

/// Pods that are counted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "UnnamedRow")]
pub(super) struct Unnamed {
    pub(super) generation: i64,
    /// The generation that they started with.
    pub(super) since: i64,
    pub(super) flags: u8,
    pub(super) count: u32,
}

impl Report {
    /// The report of a replica: as many names as fit into so many bytes, and every count.
    ///
    /// # Guarantees
    /// It is not longer. Should even the counts be, the vaults with the fewest consumers are left
    /// out, and it says how many.
    pub(super) fn text(consumers: &BTreeMap<Consumer, Holding>, budget: usize) -> String {
        let all = by_vault(consumers);
        let fitting = NAMES.iter().map(|most| Self::naming(&all, *most).to_json());
        let mut shortest = String::new();
        for text in fitting {
            if text.len() <= budget {
                return text;
            }
            shortest = text;
        }
        Self::of_the_most_used(&all, &shortest, budget)
    }

    /// Parses what somebody wrote.
    ///
    /// # Errors
    /// It is no report that a replica would write. The text is not repeated.
    pub(super) fn parse(text: &str) -> Result<Self, ReportError> {
        if text.len() > MAX_TEXT {
            return Err(ReportError::TooLong);
        }
        let report: Self = serde_json::from_str(text).map_err(|_| ReportError::Malformed)?;
        if report.version != VERSION {
            return Err(ReportError::Version);
        }
        let valid = report
            .vaults
            .iter()
            .all(|(uid, section)| is_name(uid) && section.is_valid());
        valid.then_some(report).ok_or(ReportError::Malformed)
    }

    fn naming(all: &BTreeMap<&str, Vec<Named>>, most: usize) -> Self {
        let vaults = all.iter();
        Self {
            version: VERSION,
            omitted: 0,
            vaults: vaults
                .map(|(uid, pods)| ((*uid).to_owned(), Section::naming(pods, most)))
                .collect(),
        }
    }

    /// Counts alone, of as many vaults as fit.
    fn of_the_most_used(all: &BTreeMap<&str, Vec<Named>>, counts: &str, budget: usize) -> String {
        let mut ranked: Vec<(&str, &Vec<Named>)> = all.iter().map(|(uid, it)| (*uid, it)).collect();
        ranked.sort_by_key(|(_, pods)| std::cmp::Reverse(pods.len()));
        let mut text = counts.to_owned();
        while text.len() > budget && !ranked.is_empty() {
            ranked.truncate(ranked.len() * 3 / 4);
            let kept = ranked.iter().map(|(uid, pods)| (*uid, (*pods).clone()));
            let mut report = Self::naming(&kept.collect(), 0);
            report.omitted = all.len() - ranked.len();
            text = report.to_json();
        }
        text
    }

    fn to_json(&self) -> String {
        // It serializes: text, numbers, and maps with keys of text.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Section {
    /// Names the first ones: they hold the oldest generations.
    fn naming(pods: &[Named], most: usize) -> Self {
        let mut section = Self::default();
        let mut more: BTreeMap<(i64, i64, u8), u32> = BTreeMap::new();
        for pod in pods {
            // A status shows no more of them, but who asks for a restart must be known by name.
            let most = if pod.flags & RESTART == 0 {
                most.min(SHOWN)
            } else {
                most
            };
            if section.pods.len() < most {
                section.pods.push(pod.clone());
            } else {
                let alike = (pod.generation, pod.since, pod.flags);
                *more.entry(alike).or_default() += 1;
            }
        }
        let more = more.into_iter();
        section.more = more
            .map(|((generation, since, flags), count)| Unnamed {
                generation,
                since,
                flags,
                count,
            })
            .collect();
        section
    }

    fn is_valid(&self) -> bool {
        let pods = self.pods.iter().all(Named::is_valid);
        pods && self
            .more
            .iter()
            .all(|it| it.generation >= 0 && it.since >= 0 && it.flags <= FLAGS)
    }
}

impl Named {
    fn of(consumer: &Consumer, holding: Holding) -> Self {
        let env = if consumer.env { ENVIRONMENT } else { 0 };
        let restart = if consumer.restart { RESTART } else { 0 };
        let flags = env | restart;
        let marked = flags != 0;
        Self {
            namespace: consumer.pod_namespace.clone(),
            name: consumer.pod.clone(),
            node: consumer.node.clone(),
            generation: holding.generation,
            since: if marked { holding.since } else { 0 },
            flags,
            uid: if marked {
                consumer.pod_uid.clone()
            } else {
                String::new()
            },
            overridden: consumer.overridden.clone(),
        }
    }

    /// Those with the oldest generation in their files first, then in what they made of them.
    fn order(&self) -> (i64, i64, &str, &str) {
        let since = if self.flags == 0 {
            i64::MAX
        } else {
            self.since
        };
        (self.generation, since, &self.namespace, &self.name)
    }

    fn is_valid(&self) -> bool {
        let names = [&self.namespace, &self.name, &self.node].into_iter();
        let mut paths = self.overridden.iter();
        names.map(String::as_str).all(is_name)
            && self.generation >= 0
            && self.since >= 0
            && self.flags <= FLAGS
            && (self.uid.is_empty() || is_name(&self.uid))
            && self.overridden.len() <= MAX_OVERRIDDEN
            && paths.all(|path| path.parse::<FilePath>().is_ok())
    }
}

/// The consumers of each vault that exists, in the order in which they are named.
fn by_vault(consumers: &BTreeMap<Consumer, Holding>) -> BTreeMap<&str, Vec<Named>> {
    let mut all: BTreeMap<&str, Vec<Named>> = BTreeMap::new();
    for (consumer, holding) in consumers {
        if !consumer.vault_uid.is_empty() {
            let pods = all.entry(&consumer.vault_uid).or_default();
            pods.push(Named::of(consumer, *holding));
        }
    }
    for pods in all.values_mut() {
        pods.sort_by(|one, other| one.order().cmp(&other.order()));
    }
    all
}

/// Whether it looks like a name or a UID of Kubernetes: nothing else is passed on.
fn is_name(text: &str) -> bool {
    let valid =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(valid)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Why a text is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReportError {
    /// It has another form.
    #[error("a report of consumers is malformed")]
    Malformed,
    /// It is longer than a replica's.
    #[error("a report of consumers has more than {MAX_TEXT} bytes")]
    TooLong,
    /// Another version of the operator wrote it.
    #[error("a report of consumers is of another version")]
    Version,
}

pub(super) const ENVIRONMENT: u8 = 1;
pub(super) const RESTART: u8 = 2;
const FLAGS: u8 = ENVIRONMENT | RESTART;
/// As long as an object's name may be.
const MAX_NAME: usize = 253;
/// Above what replicas write, and below what would be work.
const MAX_TEXT: usize = 512 * 1024;
/// How many pods of a vault are named, if there is room.
const NAMES: [usize; 8] = [4096, 1024, 256, 100, 50, 25, 10, 0];
/// How many pods a status names.
const SHOWN: usize = secretvault_crds::limits::MAX_CONSUMERS;
const VERSION: u8 = 1;

#[cfg(test)]
mod tests;
