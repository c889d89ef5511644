//! A replica that is behind: it waits a moment before it takes away, and before it refuses.
//!
//! Each replica decides by its own view of the vaults, which lags behind what is stored. Two
//! decisions must not be made of a lag: that a vault was deleted, which takes files from a running
//! pod, and that one does not exist or allows nothing, which a person reads in an Event of a pod
//! that was applied together with its vault.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use kube::api::Api;
use secretvault_crds::SecretVault;
use secretvault_vault::plan::HeldVault;
use secretvault_vault::{Vault, VaultRef};
use tokio::time::Instant;

use super::asked::Asked;
use super::grant::Snapshot;
use crate::vaults::{Fault, Seen, Vaults};

/// The vaults of one request, all as of one moment.
pub(super) struct Sight(BTreeMap<VaultRef, Seen>);

impl Sight {
    /// Looks now.
    pub(super) fn of<'a>(
        vaults: &Vaults,
        references: impl IntoIterator<Item = &'a VaultRef>,
    ) -> Self {
        let seen = references.into_iter().filter_map(|reference| {
            let seen = vaults.seen(reference)?;
            Some((reference.clone(), seen))
        });
        Self(seen.collect())
    }

    /// A vault that can be read.
    pub(super) fn vault(&self, reference: &VaultRef) -> Option<&Vault> {
        match self.0.get(reference)? {
            Seen::Readable(seen) => Some(&seen.vault),
            Seen::Unreadable { .. } => None,
        }
    }

    /// The first that cannot be read. It must not look deleted: its files would go from running
    /// pods.
    pub(super) fn unreadable(&self, asked: &Asked) -> Option<VaultRef> {
        let is_unreadable = |reference: &&VaultRef| {
            let seen = self.0.get(*reference);
            seen.is_some_and(|seen| matches!(seen, Seen::Unreadable { .. }))
        };
        asked.vaults().find(is_unreadable).cloned()
    }

    /// Those that can be read, to fill a plan.
    pub(super) fn snapshot(&self) -> Snapshot {
        let readable = self.0.iter().filter_map(|(reference, seen)| match seen {
            Seen::Readable(seen) => Some((reference.clone(), seen.clone())),
            Seen::Unreadable { .. } => None,
        });
        readable.collect()
    }

    /// Whether this version of a vault is later than what is seen of it.
    fn is_before(&self, reference: &VaultRef, uid: &str, generation: i64) -> bool {
        let seen = self.0.get(reference);
        seen.is_none_or(|seen| !seen.is_at_least(uid, generation))
    }
}

/// The first vault that the volume has seen later than this replica, after a short wait.
///
/// # Errors
/// The API server could not be asked.
pub(super) async fn behind(
    client: &Client,
    vaults: &Vaults,
    asked: &Asked,
) -> Result<Option<VaultRef>, Fault> {
    let deadline = Instant::now() + BEFORE_TAKING_AWAY;
    for held in &asked.held.vaults {
        if !asked.vaults().any(|vault| *vault == held.reference) {
            continue;
        }
        if may_be_behind(client, vaults, held).await?
            && !vaults
                .wait_for(&held.reference, &held.uid, held.generation, deadline)
                .await
        {
            return Ok(Some(held.reference.clone()));
        }
    }
    Ok(None)
}

/// Whether to wait for this vault at all. One that is not in the view was deleted, or has not
/// arrived yet: only the API server knows, and the difference is whether a running pod's files go.
async fn may_be_behind(client: &Client, vaults: &Vaults, held: &HeldVault) -> Result<bool, Fault> {
    let seen = vaults.seen(&held.reference);
    if seen.is_some_and(|seen| seen.version().0 == held.uid) {
        return Ok(true);
    }
    let stored = stored(client, &held.reference, READ_DEADLINE).await?;
    Ok(stored.is_some_and(|(uid, _)| uid == held.uid))
}

/// Whether one of these vaults, which a decision by `sight` is about to do without, is stored in a
/// later version, and has arrived in the view by now. Then it is worth to decide anew.
///
/// A vault of another namespace is treated as one of the pod's own, although its existence must not
/// be told. The same read is made for one that is there and forbidden, and for one that is not
/// there; the decision's words are the same as before. Only what changed within the lag of this
/// replica's watch, usually milliseconds, is waited for: who could measure that would learn that a
/// vault of this name was changed just now, and would have to ask in that very moment. No pod can:
/// between it and this answer are the agent and kubelet, which tell it nothing but their retries.
pub(super) async fn moves_on(
    client: &Client,
    vaults: &Vaults,
    sight: &Sight,
    missed: &[VaultRef],
    deadline: Instant,
) -> bool {
    let mut moved = false;
    for vault in missed {
        let left = deadline.saturating_duration_since(Instant::now());
        // A refusal by what this replica knows is better than none: a fault changes nothing.
        let Ok(Some((uid, generation))) = stored(client, vault, left).await else {
            continue;
        };
        if sight.is_before(vault, &uid, generation) {
            moved |= vaults.wait_for(vault, &uid, generation, deadline).await;
        }
    }
    moved && Instant::now() < deadline
}

/// UID and generation of a vault as the API server has it now.
async fn stored(
    client: &Client,
    vault: &VaultRef,
    limit: Duration,
) -> Result<Option<(String, i64)>, Fault> {
    let vaults = Api::<SecretVault>::namespaced(client.clone(), &vault.namespace);
    let stored = Fault::within(limit, vaults.get_metadata_opt(&vault.name)).await?;
    Ok(stored.map(|stored| {
        let metadata = stored.metadata;
        let uid = metadata.uid.unwrap_or_default();
        (uid, metadata.generation.unwrap_or_default())
    }))
}

/// How long a replica that is behind waits rather than take files from a running pod.
const BEFORE_TAKING_AWAY: Duration = Duration::from_secs(2);

/// How long a replica that is behind may wait rather than refuse: the agent answers kubelet's first
/// call after 1.8 s, and reviews and the pod have to be read in that time too.
pub(super) const BEFORE_REFUSING: Duration = Duration::from_secs(1);

/// How long reading one vault's metadata may take.
const READ_DEADLINE: Duration = Duration::from_secs(3);
