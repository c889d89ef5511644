//! What releases tell Prometheus. Labels come from closed enums, never from a name or a text.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use secretvault_audit::Word;
use secretvault_delivery::v1::Reason;
use tokio::time::Instant;

use super::watch::WatchMetrics;
use crate::metrics::{Label, begin, closed};

/// The metrics of the Delivery service. Clones count together.
#[derive(Clone, Debug)]
pub struct ReleaseMetrics {
    verdicts: Family<VerdictLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    duration: Histogram,
    pub(super) api: ApiSeconds,
    pub(super) watch: WatchMetrics,
}

impl ReleaseMetrics {
    /// Counters at zero, not registered.
    #[must_use]
    pub fn new() -> Self {
        Self {
            verdicts: Family::default(),
            requests: Family::default(),
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            api: ApiSeconds::default(),
            watch: WatchMetrics::default(),
        }
    }

    /// Makes the metrics visible.
    pub fn register(&self, registry: &mut Registry) {
        self.begin();
        let release = registry.sub_registry_with_prefix("release");
        release.register(
            "verdicts",
            "Verdicts on volumes, by outcome",
            self.verdicts.clone(),
        );
        release.register(
            "requests",
            "Requests of node agents, by outcome",
            self.requests.clone(),
        );
        release.register_with_unit(
            "duration",
            "Time from a request to its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        release.register_with_unit(
            "api",
            "Time that one question to the API server took, by what was asked",
            Unit::Seconds,
            self.api.0.clone(),
        );
        self.watch.register(release);
    }

    fn begin(&self) {
        let verdicts = VerdictOutcome::ALL.iter().copied();
        // That is of a whole request, and counted as such.
        let verdicts = verdicts.filter(|outcome| *outcome != VerdictOutcome::AgentRejected);
        begin(
            &self.verdicts,
            verdicts.map(|outcome| VerdictLabels { outcome }),
        );
        let requests = RequestOutcome::ALL.iter();
        begin(
            &self.requests,
            requests.map(|&outcome| RequestLabels { outcome }),
        );
        let calls = ApiCall::ALL.iter();
        begin(&self.api.0, calls.map(|&call| CallLabels { call }));
    }

    pub(super) fn verdict(&self, outcome: VerdictOutcome) {
        self.verdicts
            .get_or_create(&VerdictLabels { outcome })
            .inc();
    }

    pub(super) fn request(&self, outcome: RequestOutcome, seconds: f64) {
        self.requests
            .get_or_create(&RequestLabels { outcome })
            .inc();
        self.duration.observe(seconds);
    }
}

/// How long the API server takes for what releases ask it. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct ApiSeconds(Family<CallLabels, Histogram>);

impl ApiSeconds {
    /// Times one question.
    pub(super) async fn of<T>(&self, call: ApiCall, question: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = question.await;
        self.0
            .get_or_create(&CallLabels { call })
            .observe(begun.elapsed().as_secs_f64());
        answer
    }
}

impl Default for ApiSeconds {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 12))
        }))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: ApiCall,
}

/// What is asked of the API server for a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum ApiCall {
    PodRead,
    TokenReview,
}

closed!(ApiCall: PodRead, TokenReview);

impl Default for ReleaseMetrics {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    outcome: VerdictOutcome,
}

/// How a decision ended: the audit log's word for it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum VerdictOutcome {
    /// Of a whole request, before any volume was looked at.
    AgentRejected,
    Behind,
    Damaged,
    Forbidden,
    Granted,
    InvalidRequest,
    KeyUnavailable,
    NotFound,
    PodMismatch,
    TokenRejected,
}

closed!(
    VerdictOutcome: AgentRejected,
    Behind,
    Damaged,
    Forbidden,
    Granted,
    InvalidRequest,
    KeyUnavailable,
    NotFound,
    PodMismatch,
    TokenRejected,
);

impl VerdictOutcome {
    /// The audit log's word for it.
    pub(super) fn word(self) -> Word {
        Word(self.name())
    }
}

impl From<Reason> for VerdictOutcome {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Behind => Self::Behind,
            Reason::Damaged => Self::Damaged,
            Reason::Forbidden => Self::Forbidden,
            Reason::InvalidRequest | Reason::Unspecified => Self::InvalidRequest,
            Reason::KeyUnavailable => Self::KeyUnavailable,
            Reason::NotFound => Self::NotFound,
            Reason::PodMismatch => Self::PodMismatch,
            Reason::TokenRejected => Self::TokenRejected,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    outcome: RequestOutcome,
}

/// How one request of an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum RequestOutcome {
    AgentRejected,
    Answered,
    Invalid,
    Unavailable,
}

closed!(RequestOutcome: AgentRejected, Answered, Invalid, Unavailable);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted_by_outcome() {
        let metrics = ReleaseMetrics::new();
        let mut registry = Registry::with_prefix("secretvault");
        metrics.register(&mut registry);
        metrics.verdict(VerdictOutcome::Granted);
        metrics.verdict(Reason::NotFound.into());
        metrics.request(RequestOutcome::Answered, 0.002);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let expected = [
            "secretvault_release_verdicts_total{outcome=\"Granted\"} 1",
            "secretvault_release_verdicts_total{outcome=\"NotFound\"} 1",
            "secretvault_release_requests_total{outcome=\"Answered\"} 1",
            "secretvault_release_duration_seconds_count 1",
        ];
        for line in expected {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
