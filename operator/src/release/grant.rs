//! Fills a plan: public values as they are, and for each sealed one its envelope and *its* key.
//!
//! # Guarantees
//! * The data key is unwrapped here and dropped here. What leaves is one derived key for each
//!   planned entry, and each opens one envelope.
//! * Nothing is unwrapped for a vault of which only public entries were planned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secretvault_audit as audit;
use secretvault_crds::DataKey;
use secretvault_crds::limits::MAX_OVERRIDDEN;
use secretvault_delivery::MAX_MESSAGE_BYTES;
use secretvault_delivery::v1::{self, Grant, GrantedVault, Sealed, file::Content};
use secretvault_envelope::{Dek, Envelope, VaultBinding};
use secretvault_vault::plan::{Notice, Plan, PlannedFile};
use secretvault_vault::{EntryKind, EntryName, FilePath, OnDelete, VaultRef};
use tokio::time::timeout;

use super::denied::Denied;
use super::identity::PodIdentity;
use super::watch::handle;
use crate::consumers::Consumer;
use crate::keys::{self, Providers};
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

/// Turns a plan into a grant.
///
/// # Errors
/// A key is not usable, or what is stored is damaged: then nothing of the volume is granted.
pub(super) async fn fill(
    plan: Plan,
    snapshot: &Snapshot,
    providers: &Providers,
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
        let vault = Opened::open(seen, files, opened.len(), providers).await?;
        granted.grant.vaults.push(vault.granted(handles));
        granted.vaults.push(vault.audited());
        opened.insert(reference.clone(), vault);
    }
    let mut size = 0;
    for file in &plan.files {
        let Some(vault) = opened.get(&file.vault) else {
            continue;
        };
        let file = vault.file(file)?;
        size += content_size(&file);
        if size > MAX_VOLUME_BYTES {
            return Err(Denied::TooLarge {
                limit: MAX_VOLUME_BYTES,
            });
        }
        granted.grant.files.push(file);
    }
    granted.grant.retained = plan.retained.iter().map(FilePath::to_string).collect();
    granted.grant.notices = plan.notices.iter().map(ToString::to_string).collect();
    Ok(granted)
}

/// A vault while its planned entries are given out.
struct Opened<'a> {
    seen: &'a SeenVault,
    index: u32,
    entries: Vec<&'a EntryName>,
    key: Option<OpenedKey<'a>>,
}

/// A vault's data key, for as long as the grant is made.
struct OpenedKey<'a> {
    dek: Dek,
    scope: String,
    wrapped: &'a DataKey,
}

impl<'a> Opened<'a> {
    async fn open(
        seen: &'a SeenVault,
        files: impl Iterator<Item = &'a PlannedFile>,
        index: usize,
        providers: &Providers,
    ) -> Result<Self, Denied> {
        let files: Vec<_> = files.collect();
        let sealed = files.iter().any(|file| file.kind == EntryKind::Secret);
        let key = if sealed {
            Some(OpenedKey::open(seen, providers).await?)
        } else {
            None
        };
        let mut entries: Vec<_> = files.into_iter().map(|file| &file.entry).collect();
        entries.sort_unstable();
        entries.dedup();
        // At most 16 vaults.
        Ok(Self {
            seen,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            entries,
            key,
        })
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
            scope: self
                .key
                .as_ref()
                .map(|key| key.scope.clone())
                .unwrap_or_default(),
            handle: handles.granted(&vault.reference, &vault.uid),
        }
    }

    fn audited(&self) -> audit::Vault {
        let vault = &self.seen.vault;
        let key = self.key.as_ref();
        let entries = self.entries.iter();
        audit::Vault {
            namespace: vault.reference.namespace.as_str().into(),
            name: vault.reference.name.as_str().into(),
            uid: Some(vault.uid.as_str().into()),
            generation: Some(vault.generation),
            key_id: key.map(|key| key.wrapped.key_id.as_str().into()),
            entries: entries.map(|entry| entry.as_str().into()).collect(),
        }
    }

    fn file(&self, file: &PlannedFile) -> Result<v1::File, Denied> {
        let content = match file.kind {
            EntryKind::Public => self
                .seen
                .object
                .spec
                .public(file.entry.as_str())
                .map(Content::Public),
            EntryKind::Secret => self.sealed(&file.entry)?.map(Content::Sealed),
        };
        Ok(v1::File {
            path: file.path.to_string(),
            uid: file.uid,
            gid: file.gid,
            gid_is_default: file.gid_is_default,
            mode: file.mode.bits(),
            vault: self.index,
            entry: file.entry.to_string(),
            content: Some(content.ok_or_else(|| self.damaged(&file.entry))?),
        })
    }

    fn sealed(&self, entry: &EntryName) -> Result<Option<Sealed>, Denied> {
        let (Some(text), Some(key)) = (self.seen.object.spec.secret(entry.as_str()), &self.key)
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

impl<'a> OpenedKey<'a> {
    async fn open(seen: &'a SeenVault, providers: &Providers) -> Result<Self, Denied> {
        let vault = &seen.vault.reference;
        let wrapped = seen.object.spec.data_key.as_ref();
        let wrapped = wrapped.ok_or_else(|| Denied::NoDataKey {
            vault: vault.clone(),
        })?;
        let opening = providers.open(&vault.namespace, &vault.name, wrapped);
        let opened = timeout(KEY_DEADLINE, opening).await;
        let opened = opened.map_err(|_elapsed| Denied::KeyTimeout {
            vault: vault.clone(),
            provider: wrapped.provider.clone(),
        })?;
        let keys::Opened { dek, scope } = opened.map_err(|error| Denied::of_key(vault, error))?;
        Ok(Self {
            dek,
            scope,
            wrapped,
        })
    }
}

fn binding<'a>(scope: &'a str, vault: &'a VaultRef) -> VaultBinding<'a> {
    VaultBinding::new(scope, &vault.namespace, &vault.name)
}

fn content_size(file: &v1::File) -> usize {
    match &file.content {
        Some(Content::Sealed(sealed)) => sealed.envelope.len() + sealed.key.len(),
        Some(Content::Public(bytes)) => bytes.len(),
        None => 0,
    }
}

/// What the paths in one handle may have together.
const MAX_OVERRIDDEN_BYTES: usize = 384;

/// How long a key provider may take for one vault.
const KEY_DEADLINE: Duration = Duration::from_secs(5);

/// What one volume's values may have together: a message, less room for names.
pub(super) const MAX_VOLUME_BYTES: usize = MAX_MESSAGE_BYTES - 4 * 1024 * 1024;
