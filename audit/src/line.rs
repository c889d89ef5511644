//! A line, as it is read.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use crate::chain::MARK;
use crate::{ChainId, Checkpoint, KeyId, LineHash};

/// What a verifier needs of a line.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) chain: ChainId,
    pub(crate) seq: u64,
    pub(crate) prev: LineHash,
    pub(crate) time: Timestamp,
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// The line is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    chain: ChainId,
    seq: u64,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    audit: Cow<'a, str>,
    signed_by: Option<String>,
    signature: Option<String>,
}

impl Head {
    /// Reads a line from its beginning.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Damaged> {
        if !line.starts_with(MARK.as_bytes()) {
            return Err(Damaged);
        }
        let members: Members<'_> = serde_json::from_slice(line).map_err(|_| Damaged)?;
        let Members { chain, seq, .. } = members;
        let prev = members.prev.parse().map_err(|_| Damaged)?;
        let time = exact_time(&members.time).ok_or(Damaged)?;
        let checkpoint = match (&*members.audit, members.signed_by, members.signature) {
            ("checkpoint", Some(signed_by), Some(signature)) => {
                let signed_by: KeyId = signed_by.parse().map_err(|_| Damaged)?;
                let signed = (signed_by, &*signature);
                let checkpoint = Checkpoint::new(chain.clone(), seq, prev, time, signed);
                Some(checkpoint.ok_or(Damaged)?)
            }
            ("checkpoint", ..) | (_, Some(_), _) | (.., Some(_)) => return Err(Damaged),
            (_, None, None) => None,
        };
        Ok(Self {
            chain,
            seq,
            prev,
            time,
            checkpoint,
        })
    }
}

/// A time in the one form in which it is written.
fn exact_time(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.parse().ok()?;
    (time.to_string() == text).then_some(time)
}

/// Where a line of ours begins in a line of a log, which may have something before it: the name of a
/// pod, or the time of a container's runtime.
pub(crate) fn begin(line: &[u8]) -> Option<&[u8]> {
    let braces = line.iter().enumerate().filter(|(_, byte)| **byte == b'{');
    let mut rests = braces.filter_map(|(start, _)| line.get(start..));
    rests.find(|rest| rest.starts_with(MARK.as_bytes()))
}
