//! Verifies a log: whether the lines of each chain are all there, as they were, in their order.
//!
//! # Guarantees
//! * Of a chain whose last line is a checkpoint, or is kept as one elsewhere, no line can be removed,
//!   changed, inserted, repeated or moved that is not found.
//! * What it keeps does not grow with the log, but with the number of places that are not in order.
//!
//! # Caveats
//! * What comes after a chain's last checkpoint is chained, and not signed.
//! * Lines that are not of this format are passed over: a pod's log has them.

mod chains;
mod finding;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use jiff::Timestamp;

use self::chains::Reading;
pub use self::finding::{ChainSummary, Finding, Place, Report};
use crate::line::{self, Head};
use crate::{ChainId, Checkpoint, LineHash, PublicKey};

/// What a log is held against.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The keys that sign. Without any, signatures are not looked at.
    pub keys: Vec<PublicKey>,
    /// Checkpoints that were kept elsewhere.
    pub checkpoints: Vec<Checkpoint>,
    /// Whether chains may begin later than with their first line: a log that is rotated loses its
    /// beginning.
    pub rotated: bool,
    /// Of the kept checkpoints, those that are older ask for nothing whose chain is not there at all.
    pub since: Option<Timestamp>,
}

/// Reads a log.
#[derive(Debug)]
pub struct Verifier {
    expectation: Expectation,
    chains: BTreeMap<ChainId, Reading>,
    files: Vec<String>,
    findings: Vec<Finding>,
    foreign: u64,
}

impl Verifier {
    /// A verifier that has read nothing yet.
    #[must_use]
    pub fn new(expectation: Expectation) -> Self {
        Self {
            expectation,
            chains: BTreeMap::new(),
            files: Vec::new(),
            findings: Vec::new(),
            foreign: 0,
        }
    }

    /// Reads one file. Files may come in any order, the lines of one may not.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, name: &str, mut log: impl BufRead) -> io::Result<()> {
        let file = self.files.len();
        self.files.push(name.to_owned());
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let mut rest = log.by_ref().take(MAX_LINE);
            if rest.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            self.take((file, number), &line);
        }
        Ok(())
    }

    fn take(&mut self, (file, number): (usize, u64), line: &[u8]) {
        let Some(line) = line::begin(line) else {
            self.foreign += 1;
            return;
        };
        let Ok(head) = Head::parse(line) else {
            let file = self.files.get(file).cloned().unwrap_or_default();
            let place = Place { file, line: number };
            self.findings.push(Finding::Damaged { place });
            return;
        };
        let reading = self.chains.entry(head.chain.clone());
        let reading = reading.or_insert_with(|| Reading::of(&head.chain, &self.expectation));
        reading.take(file, &head, LineHash::of(line), &self.expectation.keys);
    }

    /// What there is to say.
    #[must_use]
    pub fn finish(self) -> Report {
        let mut findings = self.findings;
        let mut chains = Vec::with_capacity(self.chains.len());
        for kept in &self.expectation.checkpoints {
            findings.extend(finding::of_kept(kept, &self.expectation, &self.chains));
        }
        for (chain, reading) in self.chains {
            let (summary, found) = reading.finish(&chain, &self.expectation);
            chains.push(summary);
            findings.extend(found);
        }
        Report {
            chains,
            findings,
            foreign: self.foreign,
        }
    }
}

/// The longest line that is read in one piece.
const MAX_LINE: u64 = 8 * 1024 * 1024;
