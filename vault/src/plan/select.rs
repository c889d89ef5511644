//! Which entries of which vaults: what was asked for, as far as it is there and allowed.

use std::collections::BTreeSet;

use super::{Choice, Notice, Refusal, Source};
use crate::{
    access::{Subject, admits, allows, rule_for},
    names::{EntryName, FilePath, VaultRef},
    request::{Item, ItemPattern, Request, RequestedVault},
    vault::{EntryKind, FileAttributes, Vault},
};

/// What was selected, vault by vault in the request's order.
#[derive(Default)]
pub(super) struct Selected<'a> {
    pub(super) vaults: Vec<VaultRef>,
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) lacking: Vec<VaultRef>,
    pub(super) awaited: Vec<VaultRef>,
    pub(super) notices: Vec<Notice>,
}

/// Selects. With `published`, nothing that is missing or withdrawn is a refusal.
pub(super) fn select<'a>(
    request: &'a Request,
    subject: &Subject,
    sources: &[Source<'a>],
    published: bool,
) -> Result<Selected<'a>, Refusal> {
    let mut selected = Selected::default();
    let usable = selected.usable(request, subject, sources, published)?;
    let vaults: Vec<&Vault> = usable.iter().map(|(_, vault)| *vault).collect();
    for item in request.items.iter().filter(|_| !vaults.is_empty()) {
        if let Err(refusal) = findable(item, subject, &vaults) {
            if !published && !item.optional {
                return Err(refusal);
            }
            if !item.optional {
                selected.notices.push(Notice::Lacking(refusal));
            }
        }
    }
    for (wanted, vault) in usable {
        let chosen = chosen(wanted, vault, subject, &request.items)?;
        selected.choices.extend(chosen);
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

impl<'a> Selected<'a> {
    /// The vaults that are there and allow the pod something.
    fn usable(
        &mut self,
        request: &Request,
        subject: &Subject,
        sources: &[Source<'a>],
        published: bool,
    ) -> Result<Vec<(&'a RequestedVault, &'a Vault)>, Refusal> {
        let whole = request.items.is_empty();
        let all_optional = !whole && request.items.iter().all(|item| item.optional);
        let mut vaults = Vec::new();
        for source in sources {
            match usable(source, subject, whole) {
                Ok(vault) => vaults.push((source.wanted, vault)),
                Err(refusal) if source.wanted.optional || all_optional => {
                    self.does_without(&source.wanted.reference, refusal);
                }
                Err(refusal) if published => {
                    self.awaits(&source.wanted.reference, &refusal);
                    self.notices.push(Notice::Lacking(refusal));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(vaults)
    }

    fn does_without(&mut self, vault: &VaultRef, refusal: Refusal) {
        self.lacking.push(vault.clone());
        self.awaits(vault, &refusal);
        self.notices.push(Notice::Optional(refusal));
    }

    /// Said of the pod's own namespace only: of another one nobody is told what is missing.
    fn awaits(&mut self, vault: &VaultRef, refusal: &Refusal) {
        if matches!(refusal, Refusal::NotFound { .. }) {
            self.awaited.push(vault.clone());
        }
    }
}

/// What the items take of one vault, and where it lands.
pub(super) fn chosen<'a>(
    wanted: &RequestedVault,
    vault: &'a Vault,
    subject: &Subject,
    items: &'a [Item],
) -> Result<Vec<Choice<'a>>, Refusal> {
    let mut choices = choose(vault, subject, items);
    for choice in &mut choices {
        choice.path = below_prefix(wanted, choice)?;
    }
    Ok(choices)
}

/// Whether the items ask for an entry, if a vault has it.
pub(super) fn asks_for(items: &[Item], entry: &EntryName) -> bool {
    let names = |item: &Item| match &item.pattern {
        ItemPattern::Entry(name) => name == entry,
        ItemPattern::Glob(pattern) => pattern.matches(entry),
    };
    items.is_empty() || items.iter().any(names)
}

fn below_prefix(wanted: &RequestedVault, choice: &Choice<'_>) -> Result<FilePath, Refusal> {
    let Some(prefix) = &wanted.prefix else {
        return Ok(choice.path.clone());
    };
    let path = choice.path.below(prefix);
    path.map_err(|reason| Refusal::PrefixTooLong {
        vault: wanted.reference.clone(),
        entry: choice.entry.clone(),
        reason,
    })
}

/// The vault, if it is there and allows the pod something.
pub(super) fn usable<'a>(
    source: &Source<'a>,
    subject: &Subject,
    whole: bool,
) -> Result<&'a Vault, Refusal> {
    let reference = &source.wanted.reference;
    let forbidden = || Refusal::Forbidden {
        account: account(subject),
        vaults: vec![reference.clone()],
        entry: None,
    };
    let Some(vault) = source.vault else {
        return Err(if reference.namespace == subject.namespace {
            Refusal::NotFound {
                vaults: vec![reference.clone()],
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

fn empty_vaults(vaults: &[&Vault]) -> Vec<Notice> {
    let empty = vaults.iter().filter(|vault| vault.entries.is_empty());
    empty
        .map(|vault| Notice::EmptyVault {
            vault: vault.reference.clone(),
        })
        .collect()
}

fn idle_globs(request: &Request, subject: &Subject, vaults: &[&Vault]) -> Vec<Notice> {
    let has = |vault: &Vault, item: &Item| {
        let mut entries = vault.entries.keys();
        entries.any(|entry| covers(item, entry) && allows(vault, subject, entry))
    };
    let wanted = request.items.iter().filter(|item| !item.optional);
    let idle = wanted.filter_map(|item| match &item.pattern {
        ItemPattern::Entry(_) => None,
        ItemPattern::Glob(pattern) => {
            let idle = !vaults.iter().any(|vault| has(vault, item));
            idle.then(|| pattern.clone())
        }
    });
    idle.map(|pattern| Notice::Idle { pattern }).collect()
}

fn account(subject: &Subject) -> String {
    format!("{}/{}", subject.namespace, subject.service_account)
}
