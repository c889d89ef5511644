//! Keeping an attached volume up to date: the same for kubelet's republish, for the start of the
//! agent, and for whoever learns of a change.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use secretvault_volume::Change;
use tokio::{sync::OwnedMutexGuard, task::JoinSet};
use tracing::{debug, info, instrument, warn};

use super::{
    Outcome, PublishError, Publisher, Trouble, hold,
    slot::{Slot, Work},
};
use crate::{
    csi::PublishRequest,
    release::{Held, Opened, open, question},
    state::Record,
    volume::TargetPath,
};

impl Publisher {
    /// Brings an attached volume up to date with what is remembered of it. Does nothing for one
    /// that is not attached, or whose token has ended: kubelet's next republish brings a new one.
    #[instrument(skip_all, fields(volume = %target))]
    pub async fn refresh(self: &Arc<Self>, target: &TargetPath) {
        let slot = self.slot(target);
        let this = Arc::clone(self);
        let refreshed = self.owned(async move {
            let mut work = Arc::clone(&slot.work).lock_owned().await;
            let now = jiff::Timestamp::now();
            let usable = |record: &Record| !record.request.token.has_expired(now);
            if work.record.as_ref().is_some_and(usable) {
                this.bring_up_to_date(&slot, &mut work).await;
            }
            Ok(())
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

    /// Asks with what is remembered, and notes how that went.
    pub(super) async fn bring_up_to_date(
        &self,
        slot: &Slot,
        work: &mut OwnedMutexGuard<Work>,
    ) -> Outcome {
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
        let _turn = self.turns.to_refresh(hold::REFRESH).await?;
        let answered = self.ask(&record.request, &record.held, hold::REFRESH).await;
        let (opened, denied) = match answered {
            Ok(opened) => (opened, None),
            // A right that ended must not wait until all else is well.
            Err(error) if !error.withdrawn().is_empty() => {
                let left = Opened::without(error.withdrawn(), &record.held);
                (left, Some(error))
            }
            Err(error) => return Err(error),
        };
        record.held = opened.held.clone();
        let notices = opened.notices.clone();
        let next = record.clone();
        let change = self
            .blocking(move |shelf| shelf.change(&next, opened))
            .await?;
        work.record = Some(record.clone());
        self.blocking(move |shelf| shelf.remember(&record)).await?;
        match change {
            Change::Swapped => {
                info!("volume updated");
                log_notices(&notices);
            }
            Change::Unchanged => debug!("volume unchanged"),
        }
        denied.map_or(Ok(change), Err)
    }

    /// Asks the operator, and opens what it answers.
    pub(super) async fn ask(
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
        Ok(opened)
    }

    pub(super) fn note_failure(&self, slot: &Slot, error: &PublishError) {
        let (reason, message) = (error.reason(), error.message());
        self.metrics.refresh_failed(reason);
        let trouble = Trouble {
            reason,
            message: message.clone(),
        };
        if slot.note(Some(trouble)) {
            warn!(
                ?reason,
                error = message,
                "volume not refreshed: its files stay"
            );
        }
    }
}

/// What the pod's owner should know, once for each generation.
pub(super) fn log_notices(notices: &[String]) {
    for notice in notices {
        info!(notice, "notice from the operator");
    }
}
