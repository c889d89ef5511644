//! Restarts pods that ask for it when a vault of theirs changed: rolls the Deployment, StatefulSet or
//! DaemonSet that they belong to.
//!
//! # Guarantees
//! * A workload is rolled once per change, or once for several quick ones, whoever leads: what was
//!   done stands in its template ([`changes`]).
//! * Nothing else of it is written, and nothing at all of one whose pods do not ask.
//! * Only so many are rolled at a time ([`queue`]), each of which is watched to its end, with a bound.
//! * Without the right to do it, nothing is tried but to look.
//!
//! # Caveats
//! What a replica publishes of its consumers is not proven. Who forges it can have a workload rolled
//! whose pods ask for restarts, once per change of its vault, and no other.

mod changes;
mod due;
mod metrics;
mod news;
mod owner;
mod plan;
mod queue;
mod workload;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::{Client, ResourceExt};
use secretvault_crds::SecretVault;
use tokio::{
    sync::watch,
    time::{Instant, interval},
};
use tracing::{info, warn};

pub use self::metrics::RestartMetrics;
use self::{
    changes::Changes,
    due::{PodId, due},
    metrics::RolloutOutcome,
    owner::{Owner, Owners},
    plan::{Plan, plan},
    queue::{Queue, Subject},
    workload::{State, Workload, WorkloadId},
};
use crate::{
    consumers::Known,
    events::Events,
    metrics::{ControllerMetrics, ControllerName, ReconcileOutcome},
    vaults::{Fault, Vaults},
};

/// Restarts pods that ask for it.
pub(super) struct RestartController {
    pub(super) client: Client,
    pub(super) vaults: Vaults,
    pub(super) consumers: watch::Receiver<Known>,
    pub(super) events: Events,
    pub(super) metrics: ControllerMetrics,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Work {
    owners: Owners,
    queue: Queue,
    polled: Option<Instant>,
}

impl RestartController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let (mut work, mut tick) = (Work::default(), interval(TICK));
        loop {
            tick.tick().await;
            if self.vaults.synced() {
                self.round(&mut work).await;
            }
        }
    }

    async fn round(&self, work: &mut Work) {
        let Some(usages) = self.consumers.borrow().clone() else {
            return;
        };
        let vaults = self.vaults.all();
        let due = due(&usages, vaults.iter().map(AsRef::as_ref));
        self.look_up(&mut work.owners, &due).await;
        let now = Instant::now();
        let wanted = wanted(&due, &work.owners, now);
        let owners = &work.owners;
        let rolls = |subject: &Subject, changes: &Changes| match subject {
            Subject::Pod(..) => false,
            Subject::Workload(id) => owners.rolls(id, changes),
        };
        work.queue.want(wanted, rolls, now);
        let vaults = Names::of(&vaults);
        for (subject, changes) in work.queue.next(now) {
            self.turn(&mut work.queue, &subject, &changes, &vaults)
                .await;
        }
        if work.polled.is_none_or(|polled| now - polled >= POLL) {
            work.polled = Some(now);
            self.watch(&mut work.queue).await;
        }
        let rolling = work.queue.rolling(now).len();
        self.metrics
            .restarts
            .queue_is(rolling, work.queue.waiting());
    }

    /// Asks for the owners of some pods: one pod of each group that looks like one workload before
    /// the second one of any.
    async fn look_up(&self, owners: &mut Owners, due: &BTreeMap<PodId, Changes>) {
        let uids: HashSet<&str> = due.keys().map(|pod| pod.uid.as_str()).collect();
        let now = Instant::now();
        owners.retain(|uid| uids.contains(uid), now);
        let unknown = due.keys().filter(|pod| owners.known(pod, now).is_none());
        for pod in spread(unknown).into_iter().take(LOOK_UPS) {
            if let Err(fault) = owners.look_up(&self.client, pod).await {
                let (namespace, pod) = (&pod.name.namespace, &pod.name.name);
                warn!(%fault, namespace, pod, "the owner of a pod cannot be read");
                self.count(ReconcileOutcome::Failed);
                return; // The API server has trouble: later.
            }
        }
    }

    /// Does what is to be done about one whose turn it is.
    async fn turn(&self, queue: &mut Queue, subject: &Subject, changes: &Changes, names: &Names) {
        let vaults = names.of_changes(changes);
        let id = match subject {
            Subject::Pod(pod, obstacle) => {
                if queue.must_tell(subject) {
                    let told = news::impossible(obstacle, &vaults);
                    self.events.tell(&news::about(pod), told).await;
                }
                return queue.done(subject, changes, Instant::now());
            }
            Subject::Workload(id) => id,
        };
        let now = Instant::now();
        match id.read(&self.client).await {
            Ok(Some(seen)) if seen.uid == id.uid => {
                let patient = queue.is_patient(subject, now);
                let plan = plan(&seen, changes, patient, |uid| names.knows(uid));
                self.carry_out(plan, queue, subject, (id, &seen), changes, &vaults)
                    .await;
            }
            Ok(_) => queue.done(subject, changes, now),
            Err(fault) => self.failed(queue, subject, id, fault),
        }
    }

    async fn carry_out(
        &self,
        plan: Plan,
        queue: &mut Queue,
        subject: &Subject,
        (id, seen): (&WorkloadId, &Workload),
        changes: &Changes,
        vaults: &str,
    ) {
        let now = Instant::now();
        match plan {
            Plan::Hold(hold) => {
                if queue.must_tell(subject) {
                    self.events
                        .tell(&id.reference(), news::held(hold, vaults))
                        .await;
                }
                queue.again(subject, HELD, now);
            }
            Plan::Nothing => queue.done(subject, changes, now),
            Plan::Roll(record) => match id.roll(&self.client, seen, &record).await {
                Ok(()) => {
                    queue.rolls(subject, now);
                    self.begun(id, vaults).await;
                }
                Err(fault) => {
                    if fault != Fault::Status(CONFLICT) && queue.must_tell(subject) {
                        let told = news::refused(fault, vaults);
                        self.events.tell(&id.reference(), told).await;
                    }
                    self.failed(queue, subject, id, fault);
                }
            },
            Plan::Wait => queue.again(subject, POLL, now),
            Plan::Watch => queue.rolls(subject, now),
        }
    }

    async fn begun(&self, id: &WorkloadId, vaults: &str) {
        let (kind, namespace, name) = (id.kind.name(), &id.namespace, &id.name);
        info!(kind, namespace, name, "restarting the pods of a workload");
        self.metrics.restarts.rollout(RolloutOutcome::Begun);
        self.count(ReconcileOutcome::Changed);
        self.events.tell(&id.reference(), news::begun(vaults)).await;
    }

    fn failed(&self, queue: &mut Queue, subject: &Subject, id: &WorkloadId, fault: Fault) {
        let (kind, namespace, name) = (id.kind.name(), &id.namespace, &id.name);
        let pause = if fault == Fault::Status(CONFLICT) {
            TICK // It changed since it was read.
        } else {
            warn!(%fault, kind, namespace, name, "a workload cannot be restarted");
            self.metrics.restarts.rollout(RolloutOutcome::Failed);
            self.count(ReconcileOutcome::Failed);
            FAILED
        };
        queue.again(subject, pause, Instant::now());
    }

    /// Looks how the rollouts go.
    async fn watch(&self, queue: &mut Queue) {
        for (id, overdue) in queue.rolling(Instant::now()) {
            let (ended, recorded) = match id.read(&self.client).await {
                Ok(Some(seen)) if seen.uid == id.uid => (end(seen.state, overdue), seen.recorded),
                Ok(_) => (Some(End::Gone), Changes::default()),
                Err(fault) => {
                    warn!(%fault, name = id.name, "a rollout cannot be watched");
                    (overdue.then_some(End::Overdue), Changes::default())
                }
            };
            if let Some(ended) = ended {
                self.tell_end(&id, ended).await;
                queue.done(&Subject::Workload(id), &recorded, Instant::now());
            }
        }
    }

    async fn tell_end(&self, id: &WorkloadId, ended: End) {
        let (outcome, why) = match ended {
            End::Complete => (RolloutOutcome::Completed, None),
            End::Gone => (RolloutOutcome::Unfinished, None),
            End::Overdue => (
                RolloutOutcome::Unfinished,
                Some("did not end within 10 minutes"),
            ),
            End::Stopped => (RolloutOutcome::Unfinished, Some("was stopped")),
            End::Stuck => (RolloutOutcome::Unfinished, Some("is stuck")),
        };
        self.metrics.restarts.rollout(outcome);
        let (kind, namespace, name) = (id.kind.name(), &id.namespace, &id.name);
        info!(kind, namespace, name, ?outcome, "a rollout ended");
        if let Some(why) = why {
            self.events
                .tell(&id.reference(), news::unfinished(why))
                .await;
        }
    }

    fn count(&self, outcome: ReconcileOutcome) {
        self.metrics.reconciled(ControllerName::Restart, outcome);
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Gone,
    Overdue,
    Stopped,
    Stuck,
}

fn end(state: State, overdue: bool) -> Option<End> {
    match state {
        State::Settled => Some(End::Complete),
        State::Deleting => Some(End::Gone),
        State::OnDelete | State::Paused => Some(End::Stopped),
        State::Stuck => Some(End::Stuck),
        State::Rolling => overdue.then_some(End::Overdue),
    }
}

/// What is to be restarted, as far as the owners are known.
fn wanted(
    due: &BTreeMap<PodId, Changes>,
    owners: &Owners,
    now: Instant,
) -> BTreeMap<Subject, Changes> {
    let mut wanted: BTreeMap<Subject, Changes> = BTreeMap::new();
    for (pod, changes) in due {
        let subject = match owners.known(pod, now) {
            Some(Owner::Nobody(obstacle)) => Subject::Pod(pod.clone(), obstacle.clone()),
            Some(Owner::Workload(id)) => Subject::Workload(id.clone()),
            Some(Owner::NoNeed) | None => continue,
        };
        wanted.entry(subject).or_default().join(changes);
    }
    wanted
}

/// In an order in which each group of pods has its first one before any has its second. A group is
/// guessed by the name: all but what comes after the last hyphen.
fn spread<'a>(pods: impl Iterator<Item = &'a PodId>) -> Vec<&'a PodId> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let ranked = pods.map(|pod| {
        let name = pod.name.name.as_str();
        let stem = name.rsplit_once('-').map_or(name, |(stem, _)| stem);
        let rank = seen.entry((&pod.name.namespace, stem)).or_default();
        *rank += 1;
        (*rank, pod)
    });
    let mut ranked: Vec<(usize, &PodId)> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

/// The names of vaults, by UID.
struct Names(HashMap<String, String>);

impl Names {
    fn of(vaults: &[Arc<SecretVault>]) -> Self {
        let names = vaults.iter().filter_map(|vault| {
            let namespace = vault.namespace().unwrap_or_default();
            Some((vault.uid()?, format!("{namespace}/{}", vault.name_any())))
        });
        Self(names.collect())
    }

    fn knows(&self, uid: &str) -> bool {
        self.0.contains_key(uid)
    }

    /// `vault shop/app`, or `vaults shop/app, shop/db`.
    fn of_changes(&self, changes: &Changes) -> String {
        let names = changes.vaults().filter_map(|uid| self.0.get(uid));
        let names: Vec<&str> = names.map(String::as_str).collect();
        let noun = if names.len() == 1 { "vault" } else { "vaults" };
        format!("{noun} {}", crate::words::listed(names))
    }
}

const CONFLICT: u16 = 409;
/// How soon to try again what failed.
const FAILED: Duration = Duration::from_secs(30);
/// How soon to look again at a workload that is left as it is.
const HELD: Duration = Duration::from_secs(30);
/// How many pods to look up at a time.
const LOOK_UPS: usize = 16;
/// How often to look how rollouts go.
const POLL: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);
