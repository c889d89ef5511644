//! Keeps the status of vaults: whether they open, which entries they have and since when.
//!
//! # Guarantees
//! Only status is written: never `spec`, and of that never `data`. An opened value leaves
//! [`inspect()`] no further than "opens" or "does not".

mod consumers;
mod inspect;
mod key_current;
mod news;
mod plan;
mod schedule;
mod settle;
mod turns;

#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::{StreamExt, future::ready, stream};
use jiff::Timestamp;
use kube::{Api, Client, Resource, ResourceExt};
use secretvault_crds::SecretVault;
use secretvault_vault::VaultRef;
use tokio::{
    sync::watch,
    time::{Instant, interval, timeout},
};
use tracing::{info, warn};

use self::{
    inspect::inspect,
    news::DataKeys,
    plan::Seen,
    schedule::Schedule,
    turns::{Due, Turns},
};
use super::{apply, rotation::Standing};
use crate::{
    consumers::Known,
    events::Events,
    metrics::{ControllerMetrics, ControllerName, ReconcileOutcome, VaultState},
};

/// Keeps the status of all vaults.
pub(super) struct VaultController {
    pub(super) client: Client,
    pub(super) standing: Standing,
    pub(super) consumers: watch::Receiver<Known>,
    pub(super) events: Events,
    pub(super) metrics: ControllerMetrics,
}

impl VaultController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let vaults = &self.standing.vaults;
        let (mut turns, mut changes) = (Turns::default(), vaults.changes());
        let mut tick = interval(TICK);
        loop {
            // While vaults are rewrapped, changes come by the hundred each second.
            let busy = self.standing.busy().is_some();
            tokio::select! {
                _ = tick.tick() => {}
                changed = changes.changed(), if !busy => if changed.is_err() { return },
            }
            if vaults.synced() {
                let known = self.consumers.borrow().clone();
                let due = turns.due(&self.standing, &known, vaults.all());
                self.round(&mut turns.schedule, due).await;
            }
        }
    }

    /// Looks at each of these vaults.
    async fn round(&self, schedule: &mut Schedule, due: Vec<Due>) {
        let mut done = stream::iter(due)
            .filter_map(|due| ready(self.as_it_is_now(due)))
            .map(async |due| {
                let outcome = self.reconcile(&due).await;
                (due, outcome)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((mut due, outcome)) = done.next().await {
            self.metrics
                .reconciled(ControllerName::Vault, outcome.counted);
            if let Some(written) = outcome.written {
                due.written(written);
            }
            let random = getrandom::u32().unwrap_or_default();
            let again = Instant::now() + jittered(outcome.again, random);
            schedule.done(due, again, outcome.state);
        }
        let states: Vec<_> = schedule.states().collect();
        self.metrics.vaults_are(&states);
    }

    /// The vault when its turn has come: a round can take long where a Transit server does not answer,
    /// and what it began with may lack the status that was written just before. None: it is another
    /// one now, and has its turn in the next round.
    fn as_it_is_now(&self, due: Due) -> Option<Due> {
        let before = &due.vault.metadata;
        let namespace = before.namespace.clone().unwrap_or_default();
        let name = before.name.clone().unwrap_or_default();
        let vault = self.standing.vaults.get(&VaultRef::new(namespace, name))?;
        let now = &vault.metadata;
        let same = (&now.uid, now.generation) == (&before.uid, before.generation);
        same.then(|| Due { vault, ..due })
    }

    async fn reconcile(&self, due: &Due) -> Outcome {
        let (namespace, name) = (due.vault.namespace(), due.vault.name_any());
        match timeout(RECONCILE, self.bring_up_to_date(due)).await {
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

    async fn bring_up_to_date(&self, due: &Due) -> Result<Outcome, kube::Error> {
        let vault = due.vault.as_ref();
        let verdict = inspect(vault, &self.standing.providers).await;
        let state = Some(verdict.state());
        let again = if verdict.is_ready() { CHECK } else { RETRY };
        let seen = Seen {
            verdict: &verdict,
            stand: due.stand.as_ref(),
            usage: due.usage.as_deref(),
        };
        let status = plan::status(vault, seen, Timestamp::now());
        if vault.status.as_ref() == Some(&status) {
            return Ok(Outcome {
                counted: ReconcileOutcome::Unchanged,
                again,
                state,
                written: None,
            });
        }
        let (namespace, name) = (vault.namespace().unwrap_or_default(), vault.name_any());
        let api: Api<SecretVault> = Api::namespaced(self.client.clone(), &namespace);
        let written = apply::status(&api, vault, &status).await?;
        let keys = DataKeys {
            before: due.before.as_ref(),
            now: vault.spec.data_key.as_ref(),
        };
        for news in news::news(vault.status.as_ref(), &status, keys) {
            info!(namespace, name, reason = news.reason, "a vault changed");
            self.events.tell(&vault.object_ref(&()), news).await;
        }
        Ok(Outcome {
            counted: ReconcileOutcome::Changed,
            again,
            state,
            written,
        })
    }
}

/// How a look at a vault ended, what was seen, when to look again without a reason, and the vault with
/// the status that was written.
struct Outcome {
    counted: ReconcileOutcome,
    again: Duration,
    state: Option<VaultState>,
    written: Option<SecretVault>,
}

impl Outcome {
    const FAILED: Self = Self {
        counted: ReconcileOutcome::Failed,
        again: FAILED,
        state: None,
        written: None,
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
