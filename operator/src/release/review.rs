//! Token reviews: asks the API server whose a token is.
//!
//! # Guarantees
//! * A review that says "valid" is used again for at most [`VALID_FOR`], counted from when it was
//!   *asked*: a thousand pods of one vault must not be thousands of API calls, and an agent's own
//!   token comes with every call. Nothing else is remembered: a token that was refused is reviewed
//!   anew.
//! * Callers with the same token at the same time share one request. It goes on for as long as one
//!   of them waits: what everybody left gives its turn back, and is begun anew by who asks next.
//! * The cache holds hashes of tokens, not tokens, and at most [`CAPACITY`] of them.
//! * Each audience has a cache and a bound of its own: whoever sends forged agents' tokens makes at
//!   most [`CONCURRENCY`] requests at once, and takes no room from the pods' tokens.
//!
//! # Errors
//! An API server that cannot be asked is a [`Fault`], never a refusal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use zeroize::Zeroize;

use super::metrics::{ApiCall, ApiSeconds};
use crate::vaults::Fault;

/// Reviews tokens for one audience, and remembers the valid ones briefly.
pub(super) struct Reviews {
    client: Client,
    audience: &'static str,
    permits: Arc<Semaphore>,
    cache: Mutex<Cache>,
    seconds: ApiSeconds,
}

impl Reviews {
    pub(super) fn new(client: Client, audience: &'static str, seconds: ApiSeconds) -> Self {
        Self {
            client,
            audience,
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            cache: Mutex::default(),
            seconds,
        }
    }

    /// Asks whose a token is. One that no API server would have made is not worth a call.
    pub(super) async fn review(&self, token: &str) -> Answer {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(Arc::default());
        }
        let key = CacheKey::new(token);
        let flight = self.cache().join(key, Instant::now(), || {
            let request = ask(self.client.clone(), token.to_owned(), self.audience);
            let (seconds, permits) = (self.seconds.clone(), Arc::clone(&self.permits));
            let timed = async move { seconds.of(ApiCall::TokenReview, request).await };
            bounded(permits, timed).boxed().shared()
        });
        let answer = flight.clone().await;
        self.cache().settle(key, &flight, is_valid(&answer));
        answer
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the API server says of a token. Holds no token.
pub(super) type Answer = Result<Arc<TokenReviewStatus>, Fault>;

type Flight = Shared<BoxFuture<'static, Answer>>;

type WeakFlight = WeakShared<BoxFuture<'static, Answer>>;

fn is_valid(answer: &Answer) -> bool {
    answer
        .as_ref()
        .is_ok_and(|status| status.authenticated == Some(true))
}

/// Waits its turn; the wait is part of the deadline.
async fn bounded(permits: Arc<Semaphore>, request: impl Future<Output = Answer>) -> Answer {
    let turn = async {
        let _permit = permits.acquire().await.map_err(|_closed| Fault::Timeout)?;
        request.await
    };
    timeout(DEADLINE, turn).await.unwrap_or(Err(Fault::Timeout))
}

async fn ask(client: Client, token: String, audience: &'static str) -> Answer {
    let mut review = TokenReview {
        spec: TokenReviewSpec {
            audiences: Some(vec![audience.to_owned()]),
            token: Some(token),
        },
        ..TokenReview::default()
    };
    let api = Api::<TokenReview>::all(client);
    let answer = Fault::within(DEADLINE, api.create(&PostParams::default(), &review)).await;
    review.spec.token.zeroize();
    let mut answer = answer?;
    answer.spec.token.zeroize();
    Ok(Arc::new(answer.status.ok_or(Fault::Answer)?))
}

/// SHA-256 of a token: a dump of the cache yields none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CacheKey([u8; 32]);

impl CacheKey {
    fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

#[derive(Default)]
struct Cache(HashMap<CacheKey, Slot>);

struct Slot {
    since: Instant,
    /// Belongs to those who wait for it: what nobody waits for must not keep its permit.
    flight: WeakFlight,
    /// The same, once its answer is "valid": that is kept though nobody waits.
    landed: Option<Flight>,
}

impl Cache {
    /// The answer that is there or on its way, or else a new one.
    fn join(&mut self, key: CacheKey, now: Instant, start: impl FnOnce() -> Flight) -> Flight {
        if let Some(flight) = self.0.get(&key).and_then(|slot| slot.usable(now)) {
            return flight;
        }
        let flight = start();
        self.make_room(now);
        if self.0.len() < CAPACITY
            && let Some(weak) = flight.downgrade()
        {
            self.0.insert(
                key,
                Slot {
                    since: now,
                    flight: weak,
                    landed: None,
                },
            );
        }
        flight
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() >= CAPACITY {
            self.0.retain(|_, slot| slot.usable(now).is_some());
        }
    }

    /// Keeps a valid answer, and forgets any other.
    fn settle(&mut self, key: CacheKey, flight: &Flight, valid: bool) {
        let Some(slot) = self.0.get_mut(&key).filter(|slot| slot.is_of(flight)) else {
            return;
        };
        if valid {
            slot.landed = Some(flight.clone());
        } else {
            self.0.remove(&key);
        }
    }
}

impl Slot {
    /// The review, if it is recent and was not left by everybody.
    fn usable(&self, now: Instant) -> Option<Flight> {
        let recent = now.saturating_duration_since(self.since) < VALID_FOR;
        self.flight.upgrade().filter(|_| recent)
    }

    fn is_of(&self, flight: &Flight) -> bool {
        self.flight.upgrade().is_some_and(|it| it.ptr_eq(flight))
    }
}

/// A token's size: kubelet's have about one KiB.
const MAX_TOKEN: usize = 16 * 1024;

/// Requests to the API server at once.
const CONCURRENCY: usize = 32;

/// How long a valid review is used again.
const VALID_FOR: Duration = Duration::from_secs(10);

/// How long one review may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// Tokens that are remembered: ten seconds of 400 new ones a second.
const CAPACITY: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::release::fake::{ApiServer, Token};

    const AUDIENCE: &str = secretvault_delivery::POD_AUDIENCE;

    fn setup() -> (ApiServer, Reviews) {
        let server = ApiServer::new();
        server.token("t-valid", Token::of_pod("shop", "web-0"));
        let reviews = Reviews::new(server.client(), AUDIENCE, ApiSeconds::default());
        (server, reviews)
    }

    #[tokio::test(start_paused = true)]
    async fn a_valid_review_is_used_again_for_ten_seconds_and_then_asked_anew() {
        let (server, reviews) = setup();
        for (seconds, calls) in [(0, 1), (9, 1), (1, 2)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert!(is_valid(&reviews.review("t-valid").await));
            assert_eq!(server.reviews(), calls, "after {seconds} s more");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_for_another_audience_is_refused() {
        let (server, reviews) = setup();
        assert!(is_valid(&reviews.review("t-valid").await));
        let others = Reviews::new(
            server.client(),
            secretvault_delivery::AGENT_AUDIENCE,
            ApiSeconds::default(),
        );
        assert!(!is_valid(&others.review("t-valid").await));
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_is_made_for_what_no_api_server_made() {
        let (server, reviews) = setup();
        for token in ["", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(!is_valid(&reviews.review(token).await));
        }
        assert_eq!(server.reviews(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_tokens_makes_a_bounded_number_of_requests() {
        let (server, reviews) = setup();
        server.hang(true);
        let tokens: Vec<_> = (0..100).map(|index| format!("t-{index}")).collect();
        let flood = tokens.iter().map(|token| reviews.review(token));
        let answers = futures::future::join_all(flood).await;
        assert!(answers.iter().all(|answer| *answer == Err(Fault::Timeout)));
        assert_eq!(server.arrived(), CONCURRENCY);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_the_same_time_share_one_request() {
        let (server, reviews) = setup();
        let many = (0..64).map(|_| reviews.review("t-valid"));
        let answers = futures::future::join_all(many).await;
        assert!(answers.iter().all(is_valid));
        assert_eq!(server.reviews(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_remembered() {
        let (server, reviews) = setup();
        assert!(!is_valid(&reviews.review("t-late").await));
        server.token("t-late", Token::of_pod("shop", "web-0"));
        assert!(is_valid(&reviews.review("t-late").await));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_fails_is_a_fault_and_not_remembered() {
        let (server, reviews) = setup();
        server.fail_with(Some(500));
        assert_eq!(reviews.review("t-valid").await, Err(Fault::Status(500)));
        server.fail_with(None);
        assert!(is_valid(&reviews.review("t-valid").await));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_hangs_is_a_fault_after_three_seconds() {
        let (server, reviews) = setup();
        server.hang(true);
        let begun = Instant::now();
        assert_eq!(reviews.review("t-valid").await, Err(Fault::Timeout));
        assert_eq!(begun.elapsed(), DEADLINE);
        server.hang(false);
        assert!(is_valid(&reviews.review("t-valid").await));
    }

    /// As whoever resets its streams does: some have a permit by then, and some wait for one.
    #[tokio::test(start_paused = true)]
    async fn reviews_that_everybody_left_give_their_permits_back() {
        let (server, reviews) = setup();
        server.hang(true);
        let tokens: Vec<_> = (0..3 * CONCURRENCY).map(|it| format!("t-{it}")).collect();
        let flood = tokens.iter().map(|token| reviews.review(token));
        let left = timeout(DEADLINE / 2, futures::future::join_all(flood)).await;
        assert!(left.is_err());
        assert_eq!(server.arrived(), CONCURRENCY);
        server.hang(false);
        assert!(is_valid(&reviews.review("t-valid").await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_that_everybody_left_is_begun_anew() {
        let (server, reviews) = setup();
        server.hang(true);
        let left = timeout(DEADLINE / 2, reviews.review("t-valid")).await;
        assert!(left.is_err());
        server.hang(false);
        assert!(is_valid(&reviews.review("t-valid").await));
        assert_eq!(server.arrived(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_review_to_the_others() {
        let (server, reviews) = setup();
        let mut leaving = Box::pin(reviews.review("t-valid"));
        let mut staying = Box::pin(reviews.review("t-valid"));
        assert!(futures::poll!(leaving.as_mut()).is_pending());
        assert!(futures::poll!(staying.as_mut()).is_pending());
        drop(leaving);
        assert!(is_valid(&staying.await));
        assert_eq!(server.arrived(), 1);
    }

    /// So many reviews under way, one token each. They last as long as what this gives.
    fn under_way(reviews: &Reviews, count: usize) -> Vec<Flight> {
        let mut cache = reviews.cache();
        let keys = (0..count).map(|index| CacheKey::new(&format!("t-{index}")));
        let pending = || std::future::pending::<Answer>().boxed().shared();
        keys.map(|key| cache.join(key, Instant::now(), pending))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_bounded_and_a_full_one_still_answers() {
        let (server, reviews) = setup();
        let waiting = under_way(&reviews, CAPACITY + 10);
        assert_eq!(reviews.cache().0.len(), CAPACITY);
        assert!(is_valid(&reviews.review("t-valid").await));
        assert!(is_valid(&reviews.review("t-valid").await));
        assert_eq!(server.reviews(), 2, "there was no room to remember it");
        tokio::time::advance(VALID_FOR).await;
        assert!(is_valid(&reviews.review("t-valid").await));
        assert_eq!(reviews.cache().0.len(), 1, "what is old makes room");
        drop(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn reviews_that_everybody_left_make_room() {
        let (server, reviews) = setup();
        drop(under_way(&reviews, CAPACITY));
        assert_eq!(reviews.cache().0.len(), CAPACITY);
        assert!(is_valid(&reviews.review("t-valid").await));
        assert!(is_valid(&reviews.review("t-valid").await));
        assert_eq!((server.reviews(), reviews.cache().0.len()), (1, 1));
    }
}
