//! What becomes of files that a volume holds and that nothing new replaces.

use std::collections::{BTreeMap, BTreeSet};

use super::{Held, HeldFile, HeldVault, Notice, PlannedFile, Source};
use crate::{
    access::{Allowed, Granted, Subject},
    effort::{MAX_EFFORT, weight},
    layout::Layout,
    names::{EntryName, FilePath, OnDelete, VaultRef},
    vault::Vault,
};

/// Why a held file is or is not behind an entry any more.
enum Fate {
    /// The entry, or the vault, is gone; this is what its vault says about that.
    Gone(OnDelete),
    /// Nothing is gone: the entry lands elsewhere now, or the request does not name it.
    Moved,
    /// The pod may not have the entry any more, whether it exists or not.
    Withdrawn,
}

/// The held paths that stay, and what to tell about the others.
pub(super) fn retain(
    subject: &Subject,
    sources: &[Source<'_>],
    held: &Held,
    layout: &Layout<PlannedFile>,
) -> (Vec<FilePath>, Vec<Notice>) {
    let mut retained = BTreeSet::new();
    let mut notices = Vec::new();
    for file in &held.files {
        let Some(vault) = held.vaults.get(file.vault) else {
            continue;
        };
        let path = &file.path;
        if !layout.clashes(path).is_empty() {
            continue;
        }
        let fate = fate(file, vault, sources, subject);
        let (path, vault) = (path.clone(), vault.reference.clone());
        match fate {
            Fate::Gone(OnDelete::Remove) => notices.push(Notice::Gone { path, vault }),
            Fate::Gone(OnDelete::Retain) => {
                retained.insert(path.clone());
                let entry = file.entry.clone();
                notices.push(Notice::Retained { path, entry, vault });
            }
            Fate::Moved => {}
            Fate::Withdrawn => notices.push(Notice::Withdrawn { path, vault }),
        }
    }
    (retained.into_iter().collect(), notices)
}

/// The held paths that the pod may not have any more: what goes also where nothing else of the
/// volume can be decided, because another of its vaults has no usable key or is damaged.
///
/// `seen` names the vaults as they are now. One that it does not name, or that is behind what the
/// volume holds, withdraws nothing; nor does one whose patterns would take too long to compare, for
/// nobody knows what it allows.
pub fn withdrawn<'v>(
    subject: &Subject,
    seen: impl Fn(&VaultRef) -> Option<&'v Vault>,
    held: &Held,
) -> Vec<FilePath> {
    let judged = held.files.iter().filter_map(|file| {
        let of = held.vaults.get(file.vault)?;
        let vault = seen(&of.reference).filter(|vault| !is_behind(vault, held))?;
        judges(vault, of, subject).then_some((file, vault))
    });
    let judged: Vec<(&HeldFile, &Vault)> = judged.collect();
    let mut names: BTreeMap<&VaultRef, (&Vault, BTreeSet<&EntryName>)> = BTreeMap::new();
    for &(file, vault) in &judged {
        let of_vault = names.entry(&vault.reference);
        let (_, names) = of_vault.or_insert_with(|| (vault, BTreeSet::new()));
        names.insert(&file.entry);
    }
    let names = names.into_iter();
    let lost = names.map(|(reference, (vault, names))| (reference, lost(subject, vault, names)));
    let lost: BTreeMap<&VaultRef, BTreeSet<&EntryName>> = lost.collect();
    let goes = judged.iter().filter(|(file, vault)| {
        let lost = lost.get(&vault.reference);
        lost.is_some_and(|lost| lost.contains(&file.entry))
    });
    goes.map(|(file, _)| file.path.clone()).collect()
}

/// Those of the names that the pod may not have.
fn lost<'n>(
    subject: &Subject,
    vault: &Vault,
    names: BTreeSet<&'n EntryName>,
) -> BTreeSet<&'n EntryName> {
    let granted = Granted::to(subject, vault);
    let texts = names.iter().copied().map(EntryName::as_str);
    if granted.effort(weight(texts)) > MAX_EFFORT {
        return BTreeSet::new();
    }
    let names = names.into_iter();
    names.filter(|name| !granted.allows(name)).collect()
}

/// Whether the volume has seen a later generation of this vault than we have.
pub(super) fn is_behind(vault: &Vault, held: &Held) -> bool {
    held.vaults.iter().any(|held| {
        held.reference == vault.reference
            && held.uid == vault.uid
            && held.generation > vault.generation
    })
}

/// Looks at access first: whether an entry exists is told only to who may have it.
fn fate(file: &HeldFile, held: &HeldVault, sources: &[Source<'_>], subject: &Subject) -> Fate {
    let Some(source) = sources
        .iter()
        .find(|source| source.wanted.reference == held.reference)
    else {
        return Fate::Moved;
    };
    let judge = source.vault();
    let judge = judge.filter(|it| judges(it.vault(), held, subject));
    if judge.is_some_and(|it| !it.allows(&file.entry)) {
        return Fate::Withdrawn;
    }
    let vault = source.vault().map(Allowed::vault);
    match vault.filter(|vault| vault.uid == held.uid) {
        None => Fate::Gone(held.on_delete),
        Some(vault) if vault.entries.contains_key(&file.entry) => Fate::Moved,
        Some(vault) => Fate::Gone(vault.on_delete),
    }
}

/// Whether a vault's rules speak about files of the vault that was held. One that was deleted and
/// created anew is another vault. In the pod's own namespace its rules speak about the old files too; in
/// another namespace it is as if it were not there.
fn judges(vault: &Vault, held: &HeldVault, subject: &Subject) -> bool {
    held.reference.namespace == subject.namespace || vault.uid == held.uid
}
