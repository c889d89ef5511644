//! How many answers of the operator are in memory at once.
//!
//! An answer, what was opened of it and what is read back to compare take several times a volume's
//! size until the volume is written. What volumes hold stays charged to the agent when it dies, so a
//! successor that asked for all of them at once would be killed for want of memory, over and over.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::PublishError;

/// Turns to ask and write.
#[derive(Debug)]
pub(super) struct Turns {
    attaching: Semaphore,
    refreshing: Arc<Semaphore>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            attaching: Semaphore::new(ATTACHING),
            refreshing: Arc::new(Semaphore::new(REFRESHING)),
        }
    }

    /// A turn for a new volume, for which a pod waits.
    ///
    /// # Errors
    /// None came within `patience`.
    pub(super) async fn to_attach(
        &self,
        patience: Duration,
    ) -> Result<SemaphorePermit<'_>, PublishError> {
        turn(&self.attaching, patience).await
    }

    /// A turn for an attached volume. Bounded too: a republish that kubelet gives up would be a
    /// failed one.
    ///
    /// # Errors
    /// None came within `patience`.
    pub(super) async fn to_refresh(
        &self,
        patience: Duration,
    ) -> Result<SemaphorePermit<'_>, PublishError> {
        turn(&self.refreshing, patience).await
    }

    /// A turn for attached volumes that have changed. Those before it are bounded, each by its own
    /// patience. `None`: there are no turns any more.
    pub(super) async fn to_refresh_several(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.refreshing).acquire_owned().await.ok()
    }
}

async fn turn(turns: &Semaphore, patience: Duration) -> Result<SemaphorePermit<'_>, PublishError> {
    let turn = timeout(patience, turns.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or(PublishError::Busy)
}

/// New volumes at once; each answer takes milliseconds.
const ATTACHING: usize = 4;

/// Questions about attached volumes at once; each has one answer, of which the size is bounded.
const REFRESHING: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_then_one_for_each_that_ends() {
        let (turns, patience) = (Turns::new(), Duration::from_secs(1));
        let mut held = Vec::new();
        for _ in 0..ATTACHING {
            held.push(turns.to_attach(patience).await.unwrap());
        }
        let refreshing = turns.to_refresh(patience).await;
        assert!(refreshing.is_ok(), "it waits for no new volume");
        let late = turns.to_attach(patience).await.unwrap_err();
        assert!(matches!(late, PublishError::Busy), "{late}");
        held.pop();
        assert!(turns.to_attach(patience).await.is_ok());
    }
}
