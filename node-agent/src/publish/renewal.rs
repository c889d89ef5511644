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
    let (held, group) = (&record.held, record.request.group);
    let opened = verdict
        .map_err(PublishError::from)
        .and_then(|grant| shelf.open(&grant, held, group));
    let failed = match opened.and_then(|opened| bring(shelf, record, opened)) {
        Ok(renewal) => return Ok(renewal),
        Err(error) => error,
    };
    if failed.withdrawn().is_empty() {
        return Err(failed);
    }
    // A right that ended must not wait until all else is well.
    let left = Opened::without(failed.withdrawn(), held);
    Ok(Renewal {
        trouble: Some(failed),
        ..bring(shelf, record, left)?
    })
}

fn bring(shelf: &Shelf, record: &Record, opened: Opened) -> Result<Renewal, PublishError> {
    let notices = opened.notices.clone();
    let next = Record {
        held: opened.held.clone(),
        ..record.clone()
    };
    let change = shelf.change(record, opened)?;
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
        trouble: saved.err(),
    })
}
