//! The vaults of a request, and what of each the pod may have: decided once, and before all else.

use std::collections::BTreeSet;

use super::{Held, Refusal, held};
use crate::{
    access::{Allowed, Granted, Subject},
    effort::{MAX_EFFORT, MAX_EFFORT_OF_A_VOLUME, effort, weight},
    names::{EntryName, VaultRef},
    request::{ItemPattern, Request, RequestedVault},
    vault::Vault,
};

/// One vault of the request, with what is known about it.
pub(crate) struct Source<'a> {
    pub(super) wanted: &'a RequestedVault,
    /// The vault, and what of it the pod may have: of its entries, of the names that are asked for,
    /// and of those that the volume holds. None: there is no such vault.
    pub(super) vault: Option<Allowed<'a>>,
}

impl<'a> Source<'a> {
    /// One vault alone. Nothing is decided but about the entries that it has.
    pub(crate) fn alone(
        wanted: &'a RequestedVault,
        vault: Option<&'a Vault>,
        subject: &Subject,
    ) -> Self {
        Self {
            wanted,
            vault: vault.map(|vault| Allowed::to(subject, vault)),
        }
    }

    /// The vault, and what of it the pod may have.
    pub(crate) fn vault(&self) -> Option<&Allowed<'a>> {
        self.vault.as_ref()
    }
}

/// The vaults of a request, decided.
///
/// # Errors
/// One is older than what the volume shows, or to decide would take too long.
pub(super) fn sources<'a, 'v: 'a>(
    request: &'a Request,
    subject: &Subject,
    seen: impl Fn(&VaultRef) -> Option<&'v Vault>,
    held: &'a Held,
) -> Result<Vec<Source<'a>>, Refusal> {
    let seen = |wanted: &RequestedVault| seen(&wanted.reference);
    let vaults: Vec<Option<&Vault>> = request.vaults.iter().map(seen).collect();
    let mut there = vaults.iter().copied().flatten();
    if let Some(vault) = there.find(|vault| held::is_behind(vault, held)) {
        return Err(Refusal::Behind {
            vault: vault.reference.clone(),
        });
    }
    let granted = |vault| Undecided::new(Granted::to(subject, vault), request, held);
    let undecided: Vec<Option<Undecided<'_>>> =
        vaults.into_iter().map(|it| it.map(granted)).collect();
    check_effort(request, &undecided)?;
    let sources = request.vaults.iter().zip(undecided);
    let decided = sources.map(|(wanted, undecided)| Source {
        wanted,
        vault: undecided.map(|it| it.granted.among(it.names)),
    });
    Ok(decided.collect())
}

/// A vault, and the names that it will be asked about.
struct Undecided<'a> {
    granted: Granted<'a>,
    names: BTreeSet<&'a EntryName>,
}

impl<'a> Undecided<'a> {
    fn new(granted: Granted<'a>, request: &'a Request, held: &'a Held) -> Self {
        let vault = granted.vault();
        let items = request.items.iter();
        let asked = items.filter_map(|item| match &item.pattern {
            ItemPattern::Entry(entry) => Some(entry),
            ItemPattern::Glob(_) => None,
        });
        let files = held.files.iter().filter(|file| {
            let of = held.vaults.get(file.vault);
            of.is_some_and(|of| of.reference == vault.reference)
        });
        let entries = vault.entries.keys().chain(asked);
        Self {
            names: entries.chain(files.map(|file| &file.entry)).collect(),
            granted,
        }
    }

    fn weight(&self) -> usize {
        weight(self.names.iter().copied().map(EntryName::as_str))
    }
}

/// Refuses what would take too long to compare, before anything of it is. Only what is about the pod
/// counts, so that it learns nothing of a vault that is not for it.
fn check_effort(request: &Request, vaults: &[Option<Undecided<'_>>]) -> Result<(), Refusal> {
    let items = request.items.iter();
    let globs = weight(items.filter_map(|item| match &item.pattern {
        ItemPattern::Entry(_) => None,
        ItemPattern::Glob(pattern) => Some(pattern.as_str()),
    }));
    let mut total = 0_usize;
    for undecided in vaults.iter().flatten() {
        let granted = &undecided.granted;
        if !granted.admits() {
            continue;
        }
        let entries = granted.vault().weight();
        if granted.effort(entries) > MAX_EFFORT {
            return Err(Refusal::AccessTooLarge {
                vault: granted.vault().reference.clone(),
            });
        }
        let all = granted.effort(undecided.weight());
        total = total.saturating_add(all);
        total = total.saturating_add(effort(globs, entries));
    }
    if total > MAX_EFFORT_OF_A_VOLUME {
        return Err(Refusal::ItemsTooLarge);
    }
    Ok(())
}
