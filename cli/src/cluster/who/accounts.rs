//! Service accounts whose pods could have a vault, whether or not there are such pods.
//!
//! Labels are the choice of whoever creates a pod, so a rule's `podSelector` keeps no account out: it
//! is told beside it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use secretvault_vault::{
    AccessRule, EntryName, LabelSelector, Operator, Requirement, Subject, Vault, allows,
};
use serde::Serialize;

use super::{Target, WIDTH};
use crate::{
    cluster::{
        client::{Blind, Cluster},
        sight::{SeenVault, Sight},
    },
    show::{mask::one_line, table::Row},
};

/// A service account that could have it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    /// As NAMESPACE/NAME.
    pub(super) account: String,
    entries: String,
    by: Vec<String>,
}

/// All service accounts, as namespace and name.
pub(super) async fn list(
    cluster: &Cluster,
    namespace: &str,
    blind: &mut Vec<Blind>,
) -> Vec<(String, String)> {
    let accounts = cluster.wherever::<ServiceAccount>(namespace, blind).await;
    let accounts = accounts.into_iter().filter_map(|account| {
        let metadata = account.metadata;
        Some((metadata.namespace?, metadata.name?))
    });
    accounts.collect()
}

/// Those whose pods could have it.
pub(super) fn that_could(
    accounts: &[(String, String)],
    sight: &Sight,
    target: &Target,
) -> Vec<Account> {
    let Some(seen) = sight.vault(&target.wanted) else {
        return Vec::new();
    };
    let accounts = accounts.iter().filter_map(|(namespace, name)| {
        let subject = Subject {
            namespace: namespace.clone(),
            service_account: name.clone(),
            // What could not be seen is said elsewhere.
            namespace_labels: sight.labels(namespace).unwrap_or_default(),
            ..Subject::default()
        };
        Account::new(seen, &subject, target)
    });
    accounts.collect()
}

impl Account {
    fn new(seen: &SeenVault, subject: &Subject, target: &Target) -> Option<Self> {
        let vault = &seen.vault;
        let entries: Vec<&EntryName> = match &target.entry {
            Some(entry) => vec![entry],
            None => vault.entries.keys().collect(),
        };
        let could = |vault: &Vault| {
            let could = entries.iter().filter(|entry| allows(vault, subject, entry));
            could.count()
        };
        let count = could(&whatever_labels(vault));
        let rules = vault.access.iter().flatten().enumerate();
        let by = rules.filter_map(|(index, rule)| {
            let alone = Vault {
                access: Some(vec![rule.clone()]),
                ..vault.clone()
            };
            let helps = could(&whatever_labels(&alone)) > 0;
            helps.then(|| format!("{}{}", seen.rule(index), condition(rule)))
        });
        (count > 0).then(|| Self {
            account: format!("{}/{}", subject.namespace, subject.service_account),
            entries: format!("{count} of {}", entries.len()),
            by: by.collect(),
        })
    }
}

/// The vault as its rules are for a pod with just the labels that it needs.
fn whatever_labels(vault: &Vault) -> Vault {
    let mut vault = vault.clone();
    for rule in vault.access.iter_mut().flatten() {
        rule.pod_selector = None;
    }
    vault
}

fn condition(rule: &AccessRule) -> String {
    match &rule.pod_selector {
        Some(selector) if *selector != LabelSelector::default() => {
            format!(" (pods with {})", selected(selector))
        }
        Some(_) | None => String::new(),
    }
}

fn selected(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().map(required);
    labels.chain(expressions).collect::<Vec<_>>().join(", ")
}

fn required(requirement: &Requirement) -> String {
    let Requirement {
        key,
        operator,
        values,
    } = requirement;
    let values = values.join(", ");
    match operator {
        Operator::DoesNotExist => format!("no {key}"),
        Operator::Exists => key.clone(),
        Operator::In => format!("{key} in ({values})"),
        Operator::NotIn => format!("{key} not in ({values})"),
    }
}

impl Row for Account {
    const HEADER: &'static [&'static str] = &["SERVICEACCOUNT", "ENTRIES", "BY"];

    fn cells(&self, _: Timestamp) -> Vec<String> {
        let by = if self.by.is_empty() {
            "its namespace: the vault has no rules".to_owned()
        } else {
            self.by.join("; ")
        };
        vec![
            self.account.clone(),
            self.entries.clone(),
            one_line(&by, WIDTH),
        ]
    }
}
