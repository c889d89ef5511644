//! Lines that sign all lines before them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use crate::key::SIGNATURE_LEN;
use crate::line::Head;
use crate::{ChainId, KeyId, LineHash, PublicKey, Record, Signature, SigningKey};

/// What a checkpoint says of its chain.
pub(crate) struct Statement<'a> {
    pub(crate) chain: &'a ChainId,
    pub(crate) seq: u64,
    pub(crate) prev: LineHash,
    pub(crate) time: Timestamp,
    pub(crate) signed_by: KeyId,
}

impl Statement<'_> {
    fn text(&self) -> String {
        let Self {
            chain,
            seq,
            prev,
            time,
            signed_by,
        } = self;
        format!("{DOMAIN}\n{chain}\n{seq}\n{prev}\n{time}\n{signed_by}\n")
    }
}

/// The record of a checkpoint.
pub(crate) fn signed(statement: &Statement<'_>, key: &SigningKey) -> Record {
    let signature = key.sign(statement.text().as_bytes());
    Record::Checkpoint(Signature {
        signed_by: statement.signed_by,
        signature: BASE64_STANDARD.encode(signature),
    })
}

/// A checkpoint, as it is read from a log or from where it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The chain.
    pub chain: ChainId,
    /// The number of its own line: it signs all lines before that.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: LineHash,
    /// When it was made.
    pub time: Timestamp,
    /// Which key signed it.
    pub signed_by: KeyId,
    signature: [u8; SIGNATURE_LEN],
}

impl Checkpoint {
    /// Reads a line.
    ///
    /// # Errors
    /// The line is no checkpoint.
    pub fn parse(line: &[u8]) -> Result<Self, NotACheckpoint> {
        let head = Head::parse(line).map_err(|_| NotACheckpoint)?;
        head.checkpoint.ok_or(NotACheckpoint)
    }

    pub(crate) fn new(
        chain: ChainId,
        seq: u64,
        prev: LineHash,
        time: Timestamp,
        (signed_by, signature): (KeyId, &str),
    ) -> Option<Self> {
        let signature = BASE64_STANDARD.decode(signature).ok()?;
        Some(Self {
            chain,
            seq,
            prev,
            time,
            signed_by,
            signature: signature.try_into().ok()?,
        })
    }

    /// Whether this key signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let statement = Statement {
            chain: &self.chain,
            seq: self.seq,
            prev: self.prev,
            time: self.time,
            signed_by: self.signed_by,
        };
        self.signed_by == key.id() && key.verifies(statement.text().as_bytes(), &self.signature)
    }
}

/// The text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no checkpoint of an audit log")]
pub struct NotACheckpoint;

/// Reads checkpoints that were kept elsewhere: lines, or the ConfigMap in JSON (`kubectl get -o json`).
///
/// # Errors
/// There is something else in it, or nothing.
pub fn checkpoints(text: &str) -> Result<Vec<Checkpoint>, NotACheckpoint> {
    let parse = |line: &str| Checkpoint::parse(line.as_bytes());
    let found: Result<Vec<Checkpoint>, NotACheckpoint> = match config_map(text) {
        Some(lines) => lines.iter().map(|line| parse(line)).collect(),
        None => {
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.map(parse).collect()
        }
    };
    let found = found?;
    if found.is_empty() {
        return Err(NotACheckpoint);
    }
    Ok(found)
}

/// The checkpoints among the values of a ConfigMap: beside them there is the public key.
fn config_map(text: &str) -> Option<Vec<String>> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    let values = object.get("data")?.as_object()?.iter();
    let values = values.filter(|(name, _)| !name.ends_with(".pem"));
    Some(
        values
            .map(|(_, value)| value.as_str().unwrap_or_default().to_owned())
            .collect(),
    )
}

const DOMAIN: &str = "secretvault audit checkpoint v1";
