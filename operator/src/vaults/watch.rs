//! The loop that keeps the view current.
//!
//! List, then watch from where the list ended, then watch again from where the last watch ended.
//! What makes the next list necessary: the API server has forgotten that point (410), sends what
//! cannot be read, or refuses the watch [`RELIST_AFTER`] times in a row, as it does for ever when
//! etcd was restored from an older backup.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{Api, ListParams, WatchParams};
use kube::core::{ApiResource, DynamicObject, WatchEvent};
use kube::{Client, ResourceExt};
use secretvault_crds::SecretVault;
use secretvault_vault::VaultRef;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{Fault, Seen, Vaults};

/// One loop over one view.
pub(super) struct Watch {
    vaults: Vaults,
    api: Api<DynamicObject>,
    /// The resource version to watch from; none: list first.
    position: Option<String>,
    failures: u32,
}

impl Watch {
    pub(super) fn new(vaults: Vaults, client: Client) -> Self {
        let api = Api::all_with(client, &ApiResource::erase::<SecretVault>(&()));
        Self {
            vaults,
            api,
            position: None,
            failures: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.round().await {
                Ok(()) => self.failures = 0,
                Err(error) => self.recover(&error).await,
            }
        }
    }

    async fn round(&mut self) -> Result<(), WatchError> {
        match self.position.clone() {
            None => self.list().await,
            Some(position) => self.watch(&position).await,
        }
    }

    async fn recover(&mut self, error: &WatchError) {
        self.failures = self.failures.saturating_add(1);
        let relist = must_relist(error, self.failures);
        if relist {
            self.position = None;
        }
        warn!(%error, relist, failures = self.failures, "watch of vaults interrupted");
        sleep(delay(self.failures, getrandom::u32().unwrap_or_default())).await;
    }

    async fn list(&mut self) -> Result<(), WatchError> {
        let mut listed = BTreeMap::new();
        let mut params = ListParams::default().limit(PAGE);
        let position = loop {
            let page = Fault::within(ANSWER_LIMIT, self.api.list(&params)).await?;
            for object in page.items {
                let (vault, seen) = self.parse(object);
                listed.insert(vault, seen);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version,
            }
        };
        let count = listed.len();
        self.vaults.replace(listed, Instant::now());
        self.position = Some(position.ok_or(Fault::Answer)?);
        info!(count, "vaults listed");
        Ok(())
    }

    async fn watch(&mut self, position: &str) -> Result<(), WatchError> {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let begun = Instant::now();
        let events = Fault::within(ANSWER_LIMIT, self.api.watch(&params, position)).await?;
        let delivered = self.consume(pin!(events)).await?;
        if !delivered && begun.elapsed() < SHORTEST_WATCH {
            return Err(WatchError::Cut);
        }
        Ok(())
    }

    /// Takes events until the API server ends the watch. Returns whether there were any.
    async fn consume(
        &mut self,
        mut events: impl Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin,
    ) -> Result<bool, WatchError> {
        let mut delivered = false;
        loop {
            let next = timeout(SILENCE_LIMIT, events.next()).await;
            match next.map_err(|_elapsed| WatchError::Silent)? {
                None => return Ok(delivered),
                Some(event) => self.take(event.map_err(|error| Fault::from(&error))?)?,
            }
            delivered = true;
            self.failures = 0;
        }
    }

    fn take(&mut self, event: WatchEvent<DynamicObject>) -> Result<(), WatchError> {
        let now = Instant::now();
        let position = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let position = object.resource_version();
                let (vault, seen) = self.parse(object);
                self.vaults.upsert(vault, seen, now);
                position
            }
            WatchEvent::Deleted(object) => {
                self.vaults.remove(&reference(&object), now);
                object.resource_version()
            }
            WatchEvent::Bookmark(bookmark) => {
                self.vaults.progress(now);
                Some(bookmark.metadata.resource_version)
            }
            WatchEvent::Error(status) => return Err(Fault::Status(status.code).into()),
        };
        self.position = Some(position.ok_or(Fault::Answer)?);
        Ok(())
    }

    fn parse(&self, object: DynamicObject) -> (VaultRef, Seen) {
        let vault = reference(&object);
        let before = self.vaults.seen(&vault);
        let seen = Seen::parse(object, before.as_ref());
        (vault, seen)
    }
}

/// Why a round ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum WatchError {
    /// The watch was accepted and ended at once.
    #[error("the API server ended the watch at once")]
    Cut,
    /// The request failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Neither an event nor a bookmark nor an end, beyond the time that was asked for.
    #[error("the watch fell silent")]
    Silent,
}

/// Decides whether watching on from the last point is pointless.
fn must_relist(error: &WatchError, failures: u32) -> bool {
    let forgotten = match error {
        WatchError::Fault(Fault::Status(code)) => *code == 410,
        WatchError::Fault(Fault::Answer) => true,
        WatchError::Fault(Fault::Connection | Fault::Timeout)
        | WatchError::Cut
        | WatchError::Silent => false,
    };
    forgotten || failures >= RELIST_AFTER
}

/// Doubles with each failure in a row, up to [`LONGEST_DELAY`]; the upper half is chance, so that
/// replicas do not come back together.
fn delay(failures: u32, chance: u32) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.min(LONGEST_DELAY);
    longest.mul_f64(0.5 + 0.5 * f64::from(chance) / f64::from(u32::MAX))
}

fn reference(object: &DynamicObject) -> VaultRef {
    VaultRef::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// How long one watch lasts. The API server sends a bookmark two seconds before its end.
pub(super) const WATCH_SECONDS: u32 = 30;

/// Beyond this without a line, a watch hangs.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(40);

/// How long a list's page, or the head of a watch's answer, may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A watch that ends sooner, and without an event, counts as a failure: no busy loop.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// Vaults in one page of a list: each may have more than a mebibyte.
const PAGE: u32 = 64;

const RELIST_AFTER: u32 = 4;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_continued_is_listed_again() {
        let status = |code| WatchError::Fault(Fault::Status(code));
        assert!(must_relist(&status(410), 1));
        assert!(must_relist(&WatchError::Fault(Fault::Answer), 1));
        for error in [
            status(500),
            status(403),
            WatchError::Silent,
            WatchError::Cut,
        ] {
            assert!(!must_relist(&error, 1), "{error}");
            assert!(!must_relist(&error, RELIST_AFTER - 1), "{error}");
            assert!(must_relist(&error, RELIST_AFTER), "{error}");
        }
    }

    #[test]
    fn delays_double_up_to_a_limit_that_leaves_time_before_the_view_is_stale() {
        assert_eq!(delay(1, u32::MAX), FIRST_DELAY);
        assert_eq!(delay(1, 0), FIRST_DELAY / 2);
        assert_eq!(delay(2, u32::MAX), FIRST_DELAY * 2);
        assert_eq!(delay(u32::MAX, u32::MAX), LONGEST_DELAY);
        assert!(SILENCE_LIMIT + LONGEST_DELAY + ANSWER_LIMIT < super::super::MAX_SILENCE);
    }
}
