//! One attached volume by one answer: what it comes to, in the volume and in what is remembered of
//! it.

use secretvault_delivery::v1::Grant;
use secretvault_volume::Change;

use super::{PublishError, Shelf};
use crate::{
    release::{Opened, ReleaseError},
    state::Record,
};

/// A volume that an answer was written to.
#[derive(Debug)]
pub(super) struct Renewal {
    /// What is known of the volume now.
    pub(super) record: Record,
    /// What became of its files.
    pub(super) change: Change,
    /// What the pod's owner should know.
    pub(super) notices: Vec<String>,
    /// Why not all is well all the same.
    pub(super) trouble: Option<PublishError>,
    /// Whether the record is remembered.
    pub(super) is_saved: bool,
}

/// Brings an attached volume to what the operator has answered, and remembers that. Blocks.
///
/// # Errors
/// The last good generation is in force then, and what was remembered holds.
pub(super) fn renew(
    shelf: &Shelf,
    record: &Record,
    verdict: Result<Grant, ReleaseError>,
) -> Result<Renewal, PublishError> {
    let (opened, denied) = opened(shelf, record, verdict)?;
    let notices = opened.notices.clone();
    let next = Record {
        held: opened.held.clone(),
        ..record.clone()
    };
    let change = shelf.change(&next, opened)?;
    // Its token is remembered already.
    let saved = if next.held == record.held {
        Ok(())
    } else {
        shelf.remember(&next)
    };
    Ok(Renewal {
        record: next,
        change,
        notices,
        is_saved: saved.is_ok(),
        trouble: denied.or(saved.err()),
    })
}

fn opened(
    shelf: &Shelf,
    record: &Record,
    verdict: Result<Grant, ReleaseError>,
) -> Result<(Opened, Option<PublishError>), PublishError> {
    let (held, group) = (&record.held, record.request.group);
    let granted = verdict.map_err(PublishError::from);
    let failed = match granted.and_then(|grant| shelf.open(&grant, held, group)) {
        Ok(opened) => return Ok((opened, None)),
        Err(error) => error,
    };
    if failed.withdrawn().is_empty() {
        return Err(failed);
    }
    // A right that ended must not wait until all else is well.
    let left = Opened::without(failed.withdrawn(), held);
    Ok((left, Some(failed)))
}
