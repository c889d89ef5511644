//! What the agent counts. Labels come from closed sets, never from a name or an error's text.

mod label;

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::label::{Label, begin, closed};
use crate::publish::{Load, Outcome, Pushed, Reason};

/// The agent's metrics, all named `secretvault_agent_…`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    published: Family<OutcomeLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    refresh_failures: Family<ReasonLabel, Counter>,
    publish_seconds: Family<AnswerLabel, Histogram>,
    changes: Counter,
    pushes: Family<PushedLabel, Counter>,
    push_seconds: Histogram,
    watching: Gauge,
    volumes: Gauge,
    bytes: Gauge,
    registered: Gauge,
}

/// What does not change while the agent runs.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes that all volumes may take.
    pub budget: u64,
    /// Whether the kernel has tmpfs without swap.
    pub noswap: bool,
}

impl Metrics {
    /// Registers the metrics.
    pub fn new(facts: Facts) -> Self {
        let mut registry = Registry::with_prefix("secretvault_agent");
        let metrics = Self {
            published: Family::default(),
            refused: Family::default(),
            refresh_failures: Family::default(),
            publish_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            changes: Counter::default(),
            pushes: Family::default(),
            push_seconds: Histogram::new(PUSH_SECONDS),
            watching: Gauge::default(),
            volumes: Gauge::default(),
            bytes: Gauge::default(),
            registered: Gauge::default(),
            registry: Registry::default(),
        };
        metrics.begin();
        metrics.register(&mut registry);
        metrics.register_changes(&mut registry);
        register_facts(&mut registry, facts);
        Self {
            registry,
            ..metrics
        }
    }

    /// Counts a publish that was answered with a yes.
    pub fn published(&self, outcome: Outcome, took: Duration) {
        self.published
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        self.took(Answer::Yes, took);
    }

    /// Counts a publish that was answered with an error.
    pub fn refused(&self, reason: Reason, took: Duration) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
        self.took(Answer::No, took);
    }

    /// Counts a refresh of an attached volume that came to nothing.
    pub fn refresh_failed(&self, reason: Reason) {
        self.refresh_failures
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Notes whether a stream stands on which the operator tells of changes.
    pub fn watching(&self, stands: bool) {
        self.watching.set(stands.into());
    }

    /// Counts what the operator has told of.
    pub fn changes_heard(&self, count: usize) {
        self.changes.inc_by(count as u64);
    }

    /// Counts a volume that was to be refreshed because of a change.
    pub fn pushed(&self, outcome: Pushed) {
        self.pushes.get_or_create(&PushedLabel { outcome }).inc();
    }

    /// Notes how long after the event a volume showed the change.
    pub fn swapped_after(&self, took: Duration) {
        self.push_seconds.observe(took.as_secs_f64());
    }

    /// Notes what the volumes take.
    pub fn load(&self, load: Load) {
        self.volumes
            .set(i64::try_from(load.volumes).unwrap_or(i64::MAX));
        self.bytes
            .set(i64::try_from(load.bytes).unwrap_or(i64::MAX));
    }

    /// Notes whether kubelet knows us.
    pub fn registered(&self, registered: bool) {
        self.registered.set(registered.into());
    }

    /// The metrics in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn took(&self, answer: Answer, took: Duration) {
        self.publish_seconds
            .get_or_create(&AnswerLabel { answer })
            .observe(took.as_secs_f64());
    }

    fn begin(&self) {
        let outcomes = Outcome::ALL.iter();
        begin(
            &self.published,
            outcomes.map(|&outcome| OutcomeLabel { outcome }),
        );
        let reasons = || Reason::ALL.iter().map(|&reason| ReasonLabel { reason });
        begin(&self.refused, reasons());
        begin(&self.refresh_failures, reasons());
        let answers = Answer::ALL.iter();
        begin(
            &self.publish_seconds,
            answers.map(|&answer| AnswerLabel { answer }),
        );
        let pushes = Pushed::ALL.iter();
        begin(&self.pushes, pushes.map(|&outcome| PushedLabel { outcome }));
    }

    fn register(&self, registry: &mut Registry) {
        let published = "Publish calls that kubelet got a yes to, by what became of the volume";
        registry.register("publishes", published, self.published.clone());
        let refused = "Publish calls that kubelet got an error to, by reason";
        registry.register("publish_failures", refused, self.refused.clone());
        let failures = "Refreshes of attached volumes that left the files as they were, by reason";
        registry.register("refresh_failures", failures, self.refresh_failures.clone());
        let seconds = "Time until kubelet had its answer to a publish call";
        let histogram = self.publish_seconds.clone();
        registry.register_with_unit("publish", seconds, Unit::Seconds, histogram);
        registry.register("volumes", "Attached volumes", self.volumes.clone());
        let bytes = "Memory that the attached volumes may take";
        registry.register_with_unit("volumes", bytes, Unit::Bytes, self.bytes.clone());
        registry.register(
            "registered",
            "Whether kubelet knows us",
            self.registered.clone(),
        );
    }
}

impl Metrics {
    fn register_changes(&self, registry: &mut Registry) {
        let changes = "Vaults in volumes of which the operator said that they have changed";
        registry.register("changes_heard", changes, self.changes.clone());
        let pushes = "Volumes that were to be refreshed because of a change or at the start, by \
                      what became of them";
        registry.register("pushes", pushes, self.pushes.clone());
        let seconds = "Time from the operator's word that a vault has changed to its files";
        let histogram = self.push_seconds.clone();
        registry.register_with_unit("push", seconds, Unit::Seconds, histogram);
        let watching = "Whether a stream stands on which the operator tells of changes";
        registry.register("watch_connected", watching, self.watching.clone());
    }
}

fn register_facts(registry: &mut Registry, facts: Facts) {
    let budget = Gauge::<u64, AtomicU64>::default();
    budget.set(facts.budget);
    let help = "Memory that all volumes of the node may take";
    registry.register_with_unit("budget", help, Unit::Bytes, budget);
    let noswap = Gauge::<i64>::default();
    noswap.set(facts.noswap.into());
    registry.register(
        "noswap",
        "Whether volumes can never reach a swap device",
        noswap,
    );
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushedLabel {
    outcome: Pushed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Answer {
    No,
    Yes,
}

closed!(Answer: No, Yes);
closed!(Outcome: Attached, Kept, Recent, Unchanged, Updated);
closed!(Pushed: Current, Expired, Gone, Kept, Unchanged, Updated);
closed!(
    Reason: AgentRejected,
    Behind,
    Damaged,
    Forbidden,
    Interrupted,
    InvalidRequest,
    KeyUnavailable,
    Malformed,
    NoRoom,
    Node,
    NotFound,
    PodMismatch,
    TokenRejected,
    Unavailable,
);

/// A publish takes milliseconds, or is held for up to a minute.
const SECONDS: [f64; 15] = [
    0.002, 0.003, 0.004, 0.006, 0.01, 0.025, 0.06, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0,
];

/// A change is there within milliseconds, or after some tries.
const PUSH_SECONDS: [f64; 12] = [
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];

#[cfg(test)]
#[path = "../../tests/metrics/page.rs"]
mod page;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_from_the_start_is_what_the_page_says_with_all_values_of_all_labels() {
        let facts = Facts {
            budget: 1,
            noswap: true,
        };
        let shown = page::shown(&Metrics::new(facts).text());
        let documented = page::documented("Node agent");
        for (name, family) in &shown {
            assert_eq!(Some(family), documented.get(name), "{name}");
        }
        for name in documented.keys() {
            assert!(shown.contains_key(name), "{name} is not there");
        }
    }

    #[test]
    fn what_is_counted_is_shown() {
        let facts = Facts {
            budget: 4096,
            noswap: true,
        };
        let metrics = Metrics::new(facts);
        metrics.published(Outcome::Attached, Duration::from_millis(3));
        metrics.refused(Reason::NotFound, Duration::from_millis(3));
        metrics.refresh_failed(Reason::Unavailable);
        metrics.watching(true);
        metrics.changes_heard(3);
        metrics.pushed(Pushed::Updated);
        metrics.swapped_after(Duration::from_millis(3));
        metrics.load(Load {
            volumes: 2,
            bytes: 100,
        });
        let text = metrics.text();
        for line in [
            "secretvault_agent_publishes_total{outcome=\"Attached\"} 1",
            "secretvault_agent_publish_failures_total{reason=\"NotFound\"} 1",
            "secretvault_agent_refresh_failures_total{reason=\"Unavailable\"} 1",
            "secretvault_agent_publish_seconds_count{answer=\"Yes\"} 1",
            "secretvault_agent_watch_connected 1",
            "secretvault_agent_changes_heard_total 3",
            "secretvault_agent_pushes_total{outcome=\"Updated\"} 1",
            "secretvault_agent_push_seconds_count 1",
            "secretvault_agent_volumes 2",
            "secretvault_agent_volumes_bytes 100",
            "secretvault_agent_budget_bytes 4096",
            "secretvault_agent_noswap 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
