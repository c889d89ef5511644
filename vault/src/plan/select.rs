//! Which entries of which vaults: what was asked for, as far as it is there and allowed.

use std::collections::BTreeSet;

use super::{Choice, Refusal, Source};
use crate::{
    access::{Subject, admits, allows, rule_for},
    names::{EntryName, VaultRef},
    request::{Item, ItemPattern, Request},
    vault::{EntryKind, FileAttributes, Vault},
};

/// What was selected, vault by vault in the request's order.
#[derive(Default)]
pub(super) struct Selected<'a> {
    pub(super) vaults: Vec<VaultRef>,
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) notices: Vec<String>,
}

/// Selects. With `published`, nothing that is missing or withdrawn is a refusal.
pub(super) fn select<'a>(
    request: &'a Request,
    subject: &Subject,
    sources: &[Source<'a>],
    published: bool,
) -> Result<Selected<'a>, Refusal> {
    let mut selected = Selected::default();
    let all_optional = !request.items.is_empty() && request.items.iter().all(|i| i.optional);
    let mut vaults = Vec::new();
    for source in sources {
        match usable(source, subject, request.items.is_empty()) {
            Ok(vault) => vaults.push(vault),
            Err(refusal) if published || all_optional => {
                selected.notices.push(refusal.to_string());
            }
            Err(refusal) => return Err(refusal),
        }
    }
    for item in request.items.iter().filter(|_| !vaults.is_empty()) {
        if let Err(refusal) = findable(item, subject, &vaults) {
            if !published && !item.optional {
                return Err(refusal);
            }
            if !item.optional {
                selected.notices.push(refusal.to_string());
            }
        }
    }
    for vault in &vaults {
        selected
            .choices
            .extend(choose(vault, subject, &request.items));
    }
    selected.notices.extend(empty_vaults(&vaults));
    selected
        .notices
        .extend(idle_globs(request, subject, &vaults));
    selected.vaults = vaults
        .into_iter()
        .map(|vault| vault.reference.clone())
        .collect();
    Ok(selected)
}

/// The vault, if it is there and allows the pod something.
fn usable<'a>(source: &Source<'a>, subject: &Subject, whole: bool) -> Result<&'a Vault, Refusal> {
    let own = source.reference.namespace == subject.namespace;
    let forbidden = || Refusal::Forbidden {
        account: account(subject),
        vaults: vec![source.reference.clone()],
        entry: None,
    };
    let Some(vault) = source.vault else {
        return Err(if own {
            Refusal::NotFound {
                vaults: vec![source.reference.clone()],
                entry: None,
            }
        } else {
            forbidden()
        });
    };
    let nothing_of_it = whole
        && !vault.entries.is_empty()
        && !vault
            .entries
            .keys()
            .any(|entry| allows(vault, subject, entry));
    if !admits(vault, subject) || nothing_of_it {
        return Err(forbidden());
    }
    Ok(vault)
}

/// Whether a single entry is in one of the vaults and allowed there. Access is looked at first, so
/// that only who may have an entry learns that it is missing.
fn findable(item: &Item, subject: &Subject, vaults: &[&Vault]) -> Result<(), Refusal> {
    let ItemPattern::Entry(entry) = &item.pattern else {
        return Ok(());
    };
    let allowing: Vec<&&Vault> = vaults
        .iter()
        .filter(|vault| allows(vault, subject, entry))
        .collect();
    if allowing
        .iter()
        .any(|vault| vault.entries.contains_key(entry))
    {
        return Ok(());
    }
    let entry = Some(entry.clone());
    if allowing.is_empty() {
        let vaults = vaults.iter().map(|vault| vault.reference.clone()).collect();
        return Err(Refusal::Forbidden {
            account: account(subject),
            vaults,
            entry,
        });
    }
    let vaults = allowing
        .iter()
        .map(|vault| vault.reference.clone())
        .collect();
    Err(Refusal::NotFound { vaults, entry })
}

/// What the items take of one vault. A single entry's item goes before patterns, and of patterns
/// the first one that covers an entry says how it lands.
fn choose<'a>(vault: &'a Vault, subject: &Subject, items: &'a [Item]) -> Vec<Choice<'a>> {
    let allowed = vault
        .entries
        .iter()
        .filter(|(entry, _)| allows(vault, subject, entry));
    if items.is_empty() {
        return allowed
            .map(|entry| choice(vault, subject, entry, None))
            .collect();
    }
    let named: BTreeSet<&EntryName> = items
        .iter()
        .filter_map(|item| match &item.pattern {
            ItemPattern::Entry(entry) => Some(entry),
            ItemPattern::Glob(_) => None,
        })
        .collect();
    let mut choices = Vec::new();
    for (entry, kind) in allowed {
        if named.contains(entry) {
            let exact = items
                .iter()
                .filter(|item| matches!(&item.pattern, ItemPattern::Entry(name) if name == entry));
            choices.extend(exact.map(|item| choice(vault, subject, (entry, kind), Some(item))));
        } else if let Some(item) = items.iter().find(|item| covers(item, entry)) {
            choices.push(choice(vault, subject, (entry, kind), Some(item)));
        }
    }
    choices
}

fn choice<'a>(
    vault: &'a Vault,
    subject: &Subject,
    (entry, kind): (&'a EntryName, &EntryKind),
    item: Option<&Item>,
) -> Choice<'a> {
    let of_item = item.and_then(|item| item.path.clone());
    Choice {
        vault,
        entry,
        kind: *kind,
        path: of_item.unwrap_or_else(|| vault.path_of(entry)),
        attributes: item.map_or_else(FileAttributes::default, |item| item.attributes),
        rule: rule_for(vault, subject, entry),
    }
}

fn covers(item: &Item, entry: &EntryName) -> bool {
    matches!(&item.pattern, ItemPattern::Glob(pattern) if pattern.matches(entry))
}

fn empty_vaults(vaults: &[&Vault]) -> Vec<String> {
    let empty = vaults.iter().filter(|vault| vault.entries.is_empty());
    empty
        .map(|vault| format!("vault {} has no entries", vault.reference))
        .collect()
}

fn idle_globs(request: &Request, subject: &Subject, vaults: &[&Vault]) -> Vec<String> {
    let idle = request.items.iter().filter(|item| {
        let has = |vault: &Vault| {
            let mut entries = vault.entries.keys();
            entries.any(|entry| covers(item, entry) && allows(vault, subject, entry))
        };
        matches!(item.pattern, ItemPattern::Glob(_))
            && !item.optional
            && !vaults.iter().any(|vault| has(vault))
    });
    idle.map(|item| {
        format!(
            "items: {:?} covers no entry that this pod may have",
            item.pattern.as_str()
        )
    })
    .collect()
}

fn account(subject: &Subject) -> String {
    format!("{}/{}", subject.namespace, subject.service_account)
}
