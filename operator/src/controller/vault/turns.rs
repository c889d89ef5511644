//! Whose turn it is, by what is known of vaults, their consumers and their keys.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use secretvault_crds::{DataKey, SecretVault};
use secretvault_vault::VaultRef;
use tokio::time::Instant;

use super::{
    super::rotation::{Action, Standing, View},
    key_current::Stand,
    schedule::Schedule,
    settle::Settling,
};
use crate::{
    consumers::{Known, Usage},
    keys::{Providers, Source},
};

/// Whose turn it is, and what that is decided by.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) schedule: Schedule,
    settling: Settling,
    keys: BTreeMap<String, Keys>,
    /// Since when a vault waits for what comes by itself in a moment, by its UID.
    moving: HashMap<String, Instant>,
    /// The version at which a vault was found to be rewrapped and not changed, by its UID.
    rewrapped: HashMap<String, Option<String>>,
    /// How a vault is used by no pod.
    unused: Arc<Usage>,
}

/// A vault whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) vault: Arc<SecretVault>,
    /// How it stands to the key that it should have, if that is known.
    pub(super) stand: Option<Stand>,
    /// Who uses it, if that is settled.
    pub(super) usage: Option<Arc<Usage>>,
    /// Its data key at the last look, if there was one.
    pub(super) before: Option<DataKey>,
}

impl Due {
    /// Notes what the API server answered to the new status. If nothing else is new in it, it is what
    /// was looked at.
    pub(super) fn written(&mut self, written: SecretVault) {
        let (before, now) = (&self.vault.metadata, &written.metadata);
        let same = (&before.uid, before.generation, &before.labels)
            == (&now.uid, now.generation, &now.labels)
            && before.annotations == now.annotations
            && before.deletion_timestamp == now.deletion_timestamp;
        if same && now.resource_version.is_some() {
            self.vault = Arc::new(written);
        }
    }
}

/// What a provider can do: its scope and its keys, or what is wrong with it.
type Keys = Result<Can, String>;

#[derive(Debug, PartialEq, Eq)]
struct Can {
    scope: String,
    /// None: every one that it ever had.
    keys: Option<BTreeSet<String>>,
}

impl Turns {
    /// The vaults whose turn it is, and what is settled about them.
    pub(super) fn due(
        &mut self,
        standing: &Standing,
        known: &Known,
        vaults: Vec<Arc<SecretVault>>,
    ) -> Vec<Due> {
        self.see_keys(&standing.providers, &vaults);
        self.retain(&vaults);
        let namespaces = standing.namespaces();
        let mut view = namespaces
            .as_ref()
            .map(|all| View::new(&standing.providers, all, Timestamp::now()));
        let (busy, now) = (standing.busy(), Instant::now());
        let mut due = Vec::new();
        for vault in vaults {
            let usage = self.settled(&vault, known, now);
            let stand = view.as_mut().map(|view| stand(standing, view, &vault));
            let reason = stand
                .as_ref()
                .filter(|stand| self.lasts(&vault, stand, now));
            if !self.schedule.is_due(&vault, usage.as_ref(), reason, now)
                || self.waits(&vault, stand.as_ref(), busy, now)
            {
                continue;
            }
            let before = self.schedule.data_key(&vault).cloned();
            due.push(Due {
                vault,
                stand,
                usage,
                before,
            });
        }
        due
    }

    /// A provider that lost something concerns all vaults; one that can do more, only those that did
    /// not open.
    fn see_keys(&mut self, providers: &Providers, vaults: &[Arc<SecretVault>]) {
        let names = vaults.iter().filter_map(|it| it.spec.data_key.as_ref());
        let names: BTreeSet<&str> = names.map(|it| it.provider.as_str()).collect();
        let seen: BTreeMap<String, Keys> = names
            .into_iter()
            .map(|name| (name.to_owned(), keys(providers, name)))
            .collect();
        if seen == self.keys {
            return;
        }
        let less = self.keys.iter().any(|(name, before)| {
            let now = seen.get(name);
            now.is_some_and(|now| !can_as_much(now, before))
        });
        if less {
            self.schedule.forget_all();
        } else {
            self.schedule.forget_unready();
        }
        self.keys = seen;
    }

    /// Forgets vaults that are gone.
    fn retain(&mut self, vaults: &[Arc<SecretVault>]) {
        self.schedule.retain(vaults.iter().map(AsRef::as_ref));
        let uids = vaults.iter().filter_map(|it| it.metadata.uid.as_deref());
        let uids: HashSet<&str> = uids.collect();
        self.settling.retain(|uid| uids.contains(uid));
        self.moving.retain(|uid, _| uids.contains(uid.as_str()));
        self.rewrapped.retain(|uid, _| uids.contains(uid.as_str()));
    }

    fn settled(&mut self, vault: &SecretVault, known: &Known, now: Instant) -> Option<Arc<Usage>> {
        let uid = vault.metadata.uid.as_deref()?;
        let usage = known.as_ref()?.get(uid).unwrap_or(&self.unused);
        let said = vault.status.as_ref().and_then(|it| it.consumer_count);
        let generation = vault.metadata.generation.unwrap_or_default();
        self.settling.look(uid, generation, usage, said, now)
    }

    /// Whether how the vault stands is worth a write: not if it is rewrapped in a moment.
    fn lasts(&mut self, vault: &SecretVault, stand: &Stand, now: Instant) -> bool {
        let uid = vault.metadata.uid.as_deref().unwrap_or_default();
        if !stand.moves() {
            self.moving.remove(uid);
            return true;
        }
        let since = self.moving.entry(uid.to_owned()).or_insert(now);
        now - *since >= PATIENCE
    }

    /// Whether nothing about the vault is new but that it was rewrapped, and others are still being:
    /// a write now would take the time of theirs.
    fn waits(
        &mut self,
        vault: &SecretVault,
        stand: Option<&Stand>,
        busy: Option<Instant>,
        now: Instant,
    ) -> bool {
        let uid = vault.metadata.uid.as_deref().unwrap_or_default();
        if busy.is_none_or(|since| now - since >= PATIENCE) {
            self.rewrapped.remove(uid);
            return false;
        }
        let (Some(said), Some(data_key)) = (&vault.status, &vault.spec.data_key) else {
            return false;
        };
        let current = stand.is_some_and(|stand| stand.action == Action::Nothing);
        if !current || said.key_id.as_ref() == Some(&data_key.key_id) {
            return false;
        }
        let version = &vault.metadata.resource_version;
        if self.rewrapped.get(uid) == Some(version) {
            return true;
        }
        let same = said.content_revision.as_ref() == Some(&vault.spec.content_revision());
        if same {
            self.rewrapped.insert(uid.to_owned(), version.clone());
        }
        same
    }
}

fn stand(standing: &Standing, view: &mut View<'_>, vault: &SecretVault) -> Stand {
    let meta = &vault.metadata;
    let namespace = meta.namespace.clone().unwrap_or_default();
    let reference = VaultRef::new(namespace, meta.name.clone().unwrap_or_default());
    Stand {
        action: view.plan(vault),
        trouble: standing.troubles.message(&reference),
    }
}

fn keys(providers: &Providers, name: &str) -> Keys {
    let provider = match providers.state(name) {
        Some(Ok(provider)) => provider,
        Some(Err(fault)) => return Err(fault.to_string()),
        None => return Err(format!("there is no KeyProvider {name}")),
    };
    let keys = provider.key_infos().into_iter().map(|it| it.id);
    let keys = match provider.source() {
        Source::File(_) | Source::Secret { .. } => Some(keys.collect()),
        // It tells its newest key only.
        Source::Transit { .. } => None,
    };
    Ok(Can {
        scope: provider.scope().to_owned(),
        keys,
    })
}

/// Whether what opened still opens.
fn can_as_much(now: &Keys, before: &Keys) -> bool {
    match (now, before) {
        (Ok(now), Ok(before)) => {
            let keys = match (&now.keys, &before.keys) {
                (Some(now), Some(before)) => now.is_superset(before),
                (None, None) => true,
                (None, Some(_)) | (Some(_), None) => false,
            };
            now.scope == before.scope && keys
        }
        (Ok(_), Err(_)) => true,
        (Err(now), Err(before)) => now == before,
        (Err(_), Ok(_)) => false,
    }
}

/// How long what comes by itself may take before it is said that it is missing.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn can(scope: &str, keys: &[&str]) -> Keys {
        Ok(Can {
            scope: scope.to_owned(),
            keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
        })
    }

    #[test]
    fn only_what_a_provider_lost_concerns_vaults_that_open() {
        let fault = |text: &str| Err(text.to_owned());
        let cases = [
            (can("s", &["a"]), can("s", &["a", "b"]), true),
            (can("s", &["a", "b"]), can("s", &["b"]), false),
            (can("s", &["a"]), can("t", &["a"]), false),
            (can("s", &["a"]), fault("gone"), false),
            (fault("gone"), can("s", &["a"]), true),
            (fault("gone"), fault("broken"), false),
        ];
        for (before, now, expected) in cases {
            assert_eq!(can_as_much(&now, &before), expected, "{before:?} {now:?}");
        }
    }
}
