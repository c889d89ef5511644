//! Whether the API server's audit log holds what people apply: at the levels Request and
//! RequestResponse it does, before any webhook has sealed it.
//!
//! The policy lies on the control plane's disk and cannot be seen through the API. What can be seen is
//! how often each level was used, since the API server that answers began; and a policy's file can be
//! judged.

use std::{fs::File, path::Path};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{Finding, Patient, scrape::sum};
use crate::{files, yaml};

/// What the API server's own metrics say.
pub(super) async fn levels(patient: &Patient<'_>) -> Finding {
    match patient.cluster.text("/metrics").await {
        Ok(text) => counted(&text),
        Err(blind) => Finding::unseen(
            CHECK,
            format!("{blind}, so which levels are in use cannot be seen: {JUDGE}"),
        ),
    }
}

fn counted(metrics: &str) -> Finding {
    let count = |level: &str| {
        let label = format!("level=\"{level}\"");
        sum(metrics, "apiserver_audit_level_total", &label).unwrap_or_default()
    };
    let (bodies, others) = (
        count("Request") + count("RequestResponse"),
        count("Metadata") + count("None"),
    );
    if bodies > 0.0 {
        return Finding::warning(
            CHECK,
            format!(
                "the API server has logged {bodies} requests with their bodies: whether those of \
                 vaults are among them, with plain values, cannot be seen from here; {JUDGE}"
            ),
        );
    }
    if others > 0.0 {
        return Finding::good(
            CHECK,
            format!(
                "since it began, the API server that answers has logged no request with its body \
                 ({others} without); of others nothing is known"
            ),
        );
    }
    let text = format!("the API server that answers keeps no audit log; of others: {JUDGE}");
    Finding::unseen(CHECK, text)
}

/// An audit policy, as far as it is about vaults.
#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    kind: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Policy {
    /// Reads a policy's file.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let place = || path.display().to_string();
        let text = File::open(path).and_then(|file| files::read(file, MAX_FILE));
        Self::parse(&text.with_context(place)?).with_context(place)
    }

    fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let documents = yaml::read_documents(text)?;
        let [document] = documents.as_slice() else {
            bail!("it holds {} documents, and must hold one", documents.len());
        };
        let policy = Self::deserialize(&document.value).ok();
        match policy.filter(|policy| policy.kind == "Policy") {
            Some(policy) => Ok(policy),
            None => bail!("it is no audit policy of audit.k8s.io"),
        }
    }

    /// What the policy does with the writes of vaults.
    pub(super) fn judged(&self) -> Finding {
        let mut worst: Option<(usize, &str)> = None;
        for verb in ["create", "update", "patch"] {
            let rule = self.logs_body(verb);
            worst = worst.or(rule.map(|rule| (rule, verb)));
        }
        match worst {
            None => Finding::good(
                POLICY,
                "no rule logs the body of a request that writes a vault",
            ),
            Some((rule, verb)) => Finding::wrong(
                POLICY,
                format!(
                    "rules[{rule}] logs {verb} of secretvaults with its body: every value that is \
                     applied, in plain; put a rule with level Metadata for secretvault.dev first"
                ),
            ),
        }
    }

    /// The first rule that logs the body of such a request, of whomever and wherever. The first rule
    /// that matches decides, and one that speaks of everybody ends the search.
    fn logs_body(&self, verb: &str) -> Option<usize> {
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(always) = rule.matches(verb) else {
                continue;
            };
            if rule.level > Level::Metadata {
                return Some(index);
            }
            if always {
                return None;
            }
        }
        None
    }
}

impl Rule {
    /// Whether it matches a write of a vault: none do (None), some (false), all (true).
    fn matches(&self, verb: &str) -> Option<bool> {
        let of_verb = self.verbs.is_empty() || self.verbs.iter().any(|it| it == verb);
        if !of_verb || (self.resources.is_empty() && !self.non_resource_urls.is_empty()) {
            return None;
        }
        let ours: Vec<&Resources> = self
            .resources
            .iter()
            .filter(|it| it.is_of_vaults())
            .collect();
        if !self.resources.is_empty() && ours.is_empty() {
            return None;
        }
        let whole = ours.is_empty() || ours.iter().any(|it| it.resource_names.is_empty());
        let everybody = self.users.is_empty() && self.user_groups.is_empty();
        Some(whole && everybody && self.namespaces.is_empty())
    }
}

impl Resources {
    fn is_of_vaults(&self) -> bool {
        let named = self
            .resources
            .iter()
            .any(|it| it == "secretvaults" || it == "*");
        self.group == "secretvault.dev" && (self.resources.is_empty() || named)
    }
}

const CHECK: &str = "api server audit";
const POLICY: &str = "audit policy";
const JUDGE: &str = "give the policy's file with --audit-policy";

/// Larger than any policy.
const MAX_FILE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::doctor::State;

    #[test]
    fn counted_levels_say_whether_bodies_are_logged() {
        let metrics = |level: &str| format!("apiserver_audit_level_total{{level=\"{level}\"}} 3\n");
        for (text, state) in [
            (String::new(), State::Unseen),
            (metrics("Metadata"), State::Good),
            (metrics("Request"), State::Warning),
            (
                metrics("Metadata") + &metrics("RequestResponse"),
                State::Warning,
            ),
        ] {
            assert_eq!(counted(&text).state, state, "{text}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let ours = "{level: Metadata, resources: [{group: secretvault.dev}]}";
        let named =
            "{level: Metadata, resources: [{group: secretvault.dev, resources: [secretvaults]}]}";
        for (rules, state) in [
            ("", State::Good),
            ("{level: Request}", State::Wrong),
            (
                "{level: RequestResponse, resources: [{group: secretvault.dev}]}",
                State::Wrong,
            ),
            ("{level: Request, resources: [{group: apps}]}", State::Good),
            ("{level: Request, nonResourceURLs: ['*']}", State::Good),
            ("{level: Request, verbs: [get, list]}", State::Good),
            ("{level: Request, verbs: [patch]}", State::Wrong),
            (&format!("{ours}, {{level: Request}}"), State::Good),
            (&format!("{named}, {{level: Request}}"), State::Good),
            (&format!("{{level: Request}}, {ours}"), State::Wrong),
            // A rule that spares some does not spare all.
            (
                "{level: None, users: [admin]}, {level: Request}",
                State::Wrong,
            ),
            (
                "{level: None, namespaces: [shop]}, {level: Request}",
                State::Wrong,
            ),
            (
                "{level: Metadata, resources: [{group: secretvault.dev, resourceNames: [app], \
                 resources: [secretvaults]}]}, {level: Request}",
                State::Wrong,
            ),
            ("{level: None}, {level: Request}", State::Good),
        ] {
            let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{rules}]\n");
            let policy = Policy::parse(text.as_bytes()).unwrap();
            assert_eq!(policy.judged().state, state, "{rules}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for text in ["", "kind: Pod\n", "kind: Policy\nrules: [{level: All}]\n"] {
            assert!(Policy::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
