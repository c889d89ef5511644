//! Whose turn it is.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secretvault_crds::{DataKey, SecretVault};
use secretvault_vault::VaultRef;
use tokio::time::Instant;

use super::Standing;
use super::plan::Action;
use super::progress::reference;
use super::view::{Signature, View};
use super::write::{Ended, Step};

/// The vaults to be looked at, and what was done a moment ago.
#[derive(Default)]
pub(super) struct Work {
    due: VecDeque<VaultRef>,
    queued: HashSet<VaultRef>,
    running: HashSet<VaultRef>,
    /// What the watch has not brought back yet.
    awaited: HashMap<VaultRef, Awaited>,
    /// Vaults that changed a moment ago: their generation, and until when to leave them alone.
    fresh: HashMap<VaultRef, (i64, Instant)>,
    /// What was known of the providers at the last look.
    signature: Signature,
    looked: Option<Instant>,
}

/// What a vault was when something was written to it, and until when to wait for the watch.
struct Awaited {
    seen: Seen,
    until: Instant,
}

enum Seen {
    /// Its data key, which is another one now.
    DataKey(Option<DataKey>),
    /// Its version, which is another one now.
    Version(Option<String>),
}

impl Work {
    /// Makes it one vault's turn.
    pub(super) fn note(&mut self, vault: VaultRef) {
        if self.queued.insert(vault.clone()) {
            self.due.push_back(vault);
        }
    }

    /// Makes it the turn of every vault for which something is to be done.
    pub(super) fn look(&mut self, standing: &Standing) {
        let Some(namespaces) = standing.namespaces() else {
            return;
        };
        self.looked = Some(Instant::now());
        let mut view = View::new(&standing.providers, &namespaces, Timestamp::now());
        let vaults = standing.vaults.all();
        let needed = vaults
            .iter()
            .filter(|vault| is_work(&view.plan(vault)).is_some());
        let needed: BTreeSet<VaultRef> = needed.map(|vault| reference(vault)).collect();
        self.signature = view.signature();
        standing.troubles.retain(|vault| needed.contains(vault));
        for vault in needed {
            self.note(vault);
        }
    }

    /// Looks at all vaults, and has those that failed wait no longer: a provider has changed.
    pub(super) fn hurry(&mut self, standing: &Standing) {
        standing.troubles.hurry(Instant::now());
        self.look(standing);
    }

    /// Sees whether the providers can do something else now, and whose waiting is over.
    pub(super) fn tick(&mut self, standing: &Standing) {
        let now = Instant::now();
        let Some(namespaces) = standing.namespaces() else {
            return;
        };
        let mut view = View::new(&standing.providers, &namespaces, Timestamp::now());
        if view.signature_of(&self.signature) != self.signature {
            return self.hurry(standing);
        }
        if self.looked.is_none_or(|looked| now - looked >= LOOK) {
            return self.look(standing);
        }
        for vault in standing.troubles.due(now) {
            self.note(vault);
        }
        let over = self.awaited.extract_if(|_, awaited| now >= awaited.until);
        let over = over.map(|(vault, _)| vault);
        // These are kept: their time is over until they change again.
        let fresh = self.fresh.iter().filter(|(_, (_, until))| now >= *until);
        let fresh = fresh.map(|(vault, _)| vault.clone());
        let over: Vec<VaultRef> = over.chain(fresh).collect();
        for vault in over {
            self.note(vault);
        }
    }

    /// The next step, of the vault as it is seen now. None: there is none now.
    pub(super) fn next(&mut self, standing: &Standing) -> Option<(Arc<SecretVault>, Step)> {
        let now = Instant::now();
        let namespaces = standing.namespaces()?;
        if self.due.is_empty() || !standing.vaults.is_fresh(now) {
            return None;
        }
        let mut view = View::new(&standing.providers, &namespaces, Timestamp::now());
        while let Some(reference) = self.due.pop_front() {
            self.queued.remove(&reference);
            let Some(vault) = standing.vaults.get(&reference) else {
                self.fresh.remove(&reference);
                standing.troubles.over(&reference);
                continue;
            };
            let Some(step) = is_work(&view.plan(&vault)) else {
                self.fresh.remove(&reference);
                let arrived = self.awaited.remove(&reference).is_some();
                if standing.troubles.over(&reference) || arrived {
                    standing.has_moved();
                }
                continue;
            };
            let generation = vault.metadata.generation.unwrap_or_default();
            let waits = self.running.contains(&reference)
                || self.is_awaited(&reference, &vault, now)
                || self.is_fresh(&reference, &vault, now)
                || standing.troubles.wait(&reference, generation, now);
            if !waits {
                self.running.insert(reference);
                return Some((vault, step));
            }
        }
        None
    }

    /// Notes how a step ended.
    pub(super) fn end(&mut self, reference: VaultRef, vault: &SecretVault, ended: &Ended) {
        self.running.remove(&reference);
        let seen = match ended {
            Ended::Conflict => Seen::Version(vault.metadata.resource_version.clone()),
            Ended::Done => Seen::DataKey(vault.spec.data_key.clone()),
            Ended::Failed(_) | Ended::Gone => return self.note(reference),
        };
        let until = Instant::now() + PATIENCE;
        self.awaited
            .insert(reference.clone(), Awaited { seen, until });
        // What the watch brought while it was under way.
        self.note(reference);
    }

    fn is_awaited(&mut self, reference: &VaultRef, vault: &SecretVault, now: Instant) -> bool {
        let Some(awaited) = self.awaited.get(reference) else {
            return false;
        };
        let same = match &awaited.seen {
            Seen::DataKey(data_key) => *data_key == vault.spec.data_key,
            Seen::Version(version) => *version == vault.metadata.resource_version,
        };
        let waits = same && now < awaited.until;
        if !waits {
            self.awaited.remove(reference);
        }
        waits
    }

    /// Whether the status does not speak of the vault as it is yet, and that is no wonder. Its status
    /// says at which generation its contents changed, and must not name ours for it.
    fn is_fresh(&mut self, reference: &VaultRef, vault: &SecretVault, now: Instant) -> bool {
        let generation = vault.metadata.generation;
        let spoken = vault.status.as_ref().and_then(|it| it.observed_generation);
        if spoken >= generation {
            self.fresh.remove(reference);
            return false;
        }
        let generation = generation.unwrap_or_default();
        let until = now + SETTLING;
        let known = self.fresh.entry(reference.clone());
        let known = known.or_insert((generation, until));
        if known.0 != generation {
            *known = (generation, until);
        }
        now < known.1
    }
}

fn is_work(action: &Action) -> Option<Step> {
    match action {
        Action::Blocked(_) | Action::Nothing => None,
        Action::Reseal(why) => Some(Step::Reseal(*why)),
        Action::Rewrap => Some(Step::Rewrap),
    }
}

/// How often to look at all vaults without a reason: data keys get older.
const LOOK: Duration = Duration::from_secs(15);
/// How long the status of a vault that changed may take.
const SETTLING: Duration = Duration::from_secs(5);
/// How long the watch may take to bring back what was written.
const PATIENCE: Duration = Duration::from_secs(10);
