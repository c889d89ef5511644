//! Watch: tells an agent which of its volumes to ask for again.
//!
//! The modules stand in the order of a stream: what a grant gives to watch with, what is
//! subscribed to and must be told, where a stream finds its place, and its life.
//!
//! # Guarantees
//! * An event holds handles that the agent itself has named, and nothing else.
//! * An agent hears of the pods of its own node only.
//! * Streams are in the log, not in the audit log: they release nothing. An agent whose token is
//!   refused, at the beginning or later, is recorded as at every other request.
//! * What one stream keeps is bounded, and so is what all of them keep; an agent that does not
//!   listen costs no more than one that does.

pub(super) mod handle;
mod metrics;
mod subscriptions;

mod places;
mod stream;

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use secretvault_delivery::v1::{WatchEvent, WatchRequest};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Status, Streaming};
use tracing::info;
use zeroize::Zeroizing;

pub(super) use metrics::WatchMetrics;

use self::metrics::Ended;
use self::places::{Place, Places};
use self::stream::{Watching, review, stale};
use self::subscriptions::{Shared, Subscriptions};
use super::gate::Agents;
use super::identity::AgentIdentity;
use super::service::Parts;

/// All streams of this replica.
pub(super) struct Watches {
    shared: Shared,
    agents: Arc<Agents>,
    places: Places,
    tasks: TaskTracker,
    leaving: CancellationToken,
}

/// What an agent gets.
pub(super) type Events = BoxStream<'static, Result<WatchEvent, Status>>;

impl Watches {
    pub(super) fn new(parts: &Parts, agents: Arc<Agents>) -> Self {
        Self {
            shared: Shared {
                vaults: parts.vaults.clone(),
                keys: parts.handles.clone(),
                consumers: parts.consumers.clone(),
                room: Arc::new(Semaphore::new(SUBSCRIPTIONS)),
                metrics: parts.metrics.watch.clone(),
            },
            agents,
            places: Places::default(),
            tasks: parts.streams.clone(),
            leaving: parts.leaving.clone(),
        }
    }

    /// Begins a stream of an agent, whose own token is kept to be reviewed again.
    ///
    /// # Errors
    /// This replica takes no more streams, or none now.
    pub(super) fn begin(
        &self,
        agent: AgentIdentity,
        token: Zeroizing<String>,
        requests: Streaming<WatchRequest>,
    ) -> Result<Events, Status> {
        let place = self.place(&agent).map_err(|ended| {
            self.shared.metrics.ended(ended);
            Status::from(ended)
        })?;
        let (events, taken) = mpsc::channel(1);
        let (told, status) = oneshot::channel();
        let watching = Watching {
            requests,
            changes: self.shared.vaults.each_change(),
            subscriptions: Subscriptions::new(agent.node.clone(), self.shared.clone()),
            events,
            metrics: self.shared.metrics.clone(),
        };
        let node = agent.node.clone();
        let end = self.end(place, agent, token);
        let (metrics, open) = (self.shared.metrics.clone(), self.shared.metrics.stream());
        info!(%node, "a watch stream began");
        self.tasks.spawn(async move {
            let ended = watching.run(end).await;
            drop(open);
            metrics.ended(ended);
            info!(%node, ?ended, "a watch stream ended");
            // Who has gone need not know.
            let _ = told.send(ended);
        });
        let last = futures::stream::once(status).filter_map(async |ended| last_word(ended.ok()?));
        Ok(ReceiverStream::new(taken)
            .map(Ok)
            .chain(last.boxed())
            .boxed())
    }

    fn place(&self, agent: &AgentIdentity) -> Result<Place, Ended> {
        if self.leaving.is_cancelled() {
            return Err(Ended::Leaving);
        }
        if !self.shared.vaults.is_fresh(Instant::now()) {
            return Err(Ended::Stale);
        }
        self.places.take(&agent.node).ok_or(Ended::Crowded)
    }

    /// Waits for what ends a stream from outside.
    fn end(
        &self,
        place: Place,
        agent: AgentIdentity,
        token: Zeroizing<String>,
    ) -> impl Future<Output = Ended> + use<> {
        let (agents, leaving) = (Arc::clone(&self.agents), self.leaving.clone());
        let vaults = self.shared.vaults.clone();
        async move {
            tokio::select! {
                () = leaving.cancelled() => Ended::Leaving,
                () = place.lost() => Ended::Replaced,
                ended = stale(&vaults) => ended,
                ended = review(&agents, &token, &agent) => ended,
            }
        }
    }
}

/// What the agent is told at the end; nothing when it was the one who ended it.
fn last_word(ended: Ended) -> Option<Result<WatchEvent, Status>> {
    match ended {
        Ended::ByAgent => None,
        Ended::Broken
        | Ended::Crowded
        | Ended::Leaving
        | Ended::NotReviewed
        | Ended::Rejected
        | Ended::Replaced
        | Ended::Silent
        | Ended::Slow
        | Ended::Stale
        | Ended::TooManyHandles
        | Ended::TooManySubscriptions => Some(Err(ended.into())),
    }
}

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::ByAgent => Self::ok(""),
            Ended::Broken => Self::cancelled("the stream is broken"),
            Ended::Crowded => Self::resource_exhausted("this replica has no room for more streams"),
            Ended::Leaving => Self::unavailable("this replica leaves"),
            Ended::NotReviewed => {
                Self::unavailable("the agent's token could not be reviewed for too long")
            }
            Ended::Rejected => Self::unauthenticated("the agent's token is not good any more"),
            Ended::Replaced => Self::aborted("newer streams of this node took its place"),
            Ended::Silent => Self::deadline_exceeded("the agent said nothing for too long"),
            Ended::Slow => Self::deadline_exceeded("the agent took no event for too long"),
            Ended::Stale => {
                Self::unavailable("this replica has not heard of the API server for too long")
            }
            Ended::TooManyHandles => {
                Self::invalid_argument("too many handles in one message: send several")
            }
            Ended::TooManySubscriptions => Self::resource_exhausted(
                "too many subscriptions: other volumes are kept current by kubelet's republish",
            ),
        }
    }
}

/// Subscriptions of all streams together: a kibibyte each, or a quarter of the memory that the
/// chart gives the operator.
const SUBSCRIPTIONS: usize = 64 * 1024;
