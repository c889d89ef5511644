//! An attached volume that is brought up to date: what its renewal means for what is known of it.

use std::{sync::Arc, time::Instant};

use secretvault_volume::Change;
use tokio::sync::OwnedMutexGuard;
use tracing::{debug, info, warn};

use super::{
    Outcome, PublishError, Publisher, Reason, Trouble, hold,
    renewal::{Renewal, renew},
    slot::{Slot, Work},
};
use crate::{release::question, volume::TargetPath};

/// A volume that one operation has for its own.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) target: TargetPath,
    pub(super) slot: Arc<Slot>,
    pub(super) work: OwnedMutexGuard<Work>,
}

/// What a refresh came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Concluded {
    /// What became of the files, if anything was written.
    pub(super) change: Option<Change>,
    /// Why not all is well.
    pub(super) failed: Option<Reason>,
}

impl Owned {
    /// Waits until nobody else works on the volume.
    pub(super) async fn lock(target: &TargetPath, slot: &Arc<Slot>) -> Self {
        Self {
            target: target.clone(),
            slot: Arc::clone(slot),
            work: Arc::clone(&slot.work).lock_owned().await,
        }
    }

    /// `None`: somebody works on the volume.
    pub(super) fn try_lock(target: &TargetPath, slot: &Arc<Slot>) -> Option<Self> {
        Some(Self {
            target: target.clone(),
            slot: Arc::clone(slot),
            work: Arc::clone(&slot.work).try_lock_owned().ok()?,
        })
    }
}

impl Publisher {
    /// Asks for one volume with what is remembered, and notes how that went.
    pub(super) async fn bring_up_to_date(&self, volume: &mut Owned) -> Outcome {
        let renewed = self.renewed(volume).await;
        let concluded = self.conclude(volume, renewed);
        match (concluded.failed, concluded.change) {
            (Some(_), _) | (None, None) => Outcome::Kept,
            (None, Some(Change::Swapped)) => Outcome::Updated,
            (None, Some(Change::Unchanged)) => Outcome::Unchanged,
        }
    }

    async fn renewed(&self, volume: &mut Owned) -> Result<Renewal, PublishError> {
        // The new token first: it must outlive us whatever the operator says.
        self.save(volume).await?;
        let record = volume.work.record.clone().ok_or(UNKNOWN)?;
        let _turn = self.turns.to_refresh(hold::REFRESH).await?;
        let question = question(&record.request, &record.held, &[]);
        let answer = self.operator.release_one(question, hold::REFRESH).await?;
        volume.slot.answered(answer.bytes);
        self.blocking(move |shelf| renew(shelf, &record, answer.verdict))
            .await
    }

    /// Remembers what kubelet asked for, if that is not done yet.
    pub(super) async fn save(&self, volume: &mut Owned) -> Result<(), PublishError> {
        if !volume.work.is_saved {
            let record = volume.work.record.clone().ok_or(UNKNOWN)?;
            self.blocking(move |shelf| shelf.remember(&record)).await?;
            volume.work.is_saved = true;
        }
        Ok(())
    }

    /// Notes what a volume has come to.
    pub(super) fn conclude(
        &self,
        volume: &mut Owned,
        renewed: Result<Renewal, PublishError>,
    ) -> Concluded {
        let renewal = match renewed {
            Ok(renewal) => renewal,
            Err(error) => {
                return Concluded {
                    change: None,
                    failed: Some(self.fail(volume, &error)),
                };
            }
        };
        self.holdings.hold(&volume.target, &renewal.record.held);
        volume.work.record = Some(renewal.record);
        volume.work.is_saved = renewal.is_saved;
        match renewal.change {
            Change::Swapped => {
                info!("volume updated");
                log_notices(&renewal.notices);
            }
            Change::Unchanged => debug!("volume unchanged"),
        }
        self.measure();
        if renewal.trouble.is_none() {
            volume.work.refreshed = Some(Instant::now());
            volume.slot.note(None);
        }
        Concluded {
            change: Some(renewal.change),
            failed: renewal.trouble.map(|error| self.fail(volume, &error)),
        }
    }

    /// Notes why a volume stays as it is. kubelet's next publish asks anew, however soon it comes.
    pub(super) fn fail(&self, volume: &mut Owned, error: &PublishError) -> Reason {
        volume.work.refreshed = None;
        self.note_failure(&volume.slot, error);
        error.reason()
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

const UNKNOWN: PublishError = PublishError::Interrupted("nothing is known of the volume");
