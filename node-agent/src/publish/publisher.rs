//! The operations, each in a task of its own: a caller that goes away does not stop one half-way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::encoding::EncodeLabelValue;
use secretvault_volume::Usage;
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, instrument};

use super::{
    PublishError, Shelf, Trouble,
    hold::{self, Next},
    pending::Pending,
    refresh::{Owned, log_notices},
    slot::{Slot, Slots},
    turns::Turns,
};
use crate::{
    csi::PublishRequest,
    metrics::Metrics,
    release::{Held, Holdings, Operator, question},
    state::Record,
    volume::TargetPath,
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
    pub(super) shelf: Arc<Shelf>,
    pub(super) operator: Operator,
    pub(super) slots: Slots,
    pub(super) turns: Turns,
    pub(super) holdings: Holdings,
    pub(super) pending: Pending,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
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
            turns: Turns::new(),
            holdings: Holdings::new(),
            pending: Pending::default(),
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
            let mut work = slot.work.lock().await;
            (work.record, work.is_saved) = (Some(record), true);
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
            match hold::after_failure(told, &failed, begun.elapsed(), chance) {
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
        let attached = self.blocking(move |shelf| Ok(shelf.has(&target)?)).await;
        let attached = match attached {
            Ok(attached) => attached,
            // The node does not tell. An error would cost a running pod its directory.
            Err(_) => slot.work.lock().await.record.is_some(),
        };
        if attached {
            self.note_failure(&slot, &error);
            return Ok(Outcome::Kept);
        }
        slot.tell(Some(error.reason()));
        Err(error)
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
            let mut work = slot.work.lock().await;
            work.unpublished += 1;
            let removed = target.clone();
            this.blocking(move |shelf| shelf.remove(&removed)).await?;
            this.holdings.forget(&target);
            this.pending.forget(&target);
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
            let mut volume = Owned::lock(&request.target, &slot).await;
            if volume.work.unpublished != unpublished {
                return Err(PublishError::Interrupted(
                    "the volume was unpublished meanwhile",
                ));
            }
            let target = request.target.clone();
            if this.blocking(move |shelf| Ok(shelf.has(&target)?)).await? {
                return Ok(this.republish(&mut volume, request).await);
            }
            this.attach(&mut volume, request, patience).await?;
            slot.note(None);
            this.measure();
            Ok(Outcome::Attached)
        })
        .await
    }

    async fn attach(
        &self,
        volume: &mut Owned,
        request: Arc<PublishRequest>,
        patience: Duration,
    ) -> Result<(), PublishError> {
        volume.work.record = None;
        let _turn = self.turns.to_attach(patience).await?;
        let question = question(&request, &Held::default(), &[]);
        let answer = self.operator.release_one(question, patience).await?;
        volume.slot.answered(answer.bytes);
        let grant = answer.verdict?;
        let attach = move |shelf: &Shelf| {
            let opened = shelf.open(&grant, &Held::default(), request.group)?;
            // What is written is in memory once.
            drop(grant);
            let held = opened.held.clone().from_the_start();
            let record = Record { request, held };
            let (files, notices) = (opened.files.len(), opened.notices.clone());
            shelf.attach(&record, opened)?;
            Ok((record, files, notices))
        };
        let (record, files, notices) = self.blocking(attach).await?;
        self.holdings.hold(&volume.target, &record.held);
        let work = &mut *volume.work;
        (work.record, work.is_saved) = (Some(record), true);
        work.refreshed = Some(Instant::now());
        info!(files, "volume attached");
        log_notices(&notices);
        Ok(())
    }

    /// kubelet asks again, with a fresh token. Never an error: kubelet before 1.37 would delete
    /// the mount directory of a running pod.
    async fn republish(&self, volume: &mut Owned, request: Arc<PublishRequest>) -> Outcome {
        let work = &mut *volume.work;
        let recent = work.refreshed.is_some_and(|then| then.elapsed() < RECENT);
        let record = work.record.take();
        let held = record.map(|record| record.held).unwrap_or_default();
        (work.record, work.is_saved) = (Some(Record { request, held }), false);
        if recent {
            return Outcome::Recent;
        }
        self.bring_up_to_date(volume).await
    }

    pub(super) fn measure(&self) {
        self.metrics.load(self.shelf.load());
    }

    pub(super) fn slot(&self, target: &TargetPath) -> Arc<Slot> {
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
    pub(super) async fn owned<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, PublishError>> + Send + 'static,
    ) -> Result<T, PublishError> {
        use tracing::Instrument;
        let task = self.tasks.spawn(operation.in_current_span());
        task.await
            .unwrap_or(Err(PublishError::Interrupted("the operation broke off")))
    }

    pub(super) async fn blocking<T: Send + 'static>(
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::{
        csi::{self, TokenPlace},
        metrics::Facts,
        release::Credentials,
        state::Store,
        volume::{Budget, Layer},
    };

    /// On a node that does not tell what is attached: a file is in the way.
    fn publisher(directory: &Path) -> Arc<Publisher> {
        fs::write(directory.join("pods"), "").unwrap();
        let layer = Layer::open(directory).unwrap();
        let store = Store::open(directory, directory).unwrap();
        let credentials = Credentials {
            ca_file: PathBuf::new(),
            token_file: PathBuf::new(),
        };
        let facts = Facts {
            budget: 0,
            noswap: false,
        };
        Publisher::new(
            Arc::new(Shelf::new(layer, store, Budget::new(0, 0))),
            Operator::new("operator:443".parse().unwrap(), credentials),
            Arc::new(Metrics::new(facts)),
            TaskTracker::new(),
            CancellationToken::new(),
        )
    }

    fn record() -> Record {
        let request = csi::request::tests::request();
        let (id, path) = (&request.volume_id, &request.target_path);
        let target = csi::request::target(Path::new("/k"), id, path).unwrap();
        let request = PublishRequest::parse(target, &request, TokenPlace::Secrets).unwrap();
        Record {
            request: Arc::new(request),
            held: Held::default(),
        }
    }

    #[tokio::test]
    async fn a_volume_that_was_attached_is_kept_where_the_node_does_not_tell() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let (publisher, record) = (publisher(directory.path()), record());
        let target = record.request.target.clone();
        let refused = publisher.keep(target.clone(), PublishError::Busy).await;
        assert!(matches!(refused, Err(PublishError::Busy)), "a new volume");
        publisher.slot(&target).work.lock().await.record = Some(record);
        let kept = publisher.keep(target, PublishError::Busy).await;
        assert_eq!(kept.unwrap(), Outcome::Kept);
    }
}
