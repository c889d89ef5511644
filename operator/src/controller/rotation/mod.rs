//! Brings every vault to the key and the provider that it should have.
//!
//! Which those are follows from the objects alone ([`plan`](mod@plan)). So nothing is remembered that a leader's
//! death could lose: whoever leads next looks at the vaults, and goes on.
//!
//! # Guarantees
//! * Of a vault only `spec.dataKey` is written, one optimistic update for each step ([`write`](mod@write)).
//! * Nothing is done with a provider that is not ready, nor while the view of vaults is old.
//! * What fails is tried again, later each time, and keeps nothing else from being done.

mod audited;
mod metrics;
mod namespaces;
mod plan;
mod progress;
mod troubles;
mod view;
mod work;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use kube::Client;
use secretvault_vault::VaultRef;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, warn};

pub use self::metrics::RotationMetrics;
pub(super) use self::{
    metrics::{KeyringChange, KeyringOutcome},
    plan::{Action, Obstacle, Why},
    progress::{Overview, Progress},
    troubles::Troubles,
    view::{Known, View},
};
use self::{
    work::Work,
    write::{Ended, Step, Writer},
};
use crate::{
    audit::Audit,
    keys::Providers,
    vaults::{Change, Vaults},
};

/// What is known of how vaults stand to the keys that they should have. Clones share it.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) vaults: Vaults,
    pub(super) providers: Providers,
    namespaces: watch::Sender<Option<Known>>,
    pub(super) troubles: Troubles,
    /// Changes when a vault was brought further, or could not be.
    moved: watch::Sender<u64>,
    /// Since when vaults are being brought further.
    busy: watch::Sender<Option<Instant>>,
}

impl Standing {
    pub(super) fn new(vaults: Vaults, providers: Providers) -> Self {
        Self {
            vaults,
            providers,
            namespaces: watch::Sender::new(None),
            troubles: Troubles::default(),
            moved: watch::Sender::new(0),
            busy: watch::Sender::new(None),
        }
    }

    /// The namespaces, once they were listed.
    pub(super) fn namespaces(&self) -> Option<Known> {
        self.namespaces.borrow().clone()
    }

    /// A number that changes whenever a vault was brought further, or could not be.
    pub(super) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Since when vaults are being brought further, if any is.
    pub(super) fn busy(&self) -> Option<Instant> {
        *self.busy.borrow()
    }

    /// How far all vaults are, once that can be said.
    pub(super) fn overview(&self, now: Timestamp) -> Option<Overview> {
        let namespaces = self.namespaces()?;
        if !self.vaults.synced() {
            return None;
        }
        let mut view = View::new(&self.providers, &namespaces, now);
        let vaults = self.vaults.all();
        Some(progress::overview(&vaults, &mut view, &self.troubles))
    }

    fn has_moved(&self) {
        self.moved
            .send_modify(|moved| *moved = moved.wrapping_add(1));
    }

    fn is_busy(&self, busy: bool) {
        self.busy.send_if_modified(|since| {
            let changed = since.is_some() != busy;
            if changed {
                *since = busy.then(Instant::now);
            }
            changed
        });
    }
}

#[cfg(test)]
pub(super) use self::plan::Blocked;

#[cfg(test)]
impl Standing {
    /// Has the namespaces be these.
    pub(super) fn told(&self, namespaces: Known) {
        self.namespaces.send_replace(Some(namespaces));
    }
}

/// Brings vaults to the key and the provider that they should have.
pub(super) struct RotationController {
    /// The API server, through a client that does not try again by itself.
    pub(super) client: Client,
    pub(super) standing: Standing,
    pub(super) audit: Audit,
    pub(super) metrics: RotationMetrics,
}

impl RotationController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let followed = namespaces::follow(self.client.clone(), self.standing.namespaces.clone());
        tokio::join!(followed, self.work());
    }

    async fn work(&self) {
        let standing = &self.standing;
        let mut changes = standing.vaults.each_change();
        let mut namespaces = standing.namespaces.subscribe();
        let mut providers = standing.providers.changes();
        let mut work = Work::default();
        let mut running = FuturesUnordered::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin(&mut work, &mut running);
            standing.is_busy(!running.is_empty());
            tokio::select! {
                Some((vault, step, ended)) = running.next() => {
                    self.end(&mut work, &vault, step, &ended);
                }
                change = changes.next() => match change {
                    Change::Everything => work.look(standing),
                    Change::Vault(vault) => work.note(vault),
                },
                changed = namespaces.changed() => {
                    // Its sender is part of what this holds.
                    if changed.is_ok() {
                        work.look(standing);
                    }
                }
                changed = providers.changed() => {
                    if changed.is_ok() {
                        work.hurry(standing);
                    }
                }
                _ = tick.tick() => work.tick(standing),
            }
        }
    }

    /// Begins as many steps as may run at a time.
    fn begin(&self, work: &mut Work, running: &mut FuturesUnordered<Running>) {
        while running.len() < AT_ONCE {
            let Some((vault, step)) = work.next(&self.standing) else {
                return;
            };
            let writer = Writer {
                client: self.client.clone(),
                providers: self.standing.providers.clone(),
            };
            let audit = self.audit.clone();
            let task = async move {
                let ended = writer.carry_out(&vault, step).await;
                if let Some(record) = audited::rotation(&vault, step, &ended) {
                    audit.note(record).await;
                }
                (vault, step, ended)
            };
            running.push(task.boxed());
        }
    }

    fn end(&self, work: &mut Work, vault: &Arced, step: Step, ended: &Ended) {
        self.metrics.ended(step, ended);
        let standing = &self.standing;
        let reference = progress::reference(vault);
        let VaultRef { namespace, name } = &reference;
        match ended {
            Ended::Conflict | Ended::Gone => {}
            Ended::Done => {
                debug!(%namespace, %name, ?step, "a vault was brought further");
                standing.troubles.over(&reference);
                standing.has_moved();
            }
            Ended::Failed(reason) => {
                let generation = vault.metadata.generation.unwrap_or_default();
                let chance = getrandom::u32().unwrap_or_default();
                let now = Instant::now();
                let troubles = &standing.troubles;
                if troubles.failed(&reference, generation, reason, chance, now) {
                    warn!(%namespace, %name, ?step, reason, "a vault was not brought further");
                }
                standing.has_moved();
            }
        }
        work.end(reference, vault, ended);
    }
}

type Arced = std::sync::Arc<secretvault_crds::SecretVault>;

/// A step under way.
type Running = BoxFuture<'static, (Arced, Step, Ended)>;

/// How many vaults at a time.
const AT_ONCE: usize = 8;
/// How often to see what the providers can do, and whose waiting is over.
const TICK: Duration = Duration::from_millis(500);
