//! What watch streams tell Prometheus.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::{Label, begin, closed};

/// The metrics of all streams. Clones count together.
#[derive(Clone, Debug, Default)]
pub(in crate::release) struct WatchMetrics {
    streams: Gauge,
    ended: Family<EndedLabels, Counter>,
    subscriptions: Gauge,
    events: Family<EventLabels, Counter>,
    rejected: Family<RejectedLabels, Counter>,
}

impl WatchMetrics {
    /// Counts a stream as open, until what this gives is dropped.
    pub(super) fn stream(&self) -> Counted {
        Counted::of(&self.streams)
    }

    /// Counts a subscription, until what this gives is dropped.
    pub(super) fn subscription(&self) -> Counted {
        Counted::of(&self.subscriptions)
    }

    /// Counts how a stream ended.
    pub(super) fn ended(&self, reason: Ended) {
        self.ended.get_or_create(&EndedLabels { reason }).inc();
    }

    /// Counts an event.
    pub(super) fn event(&self, kind: Event) {
        self.events.get_or_create(&EventLabels { kind }).inc();
    }

    /// Counts a handle that is not accepted.
    pub(super) fn rejected(&self, reason: Rejected) {
        self.rejected
            .get_or_create(&RejectedLabels { reason })
            .inc();
    }

    pub(in crate::release) fn register(&self, release: &mut Registry) {
        let ended = Ended::ALL.iter();
        begin(&self.ended, ended.map(|&reason| EndedLabels { reason }));
        let events = Event::ALL.iter();
        begin(&self.events, events.map(|&kind| EventLabels { kind }));
        let rejected = Rejected::ALL.iter();
        begin(
            &self.rejected,
            rejected.map(|&reason| RejectedLabels { reason }),
        );
        let watch = release.sub_registry_with_prefix("watch");
        watch.register(
            "streams",
            "Watch streams that are open",
            self.streams.clone(),
        );
        watch.register(
            "streams_ended",
            "Watch streams that ended or were not begun",
            self.ended.clone(),
        );
        watch.register(
            "subscriptions",
            "Vaults in pods that agents watch",
            self.subscriptions.clone(),
        );
        watch.register(
            "events",
            "Events that were sent to agents",
            self.events.clone(),
        );
        watch.register(
            "handles_rejected",
            "Handles that are not accepted",
            self.rejected.clone(),
        );
    }
}

/// Something that is counted as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Gauge);

impl Counted {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    reason: Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: Event,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    reason: Rejected,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Ended {
    /// The agent ended it.
    ByAgent,
    /// The connection broke, or the agent sent what is no message.
    Broken,
    /// There are as many streams as this replica takes.
    Crowded,
    /// This replica leaves.
    Leaving,
    /// The agent's token could not be reviewed for too long.
    NotReviewed,
    /// The agent's token is good no more.
    Rejected,
    /// The node opened newer ones.
    Replaced,
    /// The agent said nothing for too long.
    Silent,
    /// The agent took no event for too long.
    Slow,
    /// This replica has not heard of the API server for too long.
    Stale,
    /// More handles in one message than allowed.
    TooManyHandles,
    /// More subscriptions than allowed, of this agent or of all.
    TooManySubscriptions,
}

closed!(
    Ended: ByAgent,
    Broken,
    Crowded,
    Leaving,
    NotReviewed,
    Rejected,
    Replaced,
    Silent,
    Slow,
    Stale,
    TooManyHandles,
    TooManySubscriptions,
);

/// What an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Event {
    /// Names handles.
    Changed,
    /// Says that the stream lives.
    Heartbeat,
}

closed!(Event: Changed, Heartbeat);

/// Why a handle is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Rejected {
    /// Forged, damaged, or made under a key that counts no more.
    NotOurs,
    /// Another node's.
    OtherNode,
}

closed!(Rejected: NotOurs, OtherNode);
