//! Keeps the status of vaults: whether they open, which entries they have and since when.
//!
//! # Guarantees
//! Only status is written: never `spec`, and of that never `data`. An opened value leaves
//! [`inspect()`] no further than "opens" or "does not".

mod consumers;
mod inspect;
mod plan;
mod schedule;
mod settle;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::{Api, Client, Resource, ResourceExt};
use secretvault_crds::SecretVault;
use tokio::{
    sync::watch,
    time::{Instant, interval, timeout},
};
use tracing::{info, warn};

use self::{inspect::inspect, schedule::Schedule, settle::Settling};
use super::apply;
use crate::{
    consumers::{Known, Usage},
    events::Events,
    keys::Providers,
    metrics::{ControllerMetrics, ControllerName, ReconcileOutcome, VaultState},
    vaults::Vaults,
};

/// Keeps the status of all vaults.
pub(super) struct VaultController {
    pub(super) client: Client,
    pub(super) vaults: Vaults,
    pub(super) providers: Providers,
    pub(super) consumers: watch::Receiver<Known>,
    pub(super) events: Events,
    pub(super) metrics: ControllerMetrics,
}

impl VaultController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let (mut turns, mut changes) = (Turns::default(), self.vaults.changes());
        let mut tick = interval(TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
            if self.vaults.synced() {
                let due = self.due(&mut turns, self.vaults.all());
                self.round(&mut turns.schedule, due).await;
            }
        }
    }

    /// The vaults whose turn it is, and who uses them, as far as that is settled.
    fn due(&self, turns: &mut Turns, vaults: Vec<Arc<SecretVault>>) -> Vec<Due> {
        let seen = self.keys_in_use(&vaults);
        if seen != turns.keys {
            turns.schedule.forget_all();
            turns.keys = seen;
        }
        turns.retain(&vaults);
        let (known, now) = (self.consumers.borrow().clone(), Instant::now());
        let looks = vaults.into_iter().map(|vault| {
            let usage = turns.settled(&vault, &known, now);
            (vault, usage)
        });
        let looks: Vec<Due> = looks.collect();
        let is_due = |(vault, usage): &Due| turns.schedule.is_due(vault, usage.as_ref(), now);
        looks.into_iter().filter(is_due).collect()
    }

    /// Looks at each of these vaults.
    async fn round(&self, schedule: &mut Schedule, due: Vec<Due>) {
        let mut done = stream::iter(due)
            .map(async |(vault, usage)| {
                let outcome = self.reconcile(&vault, usage.as_deref()).await;
                (vault, usage, outcome)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((vault, usage, outcome)) = done.next().await {
            self.metrics
                .reconciled(ControllerName::Vault, outcome.counted);
            let random = getrandom::u32().unwrap_or_default();
            let again = Instant::now() + jittered(outcome.again, random);
            schedule.done(&vault, usage, again, outcome.state);
        }
        let states: Vec<_> = schedule.states().collect();
        self.metrics.vaults_are(&states);
    }

    async fn reconcile(&self, vault: &SecretVault, usage: Option<&Usage>) -> Outcome {
        let (namespace, name) = (vault.namespace(), vault.name_any());
        match timeout(RECONCILE, self.bring_up_to_date(vault, usage)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                warn!(%error, namespace, name, "the status of a vault was not written");
                Outcome::FAILED
            }
            Err(_) => {
                warn!(namespace, name, "a vault took too long");
                Outcome::FAILED
            }
        }
    }

    async fn bring_up_to_date(
        &self,
        vault: &SecretVault,
        usage: Option<&Usage>,
    ) -> Result<Outcome, kube::Error> {
        let verdict = inspect(vault, &self.providers).await;
        let state = Some(verdict.state());
        let again = if verdict.is_ready() { CHECK } else { RETRY };
        let status = plan::status(vault, &verdict, usage, Timestamp::now());
        if vault.status.as_ref() == Some(&status) {
            return Ok(Outcome {
                counted: ReconcileOutcome::Unchanged,
                again,
                state,
            });
        }
        let (namespace, name) = (vault.namespace().unwrap_or_default(), vault.name_any());
        let api: Api<SecretVault> = Api::namespaced(self.client.clone(), &namespace);
        apply::status(&api, vault, &status).await?;
        for news in plan::news(vault.status.as_ref(), &status) {
            info!(namespace, name, reason = news.reason, "a vault changed");
            self.events.tell(&vault.object_ref(&()), news).await;
        }
        Ok(Outcome {
            counted: ReconcileOutcome::Changed,
            again,
            state,
        })
    }

    /// What each provider that some vault needs can do now: another key id, or another fault, is
    /// a reason to look at the vaults again.
    fn keys_in_use(&self, vaults: &[Arc<SecretVault>]) -> BTreeMap<String, Key> {
        let names = vaults
            .iter()
            .filter_map(|vault| vault.spec.data_key.as_ref());
        names
            .map(|data_key| (data_key.provider.clone(), self.key(&data_key.provider)))
            .collect()
    }

    fn key(&self, provider: &str) -> Key {
        let provider = self
            .providers
            .get(provider)
            .map_err(|error| error.to_string())?;
        Ok((provider.scope().to_owned(), provider.primary_key_id()))
    }
}

/// Whose turn it is, and what that is decided by.
#[derive(Default)]
struct Turns {
    schedule: Schedule,
    settling: Settling,
    keys: BTreeMap<String, Key>,
    /// How a vault is used by no pod.
    unused: Arc<Usage>,
}

/// A vault, and who uses it, if that is settled.
type Due = (Arc<SecretVault>, Option<Arc<Usage>>);

impl Turns {
    /// Forgets vaults that are gone.
    fn retain(&mut self, vaults: &[Arc<SecretVault>]) {
        self.schedule.retain(vaults.iter().map(AsRef::as_ref));
        let uids = vaults.iter().filter_map(|it| it.metadata.uid.as_deref());
        let uids: HashSet<&str> = uids.collect();
        self.settling.retain(|uid| uids.contains(uid));
    }

    fn settled(&mut self, vault: &SecretVault, known: &Known, now: Instant) -> Option<Arc<Usage>> {
        let uid = vault.metadata.uid.as_deref()?;
        let usage = known.as_ref()?.get(uid).unwrap_or(&self.unused);
        let said = vault.status.as_ref().and_then(|it| it.consumer_count);
        let generation = vault.metadata.generation.unwrap_or_default();
        self.settling.look(uid, generation, usage, said, now)
    }
}

/// A provider's scope and primary key, or what is wrong with it.
type Key = Result<(String, String), String>;

/// How a look at a vault ended, what was seen, and when to look again without a reason.
struct Outcome {
    counted: ReconcileOutcome,
    again: Duration,
    state: Option<VaultState>,
}

impl Outcome {
    const FAILED: Self = Self {
        counted: ReconcileOutcome::Failed,
        again: FAILED,
        state: None,
    };
}

/// Up to a quarter more, so that not all vaults have their turn at the same time.
fn jittered(pause: Duration, random: u32) -> Duration {
    pause + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 4.0)
}

/// How many vaults at a time.
const AT_ONCE: usize = 8;
/// How often to open a vault that is fine: what damages it need not change it.
const CHECK: Duration = Duration::from_secs(3600);
/// How soon to look again after a write that failed.
const FAILED: Duration = Duration::from_secs(5);
/// What one vault may take.
const RECONCILE: Duration = Duration::from_secs(30);
/// How soon to look again at a vault that does not open. What mends it is seen anyway.
const RETRY: Duration = Duration::from_secs(60);
/// How often to see whose turn it is, and what the providers can do.
const TICK: Duration = Duration::from_secs(2);
