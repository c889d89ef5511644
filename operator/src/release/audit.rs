//! The audit log: one JSON line per verdict, on standard output.
//!
//! # Guarantees
//! * A line can hold no value, token, envelope or key: [`Line`] is closed, and made of names,
//!   numbers and the words of this operator's own errors.
//! * The line is in the log's queue before the verdict leaves. If the log cannot take it, nothing
//!   is released.
//!
//! # Caveats
//! The queue is in memory: lines that the kernel has not taken yet are lost if the operator is
//! killed.

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use secretvault_delivery::v1::PodReference;
use secretvault_vault::Overridden;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::denied::Denied;
use super::identity::{IdentityError, PodIdentity};
use super::metrics::VerdictOutcome;

/// Takes lines; a thread of its own writes them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Vec<u8>>,
}

impl Audit {
    /// Writes to standard output.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn stdout() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    /// Writes to `out` until the last clone is dropped, or `out` fails.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(out, lines))?;
        Ok(Self { queue })
    }

    /// Queues a line, and waits a moment if the queue is full.
    ///
    /// # Errors
    /// The log does not keep up, or is closed.
    pub(super) async fn log(&self, line: &Line) -> Result<(), AuditError> {
        let mut bytes = serde_json::to_vec(line).map_err(|_| AuditError::Closed)?;
        bytes.push(b'\n');
        match timeout(PATIENCE, self.queue.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(AuditError::Closed),
            Err(_elapsed) => Err(AuditError::Full),
        }
    }
}

/// Ends at the first failure: then the queue closes, and with it the release of keys.
fn write(mut out: impl Write, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.blocking_recv() {
        let written = out.write_all(&line).and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::error!(%error, "audit log cannot be written: releases stop");
            return;
        }
    }
}

/// Why a verdict could not be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum AuditError {
    /// The writer has failed.
    #[error("the audit log is closed")]
    Closed,
    /// The reader of standard output does not keep up.
    #[error("the audit log does not keep up")]
    Full,
}

/// One verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) audit: Kind,
    pub(super) time: Timestamp,
    pub(super) verdict: Verdict,
    pub(super) reason: VerdictOutcome,
    /// The node of the agent that asked, as its token says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<AuditedPod>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) vaults: Vec<AuditedVault>,
    /// The words of the denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Words>,
    /// What the grant leaves out, because a later vault has something in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) overridden: Vec<AuditedOverride>,
    /// The paths of held files that go, because the pod may not have them any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) withdrawn: Vec<String>,
}

/// The text of one of this operator's own refusals, and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Words(String);

impl From<&Denied> for Words {
    fn from(denied: &Denied) -> Self {
        Self(denied.to_string())
    }
}

impl From<IdentityError> for Words {
    fn from(error: IdentityError) -> Self {
        Self(error.to_string())
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A whole request, refused before any volume was looked at.
    Request,
    /// One volume of one pod.
    Release,
}

/// How the decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Denial,
    Grant,
}

/// The pod that the verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditedPod {
    namespace: String,
    name: String,
    uid: String,
    service_account: String,
    /// False: these are the agent's words, no token has proved them.
    proven: bool,
}

impl From<&PodIdentity> for AuditedPod {
    fn from(pod: &PodIdentity) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            service_account: pod.service_account.clone(),
            proven: true,
        }
    }
}

/// What an agent claims is cut to what a name can be.
impl From<&PodReference> for AuditedPod {
    fn from(pod: &PodReference) -> Self {
        let cut = |text: &str| text.chars().take(MAX_CLAIM).collect();
        Self {
            namespace: cut(&pod.namespace),
            name: cut(&pod.name),
            uid: cut(&pod.uid),
            service_account: cut(&pod.service_account),
            proven: false,
        }
    }
}

/// A vault that a grant is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditedVault {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    /// The key that wraps the vault's data key; none if only public entries were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_id: Option<String>,
    /// The names of the entries that were given.
    pub(super) entries: Vec<String>,
}

/// A file that another vault's file replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditedOverride {
    path: String,
    /// The vault that the file is not of, as `namespace/name`.
    vault: String,
    entry: String,
    /// The vault that it is of.
    by: String,
}

impl From<&Overridden> for AuditedOverride {
    fn from(overridden: &Overridden) -> Self {
        Self {
            path: overridden.path.to_string(),
            vault: overridden.vault.to_string(),
            entry: overridden.entry.to_string(),
            by: overridden.by.to_string(),
        }
    }
}

/// Lines that wait for the writer.
const QUEUE: usize = 1024;

/// How long a verdict waits for room in the queue.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest name in Kubernetes.
const MAX_CLAIM: usize = 253;

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A log that a test can read.
    #[derive(Clone, Default)]
    pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        pub(crate) fn audit(&self) -> Audit {
            Audit::to(self.clone()).unwrap()
        }

        /// The lines once there are `count`: the writer is another thread.
        pub(crate) fn lines(&self, count: usize) -> Vec<serde_json::Value> {
            for _ in 0..500 {
                let text = self.text();
                if text.lines().count() >= count {
                    return text
                        .lines()
                        .map(|line| serde_json::from_str(line).unwrap())
                        .collect();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("{count} lines expected, there are: {}", self.text());
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until the test lets it.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn grant() -> Line {
        Line {
            audit: Kind::Release,
            time: Timestamp::UNIX_EPOCH,
            verdict: Verdict::Grant,
            reason: VerdictOutcome::Granted,
            node: Some("node-a".to_owned()),
            pod: Some(AuditedPod {
                namespace: "shop".to_owned(),
                name: "web-0".to_owned(),
                uid: "pod-uid".to_owned(),
                service_account: "web".to_owned(),
                proven: true,
            }),
            vaults: vec![AuditedVault {
                namespace: "shop".to_owned(),
                name: "app".to_owned(),
                uid: "vault-uid".to_owned(),
                generation: 3,
                key_id: Some("9d3f5a1c7b2e4860".to_owned()),
                entries: vec!["db/password".to_owned()],
            }],
            message: None,
            overridden: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_grant_is_one_line_of_names() {
        let memory = Memory::default();
        memory.audit().log(&grant()).await.unwrap();
        memory.lines(1);
        insta::assert_snapshot!(memory.text(), @r#"{"audit":"release","time":"1970-01-01T00:00:00Z","verdict":"grant","reason":"Granted","node":"node-a","pod":{"namespace":"shop","name":"web-0","uid":"pod-uid","serviceAccount":"web","proven":true},"vaults":[{"namespace":"shop","name":"app","uid":"vault-uid","generation":3,"keyId":"9d3f5a1c7b2e4860","entries":["db/password"]}]}"#);
    }

    #[test]
    fn what_an_agent_claims_is_cut_and_marked() {
        let claim = PodReference {
            name: "x".repeat(10_000),
            ..PodReference::default()
        };
        let pod = AuditedPod::from(&claim);
        assert_eq!(pod.name.len(), MAX_CLAIM);
        assert!(!pod.proven);
    }

    #[test]
    fn a_claim_cannot_start_a_line_of_its_own() {
        let name = "x\n{\"verdict\":\"grant\"}".to_owned();
        let mut line = grant();
        line.pod = Some(AuditedPod::from(&PodReference {
            name,
            ..PodReference::default()
        }));
        assert!(!serde_json::to_string(&line).unwrap().contains('\n'));
    }

    #[tokio::test]
    async fn a_log_that_failed_takes_no_more_lines() {
        let audit = Audit::to(Broken).unwrap();
        let _ = audit.log(&grant()).await;
        audit.queue.closed().await;
        assert_eq!(audit.log(&grant()).await, Err(AuditError::Closed));
    }

    #[tokio::test]
    async fn a_log_that_hangs_is_full_after_a_moment() {
        let (release, stuck) = std::sync::mpsc::channel();
        let audit = Audit::to(Stuck(stuck)).unwrap();
        while audit.queue.capacity() > 0 {
            audit.log(&grant()).await.unwrap();
        }
        // One more may fit: the writer holds a line in its hands.
        let _ = audit.log(&grant()).await;
        assert_eq!(audit.log(&grant()).await, Err(AuditError::Full));
        drop(release);
    }
}
