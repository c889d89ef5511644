//! The data keys of one volume's vaults, each opened by its key provider.
//!
//! # Guarantees
//! * Nothing is opened for a vault of which only public entries were planned.
//! * The vaults are opened side by side: however many there are, and however slow their providers,
//!   it takes no longer than `patience`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use secretvault_vault::plan::Plan;
use secretvault_vault::{EntryKind, VaultRef};
use tokio::time::timeout;

use super::denied::Denied;
use super::grant::Snapshot;
use crate::keys::{Opened, Providers};
use crate::vaults::SeenVault;

/// The keys by vault, for as long as a grant is made.
pub(super) type DataKeys = BTreeMap<VaultRef, Opened>;

/// Opens the data keys that a plan needs.
///
/// # Errors
/// A key is not usable: of several, the first in the plan's order.
pub(super) async fn open(
    plan: &Plan,
    snapshot: &Snapshot,
    providers: &Providers,
    patience: Duration,
) -> Result<DataKeys, Denied> {
    let mut opening = Vec::new();
    for vault in &plan.vaults {
        // A plan names no vault that it was not shown.
        if let Some(seen) = snapshot.get(vault).filter(|_| needs_key(plan, vault)) {
            opening.push(open_one(seen, providers, patience));
        }
    }
    // None ends sooner because another one has failed: what a provider has opened in time is kept
    // for the next question.
    join_all(opening).await.into_iter().collect()
}

fn needs_key(plan: &Plan, vault: &VaultRef) -> bool {
    let mut files = plan.files.iter();
    files.any(|file| file.kind == EntryKind::Secret && file.vault == *vault)
}

async fn open_one(
    seen: &SeenVault,
    providers: &Providers,
    patience: Duration,
) -> Result<(VaultRef, Opened), Denied> {
    let vault = &seen.vault.reference;
    let wrapped = seen.object.spec.data_key.as_ref();
    let wrapped = wrapped.ok_or_else(|| Denied::NoDataKey {
        vault: vault.clone(),
    })?;
    let opening = providers.open(&vault.namespace, &vault.name, wrapped);
    let opened = timeout(patience, opening).await;
    let opened = opened.map_err(|_elapsed| Denied::KeyTimeout {
        vault: vault.clone(),
        provider: wrapped.provider.clone(),
    })?;
    let opened = opened.map_err(|error| Denied::of_key(vault, error))?;
    Ok((vault.clone(), opened))
}
