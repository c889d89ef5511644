//! What became of lines of the audit log.

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    Label,
    label::{begin, closed},
};

/// Lines of the audit log. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct AuditMetrics {
    lines: Family<LineLabels, Counter>,
    signed: Gauge,
}

impl AuditMetrics {
    /// Counts a line.
    pub fn line(&self, outcome: LineOutcome) {
        self.lines.get_or_create(&LineLabels { outcome }).inc();
    }

    /// Tells that all lines were signed just now, or that there was none to sign.
    pub fn signed(&self, now: Timestamp) {
        self.signed.set(now.as_second());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let outcomes = LineOutcome::ALL.iter();
        begin(&self.lines, outcomes.map(|&outcome| LineLabels { outcome }));
        registry.register(
            "audit_lines",
            "Lines of the audit log, by what became of them",
            self.lines.clone(),
        );
        registry.register(
            "audit_signed_timestamp_seconds",
            "When all lines of the audit log were signed last",
            self.signed.clone(),
        );
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LineLabels {
    outcome: LineOutcome,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum LineOutcome {
    /// It could not be written, so what it was about was not done.
    Refused,
    /// It could not be written, and what it was about was done all the same.
    Unrecorded,
    /// It is written.
    Written,
}

closed!(LineOutcome: Refused, Unrecorded, Written);

#[cfg(test)]
impl AuditMetrics {
    /// How many lines there were of each outcome: refused, unrecorded, written.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let count = |outcome| self.lines.get_or_create(&LineLabels { outcome }).get();
        [
            LineOutcome::Refused,
            LineOutcome::Unrecorded,
            LineOutcome::Written,
        ]
        .map(count)
    }
}
