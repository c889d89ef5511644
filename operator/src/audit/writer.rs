//! Writes the chain of this process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use secretvault_audit::{
    Chain, ChainId, Entry, Gap, LINES_PER_CHECKPOINT, Record, SigningKey, Start,
};
use tokio::sync::watch;
use tracing::{error, info};

use super::sink::Sink;

/// The one writer of a chain.
pub(super) struct Writer {
    chain: Chain,
    /// The first line.
    start: Start,
    sink: Box<dyn Sink>,
    key: Option<SigningKey>,
    /// Lines since the last checkpoint.
    unsigned: u64,
    /// Lines that could not be written since the last one that could.
    lost: Arc<AtomicU64>,
    signed: watch::Sender<Option<String>>,
    /// The last line could not be written.
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        chain: ChainId,
        start: Start,
        sink: Box<dyn Sink>,
        lost: Arc<AtomicU64>,
        signed: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            chain: Chain::begin(chain),
            start,
            sink,
            key: None,
            unsigned: 0,
            lost,
            signed,
            failing: false,
        }
    }

    /// Writes a line.
    ///
    /// # Errors
    /// It is not written, and counts as lost.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let written = self.catch_up().and_then(|()| self.write(entry));
        let written = self.notice(written);
        if written.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else if self.unsigned >= LINES_PER_CHECKPOINT {
            // The line is written: what becomes of its signature is another matter.
            let _ = self.checkpoint(Timestamp::now());
        }
        written
    }

    /// Signs with this key from now on, and all that was written.
    ///
    /// # Errors
    /// No checkpoint is written.
    pub(super) fn sign_with(&mut self, key: SigningKey, now: Timestamp) -> io::Result<()> {
        self.key = Some(key);
        let begun = self.catch_up();
        self.notice(begun)?;
        self.checkpoint(now)
    }

    /// Signs what was written since the last checkpoint, if anything was.
    ///
    /// # Errors
    /// No checkpoint is written.
    pub(super) fn checkpoint(&mut self, now: Timestamp) -> io::Result<()> {
        if self.lost.load(Ordering::Relaxed) > 0 {
            let caught_up = self.catch_up();
            self.notice(caught_up)?;
        }
        let Some(key) = self.key.as_ref().filter(|_| self.unsigned > 0) else {
            return Ok(());
        };
        let line = self.chain.checkpoint(key, now);
        let written = self.sink.append(&line);
        self.notice(written)?;
        self.chain.advance(&line);
        self.unsigned = 0;
        let text = String::from_utf8_lossy(&line).into_owned();
        self.signed.send_replace(Some(text));
        Ok(())
    }

    /// Writes what has to come before any other line.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.chain.next_seq() == 0 {
            let start = Record::Start(self.start.clone());
            self.write(&Entry::new(Timestamp::now(), &start))?;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return Ok(());
        }
        let gap = Entry::new(Timestamp::now(), &Record::Gap(Gap { lost }));
        let written = self.write(&gap);
        if written.is_err() {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        written
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let line = self.chain.line(entry);
        self.sink.append(&line)?;
        self.chain.advance(&line);
        self.unsigned = self.unsigned.saturating_add(1);
        Ok(())
    }

    /// Says once that the log cannot be written, and once that it can be again.
    fn notice(&mut self, written: io::Result<()>) -> io::Result<()> {
        match &written {
            Err(error) if !self.failing => error!(%error, "the audit log cannot be written"),
            Ok(()) if self.failing => info!("the audit log can be written again"),
            Ok(()) | Err(_) => {}
        }
        self.failing = written.is_err();
        written
    }
}
