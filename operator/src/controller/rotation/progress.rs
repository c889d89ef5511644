//! How far the vaults are: counted from what is seen, and stored nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use secretvault_crds::{SecretVault, limits::MAX_REWRAP_FAILURES};
use secretvault_vault::VaultRef;

use super::plan::Action;
use super::troubles::Troubles;
use super::view::View;

/// How far all vaults are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::controller) struct Overview {
    /// By provider.
    pub(in crate::controller) providers: BTreeMap<String, Progress>,
    /// How many vaults are not as they should be, each counted once.
    pub(in crate::controller) remaining: usize,
    /// How many of them cannot be made so now.
    pub(in crate::controller) failing: usize,
}

/// How far the vaults of one provider are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::controller) struct Progress {
    /// How many vaults need each of its keys.
    pub(in crate::controller) keys: BTreeMap<String, usize>,
    /// How many vaults belong to it, or have a data key of it still.
    pub(in crate::controller) total: usize,
    /// How many of them have a data key of the right provider under its primary key.
    pub(in crate::controller) done: usize,
    /// How many of the others cannot be brought there now.
    pub(in crate::controller) failed: usize,
    /// Why, for some of these.
    pub(in crate::controller) failures: Vec<(String, String)>,
    /// How many of those that belong to it need each of its keys.
    pub(in crate::controller) settled: BTreeMap<String, usize>,
    /// The primary key by which all this was counted.
    pub(in crate::controller) primary: Option<String>,
}

impl Progress {
    /// The same, if this is the primary key: whoever counts may have seen an older one.
    pub(in crate::controller) fn by_primary(mut self, key_id: &str) -> Self {
        if self.primary.as_deref() != Some(key_id) {
            self.done = self.settled.get(key_id).copied().unwrap_or_default();
        }
        self
    }

    /// How many vaults have a data key of it.
    pub(in crate::controller) fn vaults(&self) -> usize {
        self.keys.values().sum()
    }

    fn count(&mut self, done: bool, vault: &SecretVault, failure: Option<&str>) {
        self.total += 1;
        self.done += usize::from(done);
        let Some(failure) = failure.filter(|_| !done) else {
            return;
        };
        self.failed += 1;
        if self.failures.len() < MAX_REWRAP_FAILURES {
            let name = reference(vault).to_string();
            self.failures.push((name, failure.to_owned()));
        }
    }
}

/// Counts.
pub(in crate::controller) fn overview(
    vaults: &[Arc<SecretVault>],
    view: &mut View<'_>,
    troubles: &Troubles,
) -> Overview {
    let mut all = Overview::default();
    for vault in vaults {
        let Some(data_key) = &vault.spec.data_key else {
            continue;
        };
        let held = data_key.provider.as_str();
        let wanted = view.effective(vault).unwrap_or_else(|| Ok(held.to_owned()));
        let current = view.is_current(held, &data_key.key_id) == Ok(true);
        let done = current && wanted.as_deref() == Ok(held);
        let wanted = wanted.as_deref().unwrap_or(held);
        let failure = match view.plan(vault) {
            Action::Blocked(blocked) => Some(blocked.message),
            Action::Nothing | Action::Reseal(_) | Action::Rewrap => {
                let message = troubles.message(&reference(vault));
                message.map(|message| message.to_string())
            }
        };
        let of_held = all.providers.entry(held.to_owned()).or_default();
        *of_held.keys.entry(data_key.key_id.clone()).or_default() += 1;
        if wanted == held {
            *of_held.settled.entry(data_key.key_id.clone()).or_default() += 1;
        }
        of_held.count(done, vault, failure.as_deref());
        if wanted != held {
            let of_wanted = all.providers.entry(wanted.to_owned()).or_default();
            of_wanted.count(done, vault, failure.as_deref());
        }
        all.remaining += usize::from(!done);
        all.failing += usize::from(!done && failure.is_some());
    }
    for (name, progress) in &mut all.providers {
        progress.primary = view.primary(name);
    }
    all
}

pub(super) fn reference(vault: &SecretVault) -> VaultRef {
    let meta = &vault.metadata;
    let namespace = meta.namespace.clone().unwrap_or_default();
    VaultRef::new(namespace, meta.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_primary_key_than_was_counted_by_counts() {
        let progress = Progress {
            settled: [("k1".to_owned(), 2), ("k2".to_owned(), 1)].into(),
            done: 2,
            primary: Some("k1".to_owned()),
            ..Progress::default()
        };
        assert_eq!(progress.clone().by_primary("k1").done, 2);
        assert_eq!(progress.clone().by_primary("k2").done, 1);
        assert_eq!(progress.by_primary("k3").done, 0);
    }
}
