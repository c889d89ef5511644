//! Unwrapped data keys, for a while.
//!
//! # Guarantees
//! * Bounded in number and in age; what leaves is wiped as soon as nobody uses it.
//! * What a payload is found by names its vault, and whoever takes it out compares again.
//! * However many ask at once for one that is not there, it is fetched once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use secretvault_envelope::{Plaintext, VaultBinding};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// Names one wrapped key of one vault under one provider.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot([u8; 32]);

impl Slot {
    pub(super) fn of(provider: &str, vault: &VaultBinding<'_>, id: &str, wrapped: &str) -> Self {
        let mut digest = Sha256::new();
        let VaultBinding {
            scope,
            namespace,
            vault,
        } = vault;
        for part in [provider, scope, namespace, vault, id, wrapped] {
            // With their lengths, texts cannot be divided in another way.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// What an unwrapping gives: the payload, or why there is none.
pub(super) type Outcome<E> = Result<Arc<Plaintext>, E>;

type Flight<E> = BoxFuture<'static, Outcome<E>>;

/// The payloads. `E` is why one could not be fetched.
pub(super) struct Cache<E> {
    keep: Duration,
    inner: Mutex<Inner<E>>,
}

struct Inner<E> {
    kept: HashMap<Slot, Kept>,
    /// By age, the oldest first. Of one slot only the last counts.
    order: VecDeque<(Instant, Slot)>,
    flights: HashMap<Slot, WeakShared<Flight<E>>>,
}

struct Kept {
    payload: Arc<Plaintext>,
    since: Instant,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    pub(super) fn new(keep: Duration) -> Self {
        let inner = Inner {
            kept: HashMap::new(),
            order: VecDeque::new(),
            flights: HashMap::new(),
        };
        Self {
            keep,
            inner: Mutex::new(inner),
        }
    }

    /// The same payloads, kept for another time.
    pub(super) fn adopt(&self, old: &Self) {
        let mut old = old.lock();
        let mut new = self.lock();
        new.kept = std::mem::take(&mut old.kept);
        new.order = std::mem::take(&mut old.order);
    }

    /// The payload, if it is here.
    pub(super) fn find(&self, slot: Slot) -> Option<Arc<Plaintext>> {
        self.lock().find(slot, self.keep)
    }

    /// Keeps a payload.
    pub(super) fn insert(&self, slot: Slot, payload: Arc<Plaintext>) {
        let since = Instant::now();
        let mut inner = self.lock();
        inner.kept.insert(slot, Kept { payload, since });
        inner.order.push_back((since, slot));
        while inner.kept.len() > MAX_KEPT || inner.order.len() > 2 * MAX_KEPT {
            inner.remove_oldest();
        }
        inner.remove_older(since, self.keep);
    }

    /// Wipes what is too old.
    pub(super) fn sweep(&self) {
        let mut inner = self.lock();
        inner.remove_older(Instant::now(), self.keep);
        inner.flights.retain(|_, flight| flight.upgrade().is_some());
    }

    /// The payload: from here, or by what `fetch` does, which is then kept. Those who ask for one
    /// slot at a time share one fetch; it goes on for as long as one of them waits.
    pub(super) async fn find_or_fetch(
        self: &Arc<Self>,
        slot: Slot,
        fetch: impl FnOnce() -> BoxFuture<'static, Outcome<E>>,
    ) -> Outcome<E> {
        let flight = match self.find_or_start(slot, fetch) {
            Ok(payload) => return Ok(payload),
            Err(flight) => flight,
        };
        flight.await
    }

    fn find_or_start(
        self: &Arc<Self>,
        slot: Slot,
        fetch: impl FnOnce() -> Flight<E>,
    ) -> Result<Arc<Plaintext>, Shared<Flight<E>>> {
        // Under one lock: a fetch that ends just now is either under way or kept.
        let mut inner = self.lock();
        if let Some(payload) = inner.find(slot, self.keep) {
            return Ok(payload);
        }
        if let Some(flight) = inner.flights.get(&slot).and_then(WeakShared::upgrade) {
            return Err(flight);
        }
        let (cache, fetched) = (Arc::clone(self), fetch());
        let flight = async move {
            let outcome = fetched.await;
            if let Ok(payload) = &outcome {
                cache.insert(slot, Arc::clone(payload));
            }
            cache.lock().flights.remove(&slot);
            outcome
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            inner.flights.insert(slot, weak);
        }
        Err(flight)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Inner<E> {
    fn find(&self, slot: Slot, keep: Duration) -> Option<Arc<Plaintext>> {
        let kept = self.kept.get(&slot)?;
        let fresh = Instant::now() - kept.since < keep;
        fresh.then(|| Arc::clone(&kept.payload))
    }

    fn remove_oldest(&mut self) {
        if let Some((since, slot)) = self.order.pop_front() {
            let same = self.kept.get(&slot).is_some_and(|it| it.since == since);
            if same {
                self.kept.remove(&slot);
            }
        }
    }

    fn remove_older(&mut self, now: Instant, keep: Duration) {
        while let Some((since, _)) = self.order.front() {
            if now - *since < keep {
                break;
            }
            self.remove_oldest();
        }
    }
}

/// How many data keys are kept: of so many vaults, pods start without the server.
pub(super) const MAX_KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    const KEEP: Duration = Duration::from_secs(600);

    fn cache() -> Arc<Cache<&'static str>> {
        Arc::new(Cache::new(KEEP))
    }

    fn slot(wrapped: &str) -> Slot {
        let vault = VaultBinding::new("s", "shop", "app");
        Slot::of("transit", &vault, "id", wrapped)
    }

    fn payload(text: &str) -> Arc<Plaintext> {
        Arc::new(Plaintext::from(text.to_owned()))
    }

    #[test]
    fn every_part_of_a_slot_counts() {
        let vault = VaultBinding::new("s", "shop", "app");
        let slots = [
            Slot::of("p", &vault, "i", "w"),
            Slot::of("q", &vault, "i", "w"),
            Slot::of("p", &vault, "i", "x"),
            Slot::of("p", &vault, "j", "w"),
            Slot::of("p", &VaultBinding::new("t", "shop", "app"), "i", "w"),
            Slot::of("p", &VaultBinding::new("s", "shopa", "pp"), "i", "w"),
            Slot::of("p", &VaultBinding::new("s", "shop", "ap"), "pi", "w"),
        ];
        let different: std::collections::HashSet<_> = slots.into_iter().map(|it| it.0).collect();
        assert_eq!(different.len(), slots.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_is_kept_for_its_time_and_wiped_then() {
        let cache = cache();
        let payload = payload("x");
        let watched = Arc::downgrade(&payload);
        cache.insert(slot("w"), payload);
        tokio::time::advance(KEEP - Duration::from_millis(1)).await;
        assert!(cache.find(slot("w")).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(cache.find(slot("w")).is_none(), "too old, though not swept");
        cache.sweep();
        assert!(watched.upgrade().is_none(), "wiped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_that_comes_again_is_young_again() {
        let cache = cache();
        cache.insert(slot("w"), payload("x"));
        tokio::time::advance(KEEP / 2).await;
        cache.insert(slot("w"), payload("x"));
        tokio::time::advance(KEEP / 2).await;
        cache.sweep();
        assert!(cache.find(slot("w")).is_some());
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many() {
        let cache = cache();
        for number in 0..=MAX_KEPT {
            cache.insert(slot(&number.to_string()), payload("x"));
        }
        assert!(cache.find(slot("0")).is_none());
        assert!(cache.find(slot("1")).is_some());
        for _ in 0..3 * MAX_KEPT {
            cache.insert(slot("same"), payload("x"));
        }
        let inner = cache.lock();
        assert!(inner.kept.len() <= MAX_KEPT && inner.order.len() <= 2 * MAX_KEPT);
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_fetch() {
        let (cache, fetches) = (cache(), Arc::new(AtomicUsize::new(0)));
        let asked = join_all((0..200).map(|_| {
            let (cache, fetches) = (Arc::clone(&cache), Arc::clone(&fetches));
            tokio::spawn(async move {
                let fetch = || {
                    async move {
                        fetches.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok(payload("x"))
                    }
                    .boxed()
                };
                cache.find_or_fetch(slot("w"), fetch).await
            })
        }));
        for outcome in asked.await {
            assert_eq!(outcome.unwrap().unwrap().expose(), b"x");
        }
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_fetch_to_the_others() {
        let (cache, go) = (cache(), Arc::new(Notify::new()));
        let ask = || {
            let (cache, go) = (Arc::clone(&cache), Arc::clone(&go));
            tokio::spawn(async move {
                let fetch = || {
                    async move {
                        go.notified().await;
                        Ok(payload("x"))
                    }
                    .boxed()
                };
                cache.find_or_fetch(slot("w"), fetch).await
            })
        };
        let (first, second) = (ask(), ask());
        tokio::task::yield_now().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        go.notify_one();
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_fetch_that_everybody_left_is_begun_anew() {
        let cache = cache();
        let never = || std::future::pending().boxed();
        let left = cache.find_or_fetch(slot("w"), never);
        let left = tokio::time::timeout(Duration::from_millis(1), left).await;
        assert!(left.is_err());
        let fetch = || async { Ok(payload("x")) }.boxed();
        assert!(cache.find_or_fetch(slot("w"), fetch).await.is_ok());
    }

    #[tokio::test]
    async fn a_failure_is_told_to_those_who_wait_and_not_kept() {
        let cache = cache();
        let failing = || async { Err("down") }.boxed();
        assert!(cache.find_or_fetch(slot("w"), failing).await.is_err());
        let fetch = || async { Ok(payload("x")) }.boxed();
        assert!(cache.find_or_fetch(slot("w"), fetch).await.is_ok());
    }

    #[tokio::test]
    async fn another_cache_takes_the_payloads_over() {
        let (old, new) = (cache(), cache());
        old.insert(slot("w"), payload("x"));
        new.adopt(&old);
        assert!(new.find(slot("w")).is_some() && old.find(slot("w")).is_none());
    }
}
