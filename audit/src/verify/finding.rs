//! What a verifier finds, in words.

use std::collections::BTreeMap;
use std::fmt;

use super::{Expectation, Reading};
use crate::{ChainId, Checkpoint, KeyId};

/// What was found in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The chains, by name.
    pub chains: Vec<ChainSummary>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Lines that are none of an audit log.
    pub foreign: u64,
}

/// What there is of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSummary {
    /// Its name.
    pub chain: ChainId,
    /// The number of its first line.
    pub first: u64,
    /// The number of its last line.
    pub last: u64,
    /// How many lines there are.
    pub lines: u64,
    /// The last line with a signature: all before it are signed.
    pub signed: Option<u64>,
}

/// Where a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A whole chain is not there.
    Absent {
        /// The chain.
        chain: ChainId,
        /// The number of the kept checkpoint.
        kept: u64,
    },
    /// The next line was chained to another one.
    Changed {
        /// The chain.
        chain: ChainId,
        /// The line, or the one after it.
        seq: u64,
    },
    /// The chain is not the one of a kept checkpoint.
    Contradicted {
        /// The chain.
        chain: ChainId,
        /// The number of the kept checkpoint.
        kept: u64,
    },
    /// A line cannot be read.
    Damaged {
        /// Where.
        place: Place,
    },
    /// A signature is not of this chain.
    Forged {
        /// The chain.
        chain: ChainId,
        /// The checkpoint.
        seq: u64,
    },
    /// A checkpoint that was kept elsewhere is not signed by the key.
    ForgedKept {
        /// The chain.
        chain: ChainId,
        /// The checkpoint.
        seq: u64,
    },
    /// Lines are not there.
    Missing {
        /// The chain.
        chain: ChainId,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The first lines are not there.
    NoBeginning {
        /// The chain.
        chain: ChainId,
        /// The last of them.
        to: u64,
    },
    /// The last lines are not there.
    NoEnd {
        /// The chain.
        chain: ChainId,
        /// The last line that is there.
        last: u64,
        /// The number of the kept checkpoint.
        kept: u64,
    },
    /// A line stands behind one that came later.
    Reordered {
        /// The chain.
        chain: ChainId,
        /// The line.
        seq: u64,
    },
    /// There are two lines with one number.
    Repeated {
        /// The chain.
        chain: ChainId,
        /// The number.
        seq: u64,
    },
    /// Checkpoints are signed by a key that was not given.
    UnknownKey {
        /// The chain.
        chain: ChainId,
        /// The key.
        key: KeyId,
    },
    /// Nobody signed these lines, though somebody should have.
    Unsigned {
        /// The chain.
        chain: ChainId,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
}

impl Finding {
    pub(super) fn missing(chain: ChainId, (from, to): (u64, u64)) -> Self {
        Self::Missing { chain, from, to }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { chain, kept } => write!(
                f,
                "{chain}: the whole chain is missing: a checkpoint of its line {kept} was kept"
            ),
            Self::Changed { chain, seq: 0 } => {
                write!(f, "{chain}: line 0 was changed, or is not the first")
            }
            Self::Changed { chain, seq } => write!(
                f,
                "{chain}: line {seq} was changed: line {} is not chained to it as it is now",
                seq.saturating_add(1)
            ),
            Self::Contradicted { chain, kept } => write!(
                f,
                "{chain}: the lines before line {kept} are not those that the kept checkpoint signs"
            ),
            Self::Damaged { place } => {
                write!(f, "{place}: the line was cut or changed: it cannot be read")
            }
            Self::Forged { chain, seq } => {
                write!(f, "{chain}: line {seq}: the signature is not the key's")
            }
            Self::ForgedKept { chain, seq } => write!(
                f,
                "{chain}: the checkpoint of line {seq} that was kept is not signed by the key"
            ),
            Self::Missing { chain, from, to } if from == to => {
                write!(f, "{chain}: line {from} is missing")
            }
            Self::Missing { chain, from, to } => {
                write!(f, "{chain}: lines {from} to {to} are missing")
            }
            Self::NoBeginning { chain, to: 0 } => {
                write!(f, "{chain}: the beginning is missing: line 0")
            }
            Self::NoBeginning { chain, to } => {
                write!(f, "{chain}: the beginning is missing: lines 0 to {to}")
            }
            Self::NoEnd { chain, last, kept } => write!(
                f,
                "{chain}: the end is missing: the last line is {last}, and a checkpoint of line \
                 {kept} was kept"
            ),
            Self::Reordered { chain, seq } => write!(
                f,
                "{chain}: line {seq} stands behind a line that was written after it"
            ),
            Self::Repeated { chain, seq } => {
                write!(f, "{chain}: there are two lines {seq}")
            }
            Self::UnknownKey { chain, key } => write!(
                f,
                "{chain}: checkpoints are signed by key {key}, which was not given"
            ),
            Self::Unsigned { chain, from, to } => write!(
                f,
                "{chain}: lines {from} to {to} have no signature, which they should have by now"
            ),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What a kept checkpoint says against itself, or of a chain that is not there.
pub(super) fn of_kept(
    kept: &Checkpoint,
    expectation: &Expectation,
    chains: &BTreeMap<ChainId, Reading>,
) -> Option<Finding> {
    let keys = &expectation.keys;
    let (chain, seq) = (kept.chain.clone(), kept.seq);
    if !keys.is_empty() && !keys.iter().any(|key| kept.is_signed_by(key)) {
        return Some(Finding::ForgedKept { chain, seq });
    }
    let asked = expectation.since.is_none_or(|since| kept.time >= since);
    (asked && !chains.contains_key(&chain)).then_some(Finding::Absent { chain, kept: seq })
}
