//! Keeps the status of vaults: whether they open, which entries they have and since when.
//!
//! # Guarantees
//! Only status is written: never `spec`, and of that never `data`. An opened value leaves
//! [`inspect()`] no further than "opens" or "does not".

mod inspect;
mod plan;
mod schedule;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::{Api, Client, Resource, ResourceExt};
use secretvault_crds::SecretVault;
use tokio::time::{Instant, interval, timeout};
use tracing::{info, warn};

use self::{inspect::inspect, schedule::Schedule};
use super::apply;
use crate::{
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
    pub(super) events: Events,
    pub(super) metrics: ControllerMetrics,
}

impl VaultController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let (mut schedule, mut changes) = (Schedule::default(), self.vaults.changes());
        let (mut tick, mut keys) = (interval(TICK), BTreeMap::new());
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
            if !self.vaults.synced() {
                continue;
            }
            let vaults = self.vaults.all();
            let seen = self.keys_in_use(&vaults);
            if seen != keys {
                schedule.forget_all();
                keys = seen;
            }
            schedule.retain(vaults.iter().map(AsRef::as_ref));
            self.round(&mut schedule, vaults).await;
        }
    }

    /// Looks at each vault whose turn it is.
    async fn round(&self, schedule: &mut Schedule, vaults: Vec<Arc<SecretVault>>) {
        let now = Instant::now();
        let due: Vec<_> = vaults
            .into_iter()
            .filter(|vault| schedule.is_due(vault, now))
            .collect();
        let mut done = stream::iter(due)
            .map(async |vault| {
                let outcome = self.reconcile(&vault).await;
                (vault, outcome)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((vault, outcome)) = done.next().await {
            self.metrics
                .reconciled(ControllerName::Vault, outcome.counted);
            let random = getrandom::u32().unwrap_or_default();
            let again = Instant::now() + jittered(outcome.again, random);
            schedule.done(&vault, again, outcome.state);
        }
        let states: Vec<_> = schedule.states().collect();
        self.metrics.vaults_are(&states);
    }

    async fn reconcile(&self, vault: &SecretVault) -> Outcome {
        let (namespace, name) = (vault.namespace(), vault.name_any());
        match timeout(RECONCILE, self.bring_up_to_date(vault)).await {
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

    async fn bring_up_to_date(&self, vault: &SecretVault) -> Result<Outcome, kube::Error> {
        let verdict = inspect(vault, &self.providers).await;
        let state = Some(verdict.state());
        let again = if verdict.is_ready() { CHECK } else { RETRY };
        let status = plan::status(vault, &verdict, Timestamp::now());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_adds_up_to_a_quarter() {
        assert_eq!(jittered(CHECK, 0), CHECK);
        assert_eq!(jittered(CHECK, u32::MAX), CHECK + CHECK / 4);
    }
}
