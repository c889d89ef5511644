//! The audit log: what a line is, how lines are chained, and how a log is verified.
//!
//! # A line
//! One JSON object without a line break, in UTF-8. It begins with these members, in this order and
//! without white space, so that it can be told from the other lines of a pod's log:
//!
//! ```json
//! {"v":1,"chain":"secretvault-operator-7c9d-x2x8q.9d3f5a1c7b2e4860","seq":7,"prev":"4bf5…","time":"…","audit":"release",…}
//! ```
//!
//! | member | what |
//! |---|---|
//! | `v` | the version of this format: 1 |
//! | `chain` | the name of the replica, a dot, and 16 random hexadecimal digits: one run of its process |
//! | `seq` | 0 for the first line of a chain, and 1 more for each that follows |
//! | `prev` | SHA-256 of the line before, all its bytes without the line break, in lower-case hexadecimal; zeros in the first |
//! | `time` | when the line was made, RFC 3339, in UTC |
//! | `audit` | what the line is about: see [`Record`] |
//!
//! The other members are those of the [`Record`]. A reader passes over members that it does not know.
//!
//! # A checkpoint
//! A line of the chain, whose `audit` is `checkpoint`. It signs all lines before it:
//!
//! | member | what |
//! |---|---|
//! | `signedBy` | the first 16 hexadecimal digits of SHA-256 of the public key's 32 bytes |
//! | `signature` | Ed25519 (RFC 8032), in standard base64, of the statement |
//!
//! The statement is this text, each line with a line feed at its end: `secretvault audit checkpoint
//! v1`, `chain`, `seq`, `prev`, `time`, `signedBy`.
//!
//! # What it stops
//! | who | can | is found by |
//! |---|---|---|
//! | whoever may write to the log | remove, change, insert, reorder lines | the chain |
//! | and computes the chain anew | replace all of it since some line | the signature of the next checkpoint |
//! | and cuts the log's end, or takes a chain away as a whole | | a checkpoint that was kept elsewhere |
//! | whoever has the key (a thief of a replica's memory) | write any log | nothing here: checkpoints that were copied before |
//!
//! # Limits
//! | limit | what it stops |
//! |---|---|
//! | a chain's name: 253 of `A-Z a-z 0-9 . _ -` | a line that writes into the terminal of whoever verifies it |
//! | a line: 8 MiB | a log that takes the verifier's memory |

mod record;
mod words;

mod chain;
mod hash;
mod line;

mod checkpoint;
mod key;

mod verify;

pub use chain::{Chain, ChainId, Entry, NotAChain};
pub use checkpoint::{Checkpoint, NotACheckpoint, checkpoints};
pub use hash::{LineHash, NotAHash};
pub use key::{KeyId, NotAKey, PublicKey, Seed, SigningKey};
pub use record::{
    Admission, Change, Deletion, Gap, Injection, KeyEvent, Operation, Override, Pod, Record,
    Release, Request, Rotation, Signature, Start, Turn, Vault, Verdict,
};
pub use verify::{ChainSummary, Expectation, Finding, Place, Report, Verifier};
pub use words::{FilePath, Name, OwnWords, Word, Words};

/// After so many lines there is a checkpoint.
pub const LINES_PER_CHECKPOINT: u64 = 1000;

/// A checkpoint is made so many seconds after a line at the latest.
pub const SECONDS_PER_CHECKPOINT: u64 = 60;
