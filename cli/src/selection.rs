//! What a command is to find at `/run/secrets`: the cluster's own decision, over this machine's
//! vaults.

use std::{collections::BTreeMap, sync::Arc};

use secretvault_vault::{
    EntryName, FileAttributes, FilePath, Held, HeldFile, HeldVault, Notice, PlaceholderError, Plan,
    PlannedFile, Refusal, Request, RequestError, RequestedVault, Subject, Vault, VaultRef,
    labels_of_name, plan, resolve, withdrawn,
};
use secretvault_volume::{Contents, File, PathCollision};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    keys::Keys,
    object::{Object, Unreadable},
    opened::{OpenError, OpenVault},
    store::{Store, StoreError},
};

/// What is asked for, as the command line says it. Names only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// `[namespace/]name`, comma-separated, or a YAML list; a later vault overrides an earlier one.
    pub vaults: String,
    /// Entries, globs, renamed entries, or a YAML list; empty: all.
    pub items: String,
    /// The owner of files that nobody else said one for.
    pub uid: Option<u32>,
    /// Their group.
    pub gid: Option<u32>,
    /// Their mode.
    pub mode: Option<String>,
    /// As whom: access rules speak of it.
    pub namespace: String,
    /// The service account that is stood for.
    pub account: String,
    /// The user's name, for `${user.name}`.
    pub user: String,
}

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As the vault, the items and the command line say.
    AsAsked,
    /// The caller's, whoever was asked for: the kernel lets nobody else own files in a user
    /// namespace.
    Caller {
        /// The caller.
        uid: u32,
        /// Their group.
        gid: u32,
    },
}

/// What was selected.
#[derive(Debug)]
pub struct Selection {
    /// The files, opened.
    pub contents: Vec<(FilePath, File)>,
    /// Held files that stay as they are.
    pub retained: Vec<FilePath>,
    /// What is held then.
    pub held: Held,
    /// What its owner should know, in words without values.
    pub notices: Vec<String>,
}

/// Why there is nothing to write.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// Files that cannot be in one tree.
    #[error(transparent)]
    Collision(#[from] PathCollision),
    /// A mode that is none.
    #[error("--mode: {0}")]
    Mode(secretvault_vault::names::ModeError),
    /// A value does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A placeholder cannot be filled in.
    #[error(transparent)]
    Placeholder(#[from] PlaceholderError),
    /// The decision's own refusals.
    #[error("{words}{hint}")]
    Refused {
        /// What it says.
        words: String,
        /// What was perhaps meant.
        hint: String,
    },
    /// What is asked for cannot be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored vault is damaged.
    #[error("vault {vault}: {reason}")]
    Vault {
        /// The vault.
        vault: VaultRef,
        /// What is wrong with it.
        reason: Box<Unreadable>,
    },
}

/// Selects and opens. `held` is what the command's volume holds already.
///
/// # Errors
/// Nothing may be written then.
pub fn select(
    store: &Store,
    keys: &Keys,
    wish: &Wish,
    owners: Owners,
    held: &Held,
) -> Result<Selection, SelectionError> {
    let request = request(wish)?;
    let shelf = Shelf::load(store, &request)?;
    let subject = subject(wish);
    let seen = |vault: &VaultRef| shelf.vaults.get(vault).map(|(vault, _)| vault);
    let plan =
        plan(&request, &subject, seen, held).map_err(|refusal| refused(store, &shelf, &refusal))?;
    let mut notices = plan.notices.iter().map(told).collect();
    let contents = open(&plan, &shelf, keys, owners, &mut notices)?;
    Ok(Selection {
        held: successor(&plan, &shelf, held),
        retained: plan.retained,
        contents,
        notices,
    })
}

/// What is left of a command's files when nothing else of it can be decided, because another vault
/// is damaged or lacks its key: a right that ended must not wait for that. `None`: all of it.
pub fn without_withdrawn(store: &Store, wish: &Wish, held: &Held) -> Option<Selection> {
    let request = request(wish).ok()?;
    let vaults = request.vaults.into_iter().filter_map(|wanted| {
        let stored = store.read(&wanted.reference).ok()??;
        Some((wanted.reference, stored.object.parse().ok()?))
    });
    let vaults: BTreeMap<VaultRef, Vault> = vaults.collect();
    let gone = withdrawn(&subject(wish), |vault| vaults.get(vault), held);
    if gone.is_empty() {
        return None;
    }
    let mut left = held.clone();
    left.files.retain(|file| !gone.contains(&file.path));
    let notice = |path| format!("{path} goes: its vault no longer allows it");
    Some(Selection {
        contents: Vec::new(),
        retained: left.files.iter().map(|file| file.path.clone()).collect(),
        held: left,
        notices: gone.iter().map(notice).collect(),
    })
}

fn subject(wish: &Wish) -> Subject {
    Subject {
        namespace: wish.namespace.clone(),
        namespace_labels: labels_of_name(&wish.namespace),
        service_account: wish.account.clone(),
        labels: BTreeMap::new(),
    }
}

impl Selection {
    /// The files as a volume's contents, with those that stay taken out of `present`.
    ///
    /// # Errors
    /// Files that cannot be in one tree.
    pub fn into_contents(self, mut present: Contents) -> Result<Contents, PathCollision> {
        let stays = self.retained.into_iter();
        let stays = stays.filter_map(|path| {
            let file = present.take(&path)?;
            Some((path, file))
        });
        Contents::new(self.contents.into_iter().chain(stays.collect::<Vec<_>>()))
    }
}

fn request(wish: &Wish) -> Result<Request, SelectionError> {
    let mode = wish.mode.as_deref().map(str::parse).transpose();
    let defaults = FileAttributes {
        uid: wish.uid,
        gid: wish.gid,
        mode: mode.map_err(SelectionError::Mode)?,
    };
    let items = resolve(&wish.items, &[("user.name", &wish.user)])?;
    Ok(Request::parse(
        &wish.namespace,
        &wish.vaults,
        &items,
        defaults,
    )?)
}

/// The vaults that are asked for, as they are now.
struct Shelf {
    vaults: BTreeMap<VaultRef, (Vault, Object)>,
}

impl Shelf {
    fn load(store: &Store, request: &Request) -> Result<Self, SelectionError> {
        let mut vaults = BTreeMap::new();
        for RequestedVault { reference, .. } in &request.vaults {
            if let Some(stored) = store.read(reference)? {
                let vault = stored.object.parse();
                let vault = vault.map_err(|reason| SelectionError::Vault {
                    vault: reference.clone(),
                    reason: Box::new(reason),
                })?;
                vaults.insert(reference.clone(), (vault, stored.object));
            }
        }
        Ok(Self { vaults })
    }
}

fn open(
    plan: &Plan,
    shelf: &Shelf,
    keys: &Keys,
    owners: Owners,
    notices: &mut Vec<String>,
) -> Result<Vec<(FilePath, File)>, SelectionError> {
    let mut files = Vec::with_capacity(plan.files.len());
    for reference in &plan.vaults {
        let Some((_, object)) = shelf.vaults.get(reference) else {
            continue;
        };
        let vault = OpenVault::open(object, keys)?;
        for planned in plan.files.iter().filter(|it| it.vault == *reference) {
            let content = vault.value(planned.entry.as_str())?;
            // A plan names no entry that the vault does not have.
            let Some(content) = content else { continue };
            let (uid, gid) = owner(planned, owners, notices);
            let mode = planned.mode;
            files.push((
                planned.path.clone(),
                File {
                    uid,
                    gid,
                    mode,
                    content: Arc::new(content),
                },
            ));
        }
    }
    Ok(files)
}

fn owner(planned: &PlannedFile, owners: Owners, notices: &mut Vec<String>) -> (u32, u32) {
    let asked = (planned.uid, planned.gid);
    match owners {
        Owners::AsAsked => asked,
        Owners::Caller { uid, gid } => {
            // Root is what nobody said: it needs no word.
            if asked != (0, 0) && asked != (uid, gid) {
                notices.push(format!(
                    "{} belongs to you ({uid}:{gid}) and not to {}:{}: only root can give files away",
                    planned.path, asked.0, asked.1
                ));
            }
            (uid, gid)
        }
    }
}

/// What is held after the plan was carried out.
fn successor(plan: &Plan, shelf: &Shelf, held: &Held) -> Held {
    let mut next = Held::default();
    for reference in &plan.vaults {
        if let Some((vault, _)) = shelf.vaults.get(reference) {
            next.vaults.push(HeldVault {
                reference: reference.clone(),
                uid: vault.uid.clone(),
                generation: vault.generation,
                on_delete: vault.on_delete,
            });
        }
    }
    for file in &plan.files {
        let vault = next.vaults.iter().position(|it| it.reference == file.vault);
        next.files.extend(vault.map(|vault| HeldFile {
            vault,
            entry: file.entry.clone(),
            path: file.path.clone(),
        }));
    }
    let stays = held
        .files
        .iter()
        .filter(|it| plan.retained.contains(&it.path));
    for file in stays {
        let Some(of) = held.vaults.get(file.vault) else {
            continue;
        };
        let known = next
            .vaults
            .iter()
            .position(|it| it.uid == of.uid && it.reference == of.reference);
        let vault = known.unwrap_or_else(|| {
            next.vaults.push(of.clone());
            next.vaults.len() - 1
        });
        next.files.push(HeldFile {
            vault,
            ..file.clone()
        });
    }
    next
}

/// Adds what was perhaps meant. Whoever asks may read the whole store: nothing has to be hidden.
fn refused(store: &Store, shelf: &Shelf, refusal: &Refusal) -> SelectionError {
    let meant = match refusal {
        Refusal::NotFound {
            entry: Some(entry), ..
        } => {
            let entries = shelf
                .vaults
                .values()
                .flat_map(|(vault, _)| vault.entries.keys());
            let entries = entries.map(EntryName::as_str);
            crate::nearest::nearest(entry.as_str(), entries).map(str::to_owned)
        }
        Refusal::NotFound {
            vaults,
            entry: None,
        }
        | Refusal::Forbidden {
            vaults,
            entry: None,
            ..
        } => {
            let missing = vaults
                .iter()
                .find(|vault| !shelf.vaults.contains_key(*vault));
            missing.and_then(|vault| similar(store, vault))
        }
        Refusal::AccessTooLarge { .. }
        | Refusal::Behind { .. }
        | Refusal::Forbidden { .. }
        | Refusal::ItemsTooLarge
        | Refusal::PathCollision { .. }
        | Refusal::PrefixTooLong { .. } => None,
    };
    let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    let words = words(refusal);
    SelectionError::Refused { words, hint }
}

/// A notice in the words of one machine.
fn told(notice: &Notice) -> String {
    match notice {
        Notice::Lacking(refusal) => words(refusal),
        Notice::Optional(refusal) => format!("optional {}", words(refusal)),
        Notice::EmptyVault { .. }
        | Notice::Gone { .. }
        | Notice::Idle { .. }
        | Notice::Overridden(_)
        | Notice::Retained { .. }
        | Notice::Withdrawn { .. } => notice.to_string(),
    }
}

/// A refusal in the words of one machine, where nobody is a pod.
fn words(refusal: &Refusal) -> String {
    let Refusal::Forbidden {
        account,
        vaults,
        entry,
    } = refusal
    else {
        return refusal.to_string();
    };
    let vaults: Vec<String> = vaults.iter().map(ToString::to_string).collect();
    let vaults = vaults.join(" or ");
    match entry {
        Some(entry) => format!(
            "entry {entry} of vault {vaults} is not allowed to {account}: change the vault's access, or run --as another account"
        ),
        None => format!(
            "vault {vaults} does not exist or allows {account} nothing: change the vault's access, or run --as another account"
        ),
    }
}

/// The name of a stored vault that is like this one.
pub fn similar(store: &Store, vault: &VaultRef) -> Option<String> {
    let names = store.names().ok()?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let known = names.iter().map(String::as_str);
    crate::nearest::nearest(&vault.to_string(), known).map(str::to_owned)
}
