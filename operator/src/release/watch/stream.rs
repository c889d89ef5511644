//! One stream: a task that hears its agent, looks at what changes, and tells what is new.
//!
//! | wait | bound | then |
//! |---|---|---|
//! | for a word of the agent, be it empty | 45 s | the stream ends |
//! | for the agent to take an event | 60 s since the last one | the stream ends |
//! | for something to tell | 15 s | an empty event |
//! | between reviews of the agent's token | a minute; 90 s if there is no answer | the stream ends |
//!
//! While an event waits for the agent, no request is read: an agent that does not listen is not
//! heard either, and what is kept for it does not grow.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use secretvault_delivery::v1::{WatchEvent, WatchRequest};
use secretvault_delivery::{WATCH_HEARTBEAT, WATCH_SILENCE};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Status};
use zeroize::Zeroizing;

use super::metrics::{Ended, Event, WatchMetrics};
use super::subscriptions::Subscriptions;
use crate::release::gate::{Agents, Refused};
use crate::release::identity::AgentIdentity;
use crate::vaults::{EachChange, MAX_SILENCE, Vaults};

/// One stream, to be run by a task of its own.
pub(super) struct Watching<R> {
    pub(super) requests: R,
    pub(super) changes: EachChange,
    pub(super) subscriptions: Subscriptions,
    pub(super) events: mpsc::Sender<WatchEvent>,
    pub(super) metrics: WatchMetrics,
}

impl<R: Stream<Item = Result<WatchRequest, Status>> + Send + Unpin> Watching<R> {
    /// Serves the stream until it ends: by itself, or because `end` says so.
    pub(super) async fn run(mut self, end: impl Future<Output = Ended>) -> Ended {
        let mut end = pin!(end);
        let mut clock = Clock::started(Instant::now());
        loop {
            let beat = Instant::now() >= clock.beat();
            let news = beat || self.subscriptions.has_news();
            tokio::select! {
                biased;
                ended = &mut end => return ended,
                free = self.events.reserve(), if news => match free {
                    Ok(free) => {
                        let event = self.subscriptions.tell();
                        self.metrics.event(kind(&event));
                        free.send(event);
                        clock.told = Instant::now();
                    }
                    Err(_closed) => return Ended::Broken,
                },
                request = self.requests.next(), if !news => match hear(&mut self.subscriptions, request) {
                    Ok(()) => clock.heard = Instant::now(),
                    Err(ended) => return ended,
                },
                change = self.changes.next() => self.subscriptions.look(&change),
                () = sleep_until(clock.beat()), if !news => {}
                () = sleep_until(clock.slow()), if news => return Ended::Slow,
                () = sleep_until(clock.silent()), if !news => return Ended::Silent,
            }
        }
    }
}

fn hear(
    subscriptions: &mut Subscriptions,
    request: Option<Result<WatchRequest, Status>>,
) -> Result<(), Ended> {
    match request {
        None => Err(Ended::ByAgent),
        // It was counted before it was decoded.
        Some(Err(status)) if status.code() == Code::InvalidArgument => Err(Ended::TooManyHandles),
        Some(Err(_)) => Err(Ended::Broken),
        Some(Ok(request)) => subscriptions.hear(request),
    }
}

/// When each side was last there.
struct Clock {
    heard: Instant,
    told: Instant,
}

impl Clock {
    fn started(now: Instant) -> Self {
        Self {
            heard: now,
            told: now,
        }
    }

    fn beat(&self) -> Instant {
        self.told + WATCH_HEARTBEAT
    }

    fn silent(&self) -> Instant {
        self.heard + WATCH_SILENCE
    }

    fn slow(&self) -> Instant {
        self.told + WATCH_HEARTBEAT + WATCH_SILENCE
    }
}

fn kind(event: &WatchEvent) -> Event {
    if event.changed.is_empty() {
        Event::Heartbeat
    } else {
        Event::Changed
    }
}

/// Ends when this replica has not heard of the API server for too long.
pub(super) async fn stale(vaults: &Vaults) -> Ended {
    loop {
        let now = Instant::now();
        match vaults.fresh_until() {
            Some(end) if now < end => sleep_until(end).await,
            Some(_) | None => return Ended::Stale,
        }
    }
}

/// Has an agent's token reviewed again and again, and ends when it is good no more.
pub(super) async fn review(
    agents: &Agents,
    token: &Zeroizing<String>,
    agent: &AgentIdentity,
) -> Ended {
    let mut reviewed = Instant::now();
    let mut pause = until_review();
    loop {
        sleep(pause).await;
        match agents.identify(Some(token)).await {
            Ok(same) if same == *agent => {
                reviewed = Instant::now();
                pause = until_review();
            }
            Ok(_) | Err(Refused::Identity(_)) => return Ended::Rejected,
            Err(Refused::Unavailable(_)) if reviewed.elapsed() >= MAX_SILENCE => {
                return Ended::NotReviewed;
            }
            Err(Refused::Unavailable(_)) => pause = RETRY,
        }
    }
}

/// By chance a little sooner than a minute, so that agents that came together do not stay so.
fn until_review() -> Duration {
    let chance = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    REVIEW.mul_f64(1.0 - 0.25 * chance)
}

const REVIEW: Duration = Duration::from_secs(60);

/// How soon to ask again when there is no answer.
const RETRY: Duration = Duration::from_secs(5);
