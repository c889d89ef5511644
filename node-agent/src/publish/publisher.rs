//! The operations, each in a task of its own: a caller that goes away does not stop one half-way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::encoding::EncodeLabelValue;
use tokio::{
    sync::OwnedMutexGuard,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, instrument, warn};

use super::{
    PublishError, Shelf, Trouble,
    hold::{self, Next},
    slot::{Slot, Slots, Work},
};
use crate::{
    csi::PublishRequest,
    metrics::Metrics,
    release::{Held, Opened, Operator, open, question},
    state::Record,
    volume::{Change, TargetPath, Usage},
};

/// What became of a publish that kubelet hears a yes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// A new volume.
    Attached,
    /// The volume stays as it is, because there was no good answer.
    Kept,
    /// The volume was asked about a moment ago.
    Recent,
    /// All was as it should be.
    Unchanged,
    /// A new generation.
    Updated,
}

/// What kubelet hears of a volume.
#[derive(Clone, Debug)]
pub struct VolumeStats {
    /// How full it is.
    pub usage: Usage,
    /// Why it is not up to date.
    pub trouble: Option<Trouble>,
}

/// Publishes volumes.
#[derive(Debug)]
pub struct Publisher {
    shelf: Arc<Shelf>,
    operator: Operator,
    slots: Slots,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Publisher {
    /// Starts with no volumes. `tasks` owns every operation; `stopping` ends every wait.
    pub fn new(
        shelf: Arc<Shelf>,
        operator: Operator,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            shelf,
            operator,
            slots: Slots::default(),
            metrics,
            tasks,
            stopping,
        })
    }

    /// Finds the volumes of an agent before us.
    ///
    /// # Errors
    /// The node does not tell.
    pub async fn recover(self: &Arc<Self>) -> Result<usize, PublishError> {
        let records = self
            .blocking(|shelf| shelf.recover().map_err(PublishError::State))
            .await?;
        let count = records.len();
        for record in records {
            let slot = self.slot(&record.request.target);
            slot.work.lock().await.record = Some(record);
        }
        self.measure();
        Ok(count)
    }

    /// Publishes a volume: attaches it, or brings an attached one up to date.
    ///
    /// # Guarantees
    /// An attached volume is never detached, and never answered with an error. A first failure is
    /// answered within two seconds.
    ///
    /// # Errors
    /// Nothing is attached.
    #[instrument(skip_all, fields(volume = %request.target, namespace = request.pod.namespace,
        pod = request.pod.name))]
    pub async fn publish(
        self: &Arc<Self>,
        request: PublishRequest,
    ) -> Result<Outcome, PublishError> {
        let slot = self.slot(&request.target);
        let unpublished = slot.work.lock().await.unpublished;
        let request = Arc::new(request);
        let (told, begun) = (slot.told(), Instant::now());
        loop {
            let asked = (Arc::clone(&request), hold::patience(told), unpublished);
            let failed = match self.attempt(Arc::clone(&slot), asked).await {
                Ok(outcome) => {
                    slot.tell(None);
                    return Ok(outcome);
                }
                Err(failed) => failed,
            };
            let chance = getrandom::u32().unwrap_or_default();
            match hold::after_failure(told, failed.reason(), begun.elapsed(), chance) {
                Next::RetryAfter(pause) if self.pause(pause).await => {}
                Next::RetryAfter(_) | Next::Answer => {
                    return self.keep(request.target.clone(), failed).await;
                }
            }
        }
    }

    /// Answers a request that came to nothing: yes, if its volume is attached, which then stays.
    ///
    /// # Errors
    /// Nothing is attached.
    pub async fn keep(
        self: &Arc<Self>,
        target: TargetPath,
        error: PublishError,
    ) -> Result<Outcome, PublishError> {
        let slot = self.slot(&target);
        if let Ok(true) = self.blocking(move |shelf| Ok(shelf.has(&target)?)).await {
            self.note_failure(&slot, &error);
            return Ok(Outcome::Kept);
        }
        slot.tell(Some(error.reason()));
        Err(error)
    }

    /// Brings an attached volume up to date with what is remembered of it. Does nothing for one
    /// that is not attached, or whose token has ended: kubelet's next republish brings a new one.
    pub async fn refresh(self: &Arc<Self>, target: &TargetPath) {
        let slot = self.slot(target);
        let this = Arc::clone(self);
        let refreshed = self.tasks.spawn(async move {
            let mut work = Arc::clone(&slot.work).lock_owned().await;
            let now = jiff::Timestamp::now();
            let usable = |record: &Record| !record.request.token.has_expired(now);
            if work.record.as_ref().is_some_and(usable) {
                this.bring_up_to_date(&slot, &mut work).await;
            }
        });
        let _ = refreshed.await;
    }

    /// Refreshes every volume that is known.
    pub async fn refresh_all(self: &Arc<Self>) {
        let mut refreshes = JoinSet::new();
        for target in self.slots.targets() {
            let this = Arc::clone(self);
            refreshes.spawn(async move { this.refresh(&target).await });
        }
        while refreshes.join_next().await.is_some() {}
    }

    /// Ends what is open longer than it must be. Never returns.
    pub async fn tend(&self) {
        self.operator.tend().await;
    }

    /// Takes a volume away.
    ///
    /// # Errors
    /// Something else is at the target, or the kernel refused.
    #[instrument(skip_all, fields(volume = %target))]
    pub async fn unpublish(self: &Arc<Self>, target: TargetPath) -> Result<(), PublishError> {
        let slot = self.slot(&target);
        let this = Arc::clone(self);
        self.owned(async move {
            let mut work = Arc::clone(&slot.work).lock_owned().await;
            work.unpublished += 1;
            this.blocking(move |shelf| shelf.remove(&target)).await?;
            work.record = None;
            work.refreshed = None;
            slot.note(None);
            slot.tell(None);
            this.measure();
            info!("volume removed");
            Ok(())
        })
        .await
    }

    /// What there is to say of a volume. `None`: it is not attached.
    ///
    /// # Errors
    /// Something else is at the target, or the kernel refused.
    pub async fn stats(
        self: &Arc<Self>,
        target: TargetPath,
    ) -> Result<Option<VolumeStats>, PublishError> {
        let asked = target.clone();
        let usage = self.blocking(move |shelf| Ok(shelf.usage(&asked)?)).await?;
        Ok(usage.map(|usage| VolumeStats {
            usage,
            trouble: self.slot(&target).trouble(),
        }))
    }

    /// Whether we can ask the operator at all.
    pub async fn is_ready(&self) -> bool {
        self.operator.check_credentials().await.is_ok()
    }

    /// One try, alone with its volume.
    async fn attempt(
        self: &Arc<Self>,
        slot: Arc<Slot>,
        (request, patience, unpublished): (Arc<PublishRequest>, Duration, u64),
    ) -> Result<Outcome, PublishError> {
        let this = Arc::clone(self);
        self.owned(async move {
            let mut work = Arc::clone(&slot.work).lock_owned().await;
            if work.unpublished != unpublished {
                return Err(PublishError::Interrupted(
                    "the volume was unpublished meanwhile",
                ));
            }
            let target = request.target.clone();
            if this.blocking(move |shelf| Ok(shelf.has(&target)?)).await? {
                return Ok(this.republish(&slot, &mut work, request).await);
            }
            this.attach(&mut work, request, patience).await?;
            slot.note(None);
            this.measure();
            Ok(Outcome::Attached)
        })
        .await
    }

    async fn attach(
        &self,
        work: &mut OwnedMutexGuard<Work>,
        request: Arc<PublishRequest>,
        patience: Duration,
    ) -> Result<(), PublishError> {
        work.record = None;
        let held = Held::default();
        let opened = self.ask(&request, &held, patience).await?;
        let held = opened.held.clone();
        let record = Record { request, held };
        let (files, notices) = (opened.files.len(), opened.notices.len());
        let record = self
            .blocking(move |shelf| shelf.attach(&record, opened).map(|()| record))
            .await?;
        work.record = Some(record);
        work.refreshed = Some(Instant::now());
        info!(files, notices, "volume attached");
        Ok(())
    }

    /// kubelet asks again, with a fresh token. Never an error: kubelet before 1.37 would delete
    /// the mount directory of a running pod.
    async fn republish(
        &self,
        slot: &Slot,
        work: &mut OwnedMutexGuard<Work>,
        request: Arc<PublishRequest>,
    ) -> Outcome {
        let recent = work.refreshed.is_some_and(|then| then.elapsed() < RECENT);
        let held = work
            .record
            .take()
            .map(|record| record.held)
            .unwrap_or_default();
        work.record = Some(Record { request, held });
        if recent {
            return Outcome::Recent;
        }
        self.bring_up_to_date(slot, work).await
    }

    /// Asks with what is remembered, and notes how that went.
    async fn bring_up_to_date(&self, slot: &Slot, work: &mut OwnedMutexGuard<Work>) -> Outcome {
        match self.change(work).await {
            Ok(change) => {
                work.refreshed = Some(Instant::now());
                slot.note(None);
                self.measure();
                match change {
                    Change::Swapped => Outcome::Updated,
                    Change::Unchanged => Outcome::Unchanged,
                }
            }
            Err(error) => {
                self.note_failure(slot, &error);
                Outcome::Kept
            }
        }
    }

    async fn change(&self, work: &mut OwnedMutexGuard<Work>) -> Result<Change, PublishError> {
        let gone = PublishError::Interrupted("nothing is known of the volume");
        let mut record = work.record.clone().ok_or(gone)?;
        let newest = record.clone();
        // The new token first: it must outlive us whatever the operator says.
        self.blocking(move |shelf| shelf.remember(&newest)).await?;
        let opened = self
            .ask(&record.request, &record.held, hold::REFRESH)
            .await?;
        record.held = opened.held.clone();
        let next = record.clone();
        let change = self
            .blocking(move |shelf| shelf.change(&next, opened))
            .await?;
        work.record = Some(record.clone());
        self.blocking(move |shelf| shelf.remember(&record)).await?;
        match change {
            Change::Swapped => info!("volume updated"),
            Change::Unchanged => debug!("volume unchanged"),
        }
        Ok(change)
    }

    /// Asks the operator, and opens what it answers.
    async fn ask(
        &self,
        request: &Arc<PublishRequest>,
        held: &Held,
        patience: Duration,
    ) -> Result<Opened, PublishError> {
        let question = question(request, held);
        let grant = self.operator.release(&question, patience).await?;
        let (held, group) = (held.clone(), request.group);
        let opened = self
            .blocking(move |_| Ok(open(&grant, &held, group)?))
            .await?;
        for notice in &opened.notices {
            info!(notice, volume = %request.target, "notice from the operator");
        }
        Ok(opened)
    }

    fn note_failure(&self, slot: &Slot, error: &PublishError) {
        let (reason, message) = (error.reason(), error.message());
        self.metrics.refresh_failed(reason);
        let trouble = Trouble {
            reason,
            message: message.clone(),
        };
        if slot.note(Some(trouble)) {
            warn!(
                ?reason,
                message, "volume not refreshed: its files stay as they are"
            );
        }
    }

    fn measure(&self) {
        self.metrics.load(self.shelf.load());
    }

    fn slot(&self, target: &TargetPath) -> Arc<Slot> {
        self.slots.of(target, Instant::now())
    }

    /// Waits; false if we stop.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = sleep(pause) => true,
            () = self.stopping.cancelled() => false,
        }
    }

    /// Runs an operation to its end, whether or not its caller waits for it.
    async fn owned<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, PublishError>> + Send + 'static,
    ) -> Result<T, PublishError> {
        use tracing::Instrument;
        let task = self.tasks.spawn(operation.in_current_span());
        task.await
            .unwrap_or(Err(PublishError::Interrupted("the operation broke off")))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, PublishError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let (shelf, span) = (Arc::clone(&self.shelf), tracing::Span::current());
        let task = spawn_blocking(move || span.in_scope(|| work(&shelf)));
        task.await
            .unwrap_or(Err(PublishError::Interrupted("the operation broke off")))
    }
}

/// kubelet publishes a new volume twice within half a second.
const RECENT: Duration = Duration::from_secs(2);
