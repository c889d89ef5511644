//! Which entries of which vaults: what was asked for, as far as it is there and allowed.

use std::collections::BTreeMap;

use super::{Choice, Notice, Refusal, Source};
use crate::{
    access::{Allowed, Subject},
    names::{EntryName, FilePath, VaultRef},
    pattern::EntryPattern,
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
    let vaults: Vec<&Allowed<'a>> = usable.iter().map(|(_, vault)| *vault).collect();
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
        let chosen = chosen(wanted, vault, &request.items)?;
        selected.choices.extend(chosen);
    }
    selected.notices.extend(empty_vaults(&vaults));
    selected.notices.extend(idle_globs(request, &vaults));
    selected.vaults = references(&vaults);
    Ok(selected)
}

impl<'a> Selected<'a> {
    /// The vaults that are there and allow the pod something.
    fn usable<'s>(
        &mut self,
        request: &Request,
        subject: &Subject,
        sources: &'s [Source<'a>],
        published: bool,
    ) -> Result<Vec<(&'a RequestedVault, &'s Allowed<'a>)>, Refusal> {
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
    allowed: &Allowed<'a>,
    items: &[Item],
) -> Result<Vec<Choice<'a>>, Refusal> {
    let mut choices = choose(allowed, items);
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
pub(super) fn usable<'s, 'a>(
    source: &'s Source<'a>,
    subject: &Subject,
    whole: bool,
) -> Result<&'s Allowed<'a>, Refusal> {
    let reference = &source.wanted.reference;
    let forbidden = || Refusal::Forbidden {
        account: account(subject),
        vaults: vec![reference.clone()],
        entry: None,
    };
    let Some(allowed) = &source.vault else {
        return Err(if reference.namespace == subject.namespace {
            Refusal::NotFound {
                vaults: vec![reference.clone()],
                entry: None,
            }
        } else {
            forbidden()
        });
    };
    let empty = allowed.vault().entries.is_empty();
    let nothing_of_it = whole && !empty && allowed.entries().next().is_none();
    if !allowed.admits() || nothing_of_it {
        return Err(forbidden());
    }
    Ok(allowed)
}

/// Whether a single entry is in one of the vaults and allowed there. Access is looked at first, so
/// that only who may have an entry learns that it is missing.
fn findable(item: &Item, subject: &Subject, vaults: &[&Allowed<'_>]) -> Result<(), Refusal> {
    let ItemPattern::Entry(entry) = &item.pattern else {
        return Ok(());
    };
    let allowing = vaults.iter().copied().filter(|it| it.allows(entry));
    let allowing: Vec<&Allowed<'_>> = allowing.collect();
    let mut having = allowing.iter().map(|it| &it.vault().entries);
    if having.any(|entries| entries.contains_key(entry)) {
        return Ok(());
    }
    let entry = Some(entry.clone());
    if allowing.is_empty() {
        return Err(Refusal::Forbidden {
            account: account(subject),
            vaults: references(vaults),
            entry,
        });
    }
    Err(Refusal::NotFound {
        vaults: references(&allowing),
        entry,
    })
}

fn references(vaults: &[&Allowed<'_>]) -> Vec<VaultRef> {
    let vaults = vaults.iter().map(|it| it.vault());
    vaults.map(|vault| vault.reference.clone()).collect()
}

/// What the items take of one vault. A single entry's item goes before patterns, and of patterns
/// the first one that covers an entry says how it lands.
fn choose<'a>(allowed: &Allowed<'a>, items: &[Item]) -> Vec<Choice<'a>> {
    let vault = allowed.vault();
    if items.is_empty() {
        let entries = allowed.entries();
        return entries.map(|entry| choice(vault, entry, None)).collect();
    }
    let mut named: BTreeMap<&EntryName, Vec<&Item>> = BTreeMap::new();
    let mut globs: Vec<(&EntryPattern, &Item)> = Vec::new();
    for item in items {
        match &item.pattern {
            ItemPattern::Entry(entry) => named.entry(entry).or_default().push(item),
            ItemPattern::Glob(pattern) => globs.push((pattern, item)),
        }
    }
    let mut choices = Vec::new();
    for entry in allowed.entries() {
        if let Some(exact) = named.get(entry.0) {
            choices.extend(exact.iter().map(|item| choice(vault, entry, Some(*item))));
        } else if let Some((_, item)) = globs.iter().find(|(glob, _)| glob.matches(entry.0)) {
            choices.push(choice(vault, entry, Some(*item)));
        }
    }
    choices
}

fn choice<'a>(
    vault: &'a Vault,
    (entry, kind): (&'a EntryName, EntryKind),
    item: Option<&Item>,
) -> Choice<'a> {
    let of_item = item.and_then(|item| item.path.clone());
    Choice {
        vault,
        entry,
        kind,
        path: of_item.unwrap_or_else(|| vault.path_of(entry)),
        attributes: item.map_or_else(FileAttributes::default, |item| item.attributes),
    }
}

fn empty_vaults(vaults: &[&Allowed<'_>]) -> Vec<Notice> {
    let vaults = vaults.iter().map(|it| it.vault());
    let empty = vaults.filter(|vault| vault.entries.is_empty());
    empty
        .map(|vault| Notice::EmptyVault {
            vault: vault.reference.clone(),
        })
        .collect()
}

fn idle_globs(request: &Request, vaults: &[&Allowed<'_>]) -> Vec<Notice> {
    let covers = |pattern: &EntryPattern| {
        let mut entries = vaults.iter().flat_map(|vault| vault.entries());
        entries.any(|(entry, _)| pattern.matches(entry))
    };
    let wanted = request.items.iter().filter(|item| !item.optional);
    let idle = wanted.filter_map(|item| match &item.pattern {
        ItemPattern::Entry(_) => None,
        ItemPattern::Glob(pattern) => (!covers(pattern)).then(|| pattern.clone()),
    });
    idle.map(|pattern| Notice::Idle { pattern }).collect()
}

fn account(subject: &Subject) -> String {
    format!("{}/{}", subject.namespace, subject.service_account)
}
