//! Fills a plan: public values as they are, and for each sealed one its envelope and *its* key.
//!
//! # Guarantees
//! * No data key leaves. What does is one derived key for each planned entry, and each opens one
//!   envelope.
//! * An entry's content is there once, however many files it has: who asks for one at a thousand
//!   paths gets no larger a message for it than the paths.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secretvault_audit as audit;
use secretvault_crds::limits::MAX_OVERRIDDEN;
use secretvault_delivery::MAX_MESSAGE_BYTES;
use secretvault_delivery::v1::{self, Grant, GrantedVault, Sealed, file::Content};
use secretvault_envelope::{Envelope, VaultBinding};
use secretvault_vault::plan::{Notice, Plan, PlannedFile};
use secretvault_vault::{EntryKind, EntryName, FilePath, OnDelete, VaultRef};

use super::data_keys::DataKeys;
use super::denied::Denied;
use super::identity::PodIdentity;
use super::watch::handle;
use crate::consumers::Consumer;
use crate::keys;
use crate::tls::HandleKeys;
use crate::vaults::SeenVault;

/// The vaults of one decision, as they were when it was made.
pub(super) type Snapshot = BTreeMap<VaultRef, Arc<SeenVault>>;

/// A grant, and what the audit log says of it.
pub(super) struct Granted {
    pub(super) grant: Grant,
    pub(super) vaults: Vec<audit::Vault>,
}

/// What the handles of one volume's vaults are made of, besides the vaults.
#[derive(Clone, Copy)]
pub(super) struct Handles<'a> {
    pub(super) key: &'a HandleKeys,
    pub(super) identity: &'a PodIdentity,
    /// Whether the pod's environment is made of its vaults.
    pub(super) env: bool,
    /// Whether the pod asks to be restarted on changes.
    pub(super) restart: bool,
    /// What is told of the grant.
    pub(super) notices: &'a [Notice],
}

impl Handles<'_> {
    /// Stands for a vault that the volume was granted. Empty: it cannot be watched now.
    fn granted(&self, vault: &VaultRef, uid: &str) -> Vec<u8> {
        let consumer = Consumer {
            vault: vault.clone(),
            vault_uid: uid.to_owned(),
            pod_namespace: self.identity.namespace.clone(),
            pod: self.identity.name.clone(),
            pod_uid: self.identity.uid.clone(),
            node: self.identity.node.clone(),
            env: self.env,
            restart: self.restart,
            overridden: self.overridden(vault),
        };
        handle::write(&consumer, self.key)
    }

    /// Paths of this vault's files that another one's replaced, as many as a status shows.
    fn overridden(&self, vault: &VaultRef) -> Vec<String> {
        let overridden = self.notices.iter().filter_map(Notice::overridden);
        let paths = overridden.filter(|it| it.vault == *vault);
        let mut room = MAX_OVERRIDDEN_BYTES;
        let paths = paths.map(|it| it.path.to_string()).take_while(|path| {
            let fits = path.len() <= room;
            room = room.saturating_sub(path.len());
            fits
        });
        paths.take(MAX_OVERRIDDEN).collect()
    }

    /// Stands for a vault that is not there yet. Empty: it cannot be watched now.
    pub(super) fn awaited(&self, vault: &VaultRef) -> Vec<u8> {
        self.granted(vault, "")
    }
}

/// About how many bytes a plan's grant has, by what is stored: before anything is copied.
///
/// # Errors
/// Its contents are more than a message can carry.
pub(super) fn planned_bytes(plan: &Plan, snapshot: &Snapshot) -> Result<usize, Denied> {
    let (mut contents, mut others) = (0, plan.vaults.len() * VAULT_BYTES);
    let mut counted = BTreeSet::new();
    for file in &plan.files {
        others += file.path.as_str().len() + file.entry.as_str().len() + FILE_BYTES;
        if counted.insert((&file.vault, &file.entry)) {
            contents += stored_len(file, snapshot);
        }
    }
    if contents > MAX_VOLUME_BYTES {
        return Err(Denied::TooLarge {
            limit: MAX_VOLUME_BYTES,
        });
    }
    Ok(contents + others)
}

fn stored_len(file: &PlannedFile, snapshot: &Snapshot) -> usize {
    let Some(seen) = snapshot.get(&file.vault) else {
        return 0;
    };
    let (spec, entry) = (&seen.object.spec, file.entry.as_str());
    let public = || {
        let text = spec.public_data.get(entry);
        text.or_else(|| spec.public_binary_data.get(entry))
    };
    let text = match file.kind {
        EntryKind::Public => public().map(String::as_str),
        EntryKind::Secret => spec.secret(entry),
    };
    text.map_or(0, str::len)
}

/// Turns a plan into a grant, with the data keys that it needs.
///
/// # Errors
/// What is stored is damaged: then nothing of the volume is granted.
pub(super) fn fill(
    plan: &Plan,
    snapshot: &Snapshot,
    keys: &DataKeys,
    handles: &Handles<'_>,
) -> Result<Granted, Denied> {
    let mut granted = Granted {
        grant: Grant::default(),
        vaults: Vec::new(),
    };
    let mut opened = BTreeMap::new();
    for reference in &plan.vaults {
        // A plan names no vault that it was not shown.
        let Some(seen) = snapshot.get(reference) else {
            continue;
        };
        let files = plan.files.iter().filter(|file| file.vault == *reference);
        let vault = Opened::new(seen, files, opened.len(), keys.get(reference));
        granted.grant.vaults.push(vault.granted(handles));
        granted.vaults.push(vault.audited());
        opened.insert(reference, vault);
    }
    granted.grant.files = files(plan, &opened)?;
    granted.grant.retained = plan.retained.iter().map(FilePath::to_string).collect();
    granted.grant.notices = plan.notices.iter().map(ToString::to_string).collect();
    Ok(granted)
}

/// The planned files: of each entry the first with its content, the others with that one's index.
fn files(plan: &Plan, opened: &BTreeMap<&VaultRef, Opened<'_>>) -> Result<Vec<v1::File>, Denied> {
    let mut files = Vec::with_capacity(plan.files.len());
    let mut first = BTreeMap::new();
    for planned in &plan.files {
        let Some(vault) = opened.get(&planned.vault) else {
            continue;
        };
        let content = match first.entry((vault.index, &planned.entry)) {
            Entry::Occupied(index) => Content::SameAs(*index.get()),
            Entry::Vacant(place) => {
                // Some thousands at most.
                place.insert(u32::try_from(files.len()).unwrap_or(u32::MAX));
                vault.content(planned)?
            }
        };
        files.push(vault.file(planned, content));
    }
    Ok(files)
}

/// A vault while its planned entries are given out.
struct Opened<'a> {
    seen: &'a SeenVault,
    index: u32,
    entries: Vec<&'a EntryName>,
    key: Option<&'a keys::Opened>,
}

impl<'a> Opened<'a> {
    fn new(
        seen: &'a SeenVault,
        files: impl Iterator<Item = &'a PlannedFile>,
        index: usize,
        key: Option<&'a keys::Opened>,
    ) -> Self {
        let mut entries: Vec<_> = files.map(|file| &file.entry).collect();
        entries.sort_unstable();
        entries.dedup();
        // At most 16 vaults.
        Self {
            seen,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            entries,
            key,
        }
    }

    fn granted(&self, handles: &Handles<'_>) -> GrantedVault {
        let vault = &self.seen.vault;
        GrantedVault {
            namespace: vault.reference.namespace.clone(),
            name: vault.reference.name.clone(),
            uid: vault.uid.clone(),
            generation: vault.generation,
            on_delete: match vault.on_delete {
                OnDelete::Remove => v1::OnDelete::Remove.into(),
                OnDelete::Retain => v1::OnDelete::Retain.into(),
            },
            scope: self.key.map(|key| key.scope.clone()).unwrap_or_default(),
            handle: handles.granted(&vault.reference, &vault.uid),
        }
    }

    fn audited(&self) -> audit::Vault {
        let vault = &self.seen.vault;
        let wrapped = self.seen.object.spec.data_key.as_ref();
        let wrapped = wrapped.filter(|_| self.key.is_some());
        let entries = self.entries.iter();
        audit::Vault {
            namespace: vault.reference.namespace.as_str().into(),
            name: vault.reference.name.as_str().into(),
            uid: Some(vault.uid.as_str().into()),
            generation: Some(vault.generation),
            key_id: wrapped.map(|wrapped| wrapped.key_id.as_str().into()),
            entries: entries.map(|entry| entry.as_str().into()).collect(),
        }
    }

    fn file(&self, file: &PlannedFile, content: Content) -> v1::File {
        v1::File {
            path: file.path.to_string(),
            uid: file.uid,
            gid: file.gid,
            gid_is_default: file.gid_is_default,
            mode: file.mode.bits(),
            vault: self.index,
            entry: file.entry.to_string(),
            content: Some(content),
        }
    }

    fn content(&self, file: &PlannedFile) -> Result<Content, Denied> {
        let content = match file.kind {
            EntryKind::Public => self
                .seen
                .object
                .spec
                .public(file.entry.as_str())
                .map(Content::Public),
            EntryKind::Secret => self.sealed(&file.entry)?.map(Content::Sealed),
        };
        content.ok_or_else(|| self.damaged(&file.entry))
    }

    fn sealed(&self, entry: &EntryName) -> Result<Option<Sealed>, Denied> {
        let (Some(text), Some(key)) = (self.seen.object.spec.secret(entry.as_str()), self.key)
        else {
            return Ok(None);
        };
        let vault = &self.seen.vault.reference;
        if text.starts_with(secretvault_crds::api::SEALED_FOR_GIT_PREFIX) {
            let (vault, entry) = (vault.clone(), entry.clone());
            return Err(Denied::SealedForGit { vault, entry });
        }
        let Ok(envelope) = text.parse::<Envelope>() else {
            return Ok(None);
        };
        let binding = binding(&key.scope, vault).entry(entry.as_str());
        let entry_key = key.dek.entry_key(&binding, &envelope);
        Ok(Some(Sealed {
            envelope: text.to_owned(),
            key: entry_key.expose().to_vec(),
        }))
    }

    fn damaged(&self, entry: &EntryName) -> Denied {
        let vault = self.seen.vault.reference.clone();
        Denied::DamagedEntry {
            vault,
            entry: entry.clone(),
        }
    }
}

fn binding<'a>(scope: &'a str, vault: &'a VaultRef) -> VaultBinding<'a> {
    VaultBinding::new(scope, &vault.namespace, &vault.name)
}

/// What the paths in one handle may have together.
const MAX_OVERRIDDEN_BYTES: usize = 384;

/// What a file takes in a message besides its content and names: numbers, and a key.
const FILE_BYTES: usize = 96;

/// What a vault takes: names, and a handle.
const VAULT_BYTES: usize = 512;

/// What one volume's values may have together: a message, less room for names.
pub(super) const MAX_VOLUME_BYTES: usize = MAX_MESSAGE_BYTES - 4 * 1024 * 1024;
