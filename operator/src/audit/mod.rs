//! The audit log of this replica: a line for each verdict, before it has an effect.
//!
//! What a line is and how lines are chained is [`secretvault_audit`]'s; here they are written, signed
//! every minute, and the signatures kept where the log is not.
//!
//! # Guarantees
//! * A line can hold no value, token, envelope or key: a [`Record`] is closed, and made of names,
//!   numbers and the words of this operator's own errors.
//! * A verdict leaves after the kernel has taken its line, or not at all: `Audit::must`. Where the
//!   operator is set to [`OnFailure::Release`], it leaves all the same, and the next line that can be
//!   written says how many were lost.
//! * A line is written as a whole, or the log is as it was before.
//! * A line that counts as lost never comes: it failed, or did not get its turn.
//!
//! # Caveats
//! * The kernel may not have brought a line to the disk yet when the machine dies.
//! * A verdict waits a second for its line. One that the kernel takes later is in the log all the
//!   same, whatever became of the verdict.

mod file;
mod keep;
mod sink;
mod stored;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io};

use clap::ValueEnum;
use jiff::Timestamp;
use secretvault_audit::{ChainId, Entry, Record, SigningKey, Start, Word};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::file::RotatedFile;
pub use self::keep::Keeper;
use self::sink::{Sink, Stream};
use self::writer::Writer;
use crate::config::Settings;
use crate::metrics::{AuditMetrics, LineOutcome};

/// What becomes of a verdict that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is not given.
    #[default]
    Refuse,
    /// It is given, and the log says later how many lines it lacks.
    Release,
}

/// Takes records, and has them written one after the other. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    writer: Arc<Mutex<Writer>>,
    /// Lines that could not be written since the last one that could.
    lost: Arc<AtomicU64>,
    /// The last checkpoint.
    signed: watch::Sender<Option<String>>,
    chain: ChainId,
    on_failure: OnFailure,
    metrics: AuditMetrics,
}

impl Audit {
    /// The log that the settings ask for: a file, or standard output.
    ///
    /// # Errors
    /// The file cannot be had, or somebody else writes to it; or the system gives no random number.
    pub fn open(settings: &Settings, metrics: AuditMetrics) -> io::Result<Self> {
        let sink: Box<dyn Sink> = match &settings.audit_file {
            None => Box::new(Stream::new(io::stdout())),
            Some(path) => {
                let size = u64::from(settings.audit_file_mib) * 1024 * 1024;
                let kept = settings.audit_files.saturating_sub(1);
                Box::new(RotatedFile::open(Path::new(path), size, kept)?)
            }
        };
        Self::to(sink, &settings.pod_name, settings.audit_failure, metrics)
    }

    fn to(
        sink: Box<dyn Sink>,
        replica: &str,
        on_failure: OnFailure,
        metrics: AuditMetrics,
    ) -> io::Result<Self> {
        let chain = ChainId::new(replica, getrandom::u64()?).map_err(io::Error::other)?;
        let start = Start {
            replica: replica.into(),
            version: Word(env!("CARGO_PKG_VERSION")),
            on_failure: on_failure.word(),
        };
        let (lost, signed) = (Arc::default(), watch::Sender::new(None));
        let writer = Writer::new(
            chain.clone(),
            start,
            sink,
            Arc::clone(&lost),
            signed.clone(),
        );
        Ok(Self {
            writer: Arc::new(Mutex::new(writer)),
            lost,
            signed,
            chain,
            on_failure,
            metrics,
        })
    }

    /// Records what may have no effect without a line: call it before.
    ///
    /// # Errors
    /// The line cannot be written, and the operator is set to refuse then.
    pub(crate) async fn must(&self, record: Record) -> Result<(), Unrecorded> {
        let written = self.write(record).await;
        let (outcome, answer) = match (written, self.on_failure) {
            (Ok(()), _) => (LineOutcome::Written, Ok(())),
            (Err(cause), OnFailure::Refuse) => (LineOutcome::Refused, Err(cause)),
            (Err(cause), OnFailure::Release) => {
                warn!(%cause, "a verdict is given that is not in the audit log");
                (LineOutcome::Unrecorded, Ok(()))
            }
        };
        self.metrics.line(outcome);
        answer
    }

    /// Records what has happened, or is refused in any case. That it cannot be is no reason to fail:
    /// the next line says how many are lost.
    pub(crate) async fn note(&self, record: Record) {
        let outcome = match self.write(record).await {
            Ok(()) => LineOutcome::Written,
            Err(cause) => {
                warn!(%cause, "something is not in the audit log");
                LineOutcome::Unrecorded
            }
        };
        self.metrics.line(outcome);
    }

    async fn write(&self, record: Record) -> Result<(), Unrecorded> {
        let entry = Entry::new(Timestamp::now(), &record);
        let deadline = Instant::now() + PATIENCE;
        let Ok(writer) = self.turn(deadline).await else {
            // Whoever has a turn is counted by the writer, which may be done after we gave up.
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Err(Unrecorded::Slow);
        };
        let written = within(deadline, writer, move |writer| writer.append(&entry)).await?;
        written.map_err(|_| Unrecorded::Failed)
    }

    /// Signs from now on, and at once.
    async fn sign_with(&self, key: SigningKey) {
        let done = self.with_writer(|writer| writer.sign_with(key, Timestamp::now()));
        self.told(&done.await);
    }

    /// Signs what was written since the last checkpoint.
    async fn checkpoint(&self) {
        let done = self.with_writer(|writer| writer.checkpoint(Timestamp::now()));
        self.told(&done.await);
    }

    fn told(&self, done: &Result<io::Result<()>, Unrecorded>) {
        match done {
            Ok(Ok(())) => self.metrics.signed(Timestamp::now()),
            // The writer itself has told why.
            Ok(Err(_)) => {}
            Err(cause) => warn!(%cause, "no checkpoint was made"),
        }
    }

    /// Does something with the writer when its turn comes.
    async fn with_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, Unrecorded> {
        let deadline = Instant::now() + PATIENCE;
        let writer = self.turn(deadline).await?;
        within(deadline, writer, work).await
    }

    /// The writer, which is for one after the other.
    async fn turn(&self, deadline: Instant) -> Result<OwnedMutexGuard<Writer>, Unrecorded> {
        let turn = Arc::clone(&self.writer).lock_owned();
        let turn = timeout_at(deadline, turn).await;
        turn.map_err(|_| Unrecorded::Slow)
    }
}

/// Does something with the writer. A thread of its own waits for the kernel; whoever gives up
/// waiting does not interrupt it.
async fn within<T: Send + 'static>(
    deadline: Instant,
    mut writer: OwnedMutexGuard<Writer>,
    work: impl FnOnce(&mut Writer) -> T + Send + 'static,
) -> Result<T, Unrecorded> {
    let done = spawn_blocking(move || work(&mut writer));
    match timeout_at(deadline, done).await {
        Ok(done) => done.map_err(|_| Unrecorded::Failed),
        Err(_) => Err(Unrecorded::Slow),
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audit({})", self.chain)
    }
}

impl OnFailure {
    fn word(self) -> Word {
        Word(match self {
            Self::Refuse => "refuse",
            Self::Release => "release",
        })
    }
}

/// Why something is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unrecorded {
    /// It cannot be written.
    #[error("the audit log cannot be written, and nothing is allowed that is not in it: try again")]
    Failed,
    /// It takes too long to be written.
    #[error("the audit log does not keep up, and nothing is allowed that is not in it: try again")]
    Slow,
}

/// How long a verdict waits for its line.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;
