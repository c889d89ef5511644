//! Logs, as replicas write them, and what can be done to them.

use jiff::{SignedDuration, Timestamp};
use secretvault_audit::{
    Chain, ChainId, Checkpoint, Entry, Expectation, Gap, Record, Report, Seed, SigningKey, Verifier,
};

/// One replica.
pub(crate) struct Replica {
    chain: Chain,
    key: SigningKey,
    now: Timestamp,
}

impl Replica {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            chain: Chain::begin(ChainId::new(name, 1).unwrap()),
            key: key(7),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// It signs with another key.
    pub(crate) fn with_key(mut self, seed: u8) -> Self {
        self.key = key(seed);
        self
    }

    /// So many lines.
    pub(crate) fn lines(&mut self, count: u64) -> Vec<String> {
        let line = |replica: &mut Self| {
            let lost = replica.chain.next_seq();
            let entry = Entry::new(replica.now, &Record::Gap(Gap { lost }));
            let line = replica.chain.line(&entry);
            replica.written(line)
        };
        (0..count).map(|_| line(self)).collect()
    }

    /// A checkpoint.
    pub(crate) fn checkpoint(&mut self) -> String {
        let line = self.chain.checkpoint(&self.key, self.now);
        self.written(line)
    }

    /// Lines with a checkpoint at their end.
    pub(crate) fn signed(&mut self, count: u64) -> Vec<String> {
        let mut lines = self.lines(count);
        lines.push(self.checkpoint());
        lines
    }

    /// So many seconds pass.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn written(&mut self, line: Vec<u8>) -> String {
        self.chain.advance(&line);
        String::from_utf8(line).unwrap()
    }
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::from([seed; 32])).unwrap()
}

/// What is expected of every log here.
pub(crate) fn expectation() -> Expectation {
    Expectation {
        keys: vec![key(7).public().clone()],
        ..Expectation::default()
    }
}

/// The same, with this line kept elsewhere.
pub(crate) fn keeping(line: &str) -> Expectation {
    Expectation {
        checkpoints: vec![Checkpoint::parse(line.as_bytes()).unwrap()],
        ..expectation()
    }
}

pub(crate) fn verify_with<T: AsRef<str>>(lines: &[T], expectation: Expectation) -> Report {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let mut verifier = Verifier::new(expectation);
    verifier.read("log", lines.join("\n").as_bytes()).unwrap();
    verifier.finish()
}

pub(crate) fn verify<T: AsRef<str>>(lines: &[T]) -> Report {
    verify_with(lines, expectation())
}

/// What is found, in words.
pub(crate) fn found(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}
