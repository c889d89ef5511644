//! How lines are chained by who writes them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Statement, signed};
use crate::{LineHash, Record, SigningKey};

/// The name of a chain: a replica, and one run of its process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ChainId(String);

impl ChainId {
    /// The chain of this replica whose process got this random number.
    ///
    /// # Errors
    /// The replica's name is none that a pod can have.
    pub fn new(replica: &str, run: u64) -> Result<Self, NotAChain> {
        format!("{replica}.{run:016x}").parse()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChainId {
    type Err = NotAChain;

    fn from_str(text: &str) -> Result<Self, NotAChain> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let fits = (1..=MAX_CHAIN).contains(&text.len()) && text.bytes().all(usable);
        fits.then(|| Self(text.to_owned())).ok_or(NotAChain)
    }
}

impl TryFrom<String> for ChainId {
    type Error = NotAChain;

    fn try_from(text: String) -> Result<Self, NotAChain> {
        text.parse()
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no name of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no name of a chain: 1 to {MAX_CHAIN} letters, digits, dots, dashes and underscores are one"
)]
pub struct NotAChain;

/// A record with its time, that waits for its place in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(Vec<u8>);

impl Entry {
    /// A record of this time.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "names, numbers and words always make JSON"
    )]
    pub fn new(time: Timestamp, record: &Record) -> Self {
        #[derive(Serialize)]
        struct Timed<'a> {
            time: Timestamp,
            #[serde(flatten)]
            record: &'a Record,
        }
        let timed = Timed { time, record };
        Self(serde_json::to_vec(&timed).expect("a record is JSON"))
    }

    /// What follows the members of the chain.
    fn members(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }
}

/// A chain, as its writer continues it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    id: ChainId,
    seq: u64,
    prev: LineHash,
}

impl Chain {
    /// A chain without a line.
    #[must_use]
    pub fn begin(id: ChainId) -> Self {
        Self {
            id,
            seq: 0,
            prev: LineHash::NONE,
        }
    }

    /// Notes that this line, which [`Self::line`] or [`Self::checkpoint`] made, was written.
    pub fn advance(&mut self, line: &[u8]) {
        self.seq = self.seq.saturating_add(1);
        self.prev = LineHash::of(line);
    }

    /// The chain's name.
    #[must_use]
    pub fn id(&self) -> &ChainId {
        &self.id
    }

    /// The number of the next line.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.seq
    }

    /// The next line, without a line break. It belongs to the chain once it is written.
    #[must_use]
    pub fn line(&self, entry: &Entry) -> Vec<u8> {
        let Self { id, seq, prev } = self;
        let head = format!("{MARK}{id}\",\"seq\":{seq},\"prev\":\"{prev}\",");
        [head.as_bytes(), entry.members()].concat()
    }

    /// The next line as one that signs all lines before it.
    #[must_use]
    pub fn checkpoint(&self, key: &SigningKey, now: Timestamp) -> Vec<u8> {
        let statement = Statement {
            chain: &self.id,
            seq: self.seq,
            prev: self.prev,
            time: now,
            signed_by: key.id(),
        };
        self.line(&Entry::new(now, &signed(&statement, key)))
    }
}

/// How each line begins, and no other.
pub(crate) const MARK: &str = "{\"v\":1,\"chain\":\"";

/// As a key of a ConfigMap.
const MAX_CHAIN: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gap, Seed};

    fn chain() -> Chain {
        Chain::begin(ChainId::new("operator-0", 0x9d3f_5a1c_7b2e_4860).unwrap())
    }

    fn gap() -> Entry {
        Entry::new(Timestamp::UNIX_EPOCH, &Record::Gap(Gap { lost: 3 }))
    }

    /// Computed by another implementation too: a verifier of another version must agree.
    #[test]
    fn lines_are_frozen() {
        let mut chain = chain();
        let key = SigningKey::from_seed(&Seed::from([7; 32])).unwrap();
        let mut text = String::new();
        for make in [
            |chain: &Chain, _: &SigningKey| chain.line(&gap()),
            |chain: &Chain, key: &SigningKey| chain.checkpoint(key, Timestamp::UNIX_EPOCH),
        ] {
            let line = make(&chain, &key);
            chain.advance(&line);
            text.push_str(std::str::from_utf8(&line).unwrap());
            text.push('\n');
        }
        insta::assert_snapshot!(text, @r#"
        {"v":1,"chain":"operator-0.9d3f5a1c7b2e4860","seq":0,"prev":"0000000000000000000000000000000000000000000000000000000000000000","time":"1970-01-01T00:00:00Z","audit":"gap","lost":3}
        {"v":1,"chain":"operator-0.9d3f5a1c7b2e4860","seq":1,"prev":"18870fc0238c890354ce1e81ce3001ae26ef6a93192771f9c32a53cd88d17abd","time":"1970-01-01T00:00:00Z","audit":"checkpoint","signedBy":"fe812c12f3ab4ce6","signature":"+mJzUfOulYQnuAAZZZCD3wTrXPx3D68OY/Sm0RaFvoK16vgyLCbY5PbR5rB/J9Ei0xa07zPWN2kSLFoYhaJ6CQ=="}
        "#);
    }

    #[test]
    fn a_chain_is_named_as_a_pod_and_a_key_of_a_config_map_can_be() {
        assert_eq!(chain().id().as_str(), "operator-0.9d3f5a1c7b2e4860");
        assert!(ChainId::new(&"a".repeat(236), 1).is_ok());
        for wrong in [
            "",
            "a b",
            "a\"b",
            "a/b",
            "ä",
            "a\u{1b}[31m",
            &"a".repeat(254),
        ] {
            assert_eq!(wrong.parse::<ChainId>(), Err(NotAChain), "{wrong}");
        }
    }
}
