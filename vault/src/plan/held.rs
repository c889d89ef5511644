//! What becomes of files that a volume holds and that nothing new replaces.

use std::collections::BTreeSet;

use super::{Held, HeldFile, HeldVault, Notice, PlannedFile, Source};
use crate::{
    access::{Subject, allows},
    layout::Layout,
    names::{FilePath, OnDelete, VaultRef},
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
/// volume holds, withdraws nothing.
pub fn withdrawn<'v>(
    subject: &Subject,
    seen: impl Fn(&VaultRef) -> Option<&'v Vault>,
    held: &Held,
) -> Vec<FilePath> {
    let goes = held.files.iter().filter(|file| {
        held.vaults.get(file.vault).is_some_and(|of| {
            let vault = seen(&of.reference);
            !vault.is_some_and(|vault| is_behind(vault, held))
                && is_withdrawn(file, of, vault, subject)
        })
    });
    goes.map(|file| file.path.clone()).collect()
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
    if is_withdrawn(file, held, source.vault, subject) {
        return Fate::Withdrawn;
    }
    match source.vault.filter(|vault| vault.uid == held.uid) {
        None => Fate::Gone(held.on_delete),
        Some(vault) if vault.entries.contains_key(&file.entry) => Fate::Moved,
        Some(vault) => Fate::Gone(vault.on_delete),
    }
}

/// A vault that was deleted and created anew is another vault. In the pod's own namespace its rules
/// speak about the old files too; in another namespace it is as if it were not there.
fn is_withdrawn(
    file: &HeldFile,
    held: &HeldVault,
    vault: Option<&Vault>,
    subject: &Subject,
) -> bool {
    let own = held.reference.namespace == subject.namespace;
    let judge = vault.filter(|vault| own || vault.uid == held.uid);
    judge.is_some_and(|vault| !allows(vault, subject, &file.entry))
}
