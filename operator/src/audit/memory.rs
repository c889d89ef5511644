//! A log that a test can read, and break.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use super::sink::Sink;
use super::{Audit, OnFailure};
use crate::metrics::AuditMetrics;

/// The log. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    text: String,
    full: bool,
    on_failure: OnFailure,
}

impl Memory {
    /// A replica that writes to it; it refuses what it cannot write, unless it is told otherwise.
    pub(crate) fn audit(&self) -> Audit {
        let on_failure = self.state().on_failure;
        self.audit_or(on_failure, AuditMetrics::default())
    }

    /// A replica that writes to it.
    pub(crate) fn audit_or(&self, on_failure: OnFailure, metrics: AuditMetrics) -> Audit {
        let sink = Box::new(self.clone());
        Audit::to(sink, "secretvault-operator-0", on_failure, metrics).unwrap()
    }

    /// What the replicas do from now on with what they cannot write.
    pub(crate) fn on_failure(&self, on_failure: OnFailure) {
        self.state().on_failure = on_failure;
    }

    /// Whether it takes no more lines.
    pub(crate) fn full(&self, full: bool) {
        self.state().full = full;
    }

    /// What was recorded, once there are so many: a line may be written by another task.
    pub(crate) fn lines(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let lines = self.records();
            if lines.len() >= count {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{count} lines expected, there are: {}", self.text());
    }

    /// What was recorded so far, without what the log says of itself.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let own = [&Value::from("start"), &Value::from("checkpoint")];
        lines
            .filter(|line: &Value| !own.contains(&&line["audit"]))
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        self.state().text.clone()
    }

    /// Writes there, whatever it is.
    pub(super) fn push(&self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        self.state().text.push_str(text);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Sink for Memory {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.text.push_str(std::str::from_utf8(line).unwrap());
        state.text.push('\n');
        Ok(())
    }
}
