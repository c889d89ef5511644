//! What was read of one chain.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{ChainSummary, Expectation, Finding};
use crate::line::Head;
use crate::{ChainId, Checkpoint, KeyId, LINES_PER_CHECKPOINT, LineHash, PublicKey};

/// Lines that follow each other in one file.
#[derive(Clone, Debug)]
struct Run {
    file: usize,
    first: u64,
    /// What its first line says of the line before.
    prev: LineHash,
    last: u64,
    last_hash: LineHash,
}

/// A checkpoint that was kept elsewhere, and whether the line before it is the one that it signs.
#[derive(Clone, Debug)]
struct Kept {
    checkpoint: Checkpoint,
    met: bool,
}

/// What was read of one chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    runs: Vec<Run>,
    lines: u64,
    kept: Vec<Kept>,
    /// The last line with a signature, and when it was made.
    signed: Option<(u64, Timestamp)>,
    /// When the last line was made.
    last_time: Option<Timestamp>,
    forged: BTreeSet<u64>,
    unknown: BTreeSet<KeyId>,
}

impl Reading {
    pub(super) fn of(chain: &ChainId, expectation: &Expectation) -> Self {
        let kept = expectation.checkpoints.iter();
        let kept = kept.filter(|it| it.chain == *chain).map(|it| Kept {
            checkpoint: it.clone(),
            met: it.prev == LineHash::NONE,
        });
        Self {
            kept: kept.collect(),
            ..Self::default()
        }
    }

    /// Takes a line.
    pub(super) fn take(&mut self, file: usize, head: &Head, hash: LineHash, keys: &[PublicKey]) {
        self.lines += 1;
        self.last_time = self.last_time.max(Some(head.time));
        self.link(file, head, hash);
        for kept in &mut self.kept {
            let follows = kept.checkpoint.seq == head.seq.saturating_add(1);
            kept.met |= follows && kept.checkpoint.prev == hash;
        }
        if let Some(checkpoint) = &head.checkpoint {
            self.judge(checkpoint, keys);
        }
    }

    fn link(&mut self, file: usize, head: &Head, hash: LineHash) {
        if let Some(run) = self.runs.last_mut()
            && run.file == file
            && run.last.checked_add(1) == Some(head.seq)
            && run.last_hash == head.prev
        {
            run.last = head.seq;
            run.last_hash = hash;
            return;
        }
        self.runs.push(Run {
            file,
            first: head.seq,
            prev: head.prev,
            last: head.seq,
            last_hash: hash,
        });
    }

    fn judge(&mut self, checkpoint: &Checkpoint, keys: &[PublicKey]) {
        if keys.is_empty() {
            return;
        }
        let Checkpoint { seq, time, .. } = *checkpoint;
        if keys.iter().any(|key| checkpoint.is_signed_by(key)) {
            self.signed = self.signed.max(Some((seq, time)));
        } else if keys.iter().any(|key| key.id() == checkpoint.signed_by) {
            self.forged.insert(seq);
        } else {
            self.unknown.insert(checkpoint.signed_by);
        }
    }

    pub(super) fn finish(
        mut self,
        chain: &ChainId,
        expectation: &Expectation,
    ) -> (ChainSummary, Vec<Finding>) {
        let moved = self.put_in_order();
        let mut findings: Vec<Finding> =
            moved.into_iter().map(|seq| reordered(chain, seq)).collect();
        findings.extend(self.breaks(chain, expectation.rotated));
        findings.extend(self.unmet(chain));
        findings.extend(self.forged.iter().map(|seq| Finding::Forged {
            chain: chain.clone(),
            seq: *seq,
        }));
        findings.extend(self.unknown.iter().map(|key| Finding::UnknownKey {
            chain: chain.clone(),
            key: *key,
        }));
        if !expectation.keys.is_empty() {
            findings.extend(self.unsigned(chain));
        }
        let summary = ChainSummary {
            chain: chain.clone(),
            first: self.first(),
            last: self.last(),
            lines: self.lines,
            signed: self.signed.map(|(seq, _)| seq),
        };
        (summary, findings)
    }

    /// Sorts the runs by their numbers, and tells which stood behind a later one in the same file. A
    /// file stands where its first line belongs.
    fn put_in_order(&mut self) -> Vec<u64> {
        let pairs = self.runs.windows(2);
        let moved = pairs.filter_map(|pair| match pair {
            [before, after] if before.file == after.file && after.first <= before.last => {
                Some(after.first)
            }
            _ => None,
        });
        let moved = moved.collect();
        self.runs.sort_by_key(|run| (run.first, run.last));
        moved
    }

    /// What does not fit together, of runs in their order.
    fn breaks(&self, chain: &ChainId, rotated: bool) -> Vec<Finding> {
        let chain = || chain.clone();
        let mut findings = Vec::new();
        let mut next = (0, LineHash::NONE);
        for (index, run) in self.runs.iter().enumerate() {
            let (expected, hash) = next;
            if run.first > expected {
                let range = (expected, run.first - 1);
                if index > 0 {
                    findings.push(Finding::missing(chain(), range));
                } else if !rotated {
                    findings.push(Finding::NoBeginning {
                        chain: chain(),
                        to: range.1,
                    });
                }
            } else if run.first < expected {
                findings.push(Finding::Repeated {
                    chain: chain(),
                    seq: run.first,
                });
            } else if run.prev != hash {
                let seq = run.first.saturating_sub(1);
                findings.push(Finding::Changed {
                    chain: chain(),
                    seq,
                });
            }
            if run.last.saturating_add(1) >= expected {
                next = (run.last.saturating_add(1), run.last_hash);
            }
        }
        findings
    }

    /// The kept checkpoints that the chain contradicts, or does not reach.
    fn unmet(&self, chain: &ChainId) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Kept { checkpoint, met } in &self.kept {
            let (chain, kept) = (chain.clone(), checkpoint.seq);
            if self.last() < kept {
                let last = self.last();
                findings.push(Finding::NoEnd { chain, last, kept });
            } else if !met && self.first() < kept {
                findings.push(Finding::Contradicted { chain, kept });
            }
        }
        findings
    }

    /// A chain that goes on for longer without a signature than its writer would.
    fn unsigned(&self, chain: &ChainId) -> Option<Finding> {
        let last = self.last();
        let from = match (self.signed, self.last_time) {
            (None, _) => self.first(),
            (Some((seq, _)), _) if last.saturating_sub(seq) > MOST_LINES => seq + 1,
            (Some((seq, at)), Some(time)) if time.duration_since(at).as_secs() > MOST_SECONDS => {
                seq + 1
            }
            (Some(_), _) => return None,
        };
        Some(Finding::Unsigned {
            chain: chain.clone(),
            from,
            to: last,
        })
    }

    fn first(&self) -> u64 {
        self.runs
            .iter()
            .map(|run| run.first)
            .min()
            .unwrap_or_default()
    }

    pub(super) fn last(&self) -> u64 {
        self.runs
            .iter()
            .map(|run| run.last)
            .max()
            .unwrap_or_default()
    }
}

fn reordered(chain: &ChainId, seq: u64) -> Finding {
    Finding::Reordered {
        chain: chain.clone(),
        seq,
    }
}

/// A writer makes a checkpoint after fewer lines, and after less time: what is more was made by
/// somebody who has no key, or by a replica that could not get one.
const MOST_LINES: u64 = 2 * LINES_PER_CHECKPOINT;
const MOST_SECONDS: i64 = 600;
