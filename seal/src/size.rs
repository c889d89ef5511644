//! Whether a vault fits into etcd, with what the API server and the operator add to it.
//!
//! An object that only just fits could be stored and would never get its status.

use std::io;

use secretvault_crds::limits::{MAX_CONSUMERS_BYTES, MAX_OBJECT};
use serde::Serialize;

use crate::{Manifest, Refusal, annotations::LAST_APPLIED, entries::Entry};

/// Refuses an object that would leave no room for its status.
///
/// `sealed` are the characters of the sealed values, `last_applied` is the annotation as it will be
/// stored.
pub(crate) fn check_object(
    incoming: Manifest<'_>,
    entries: &[Entry<'_>],
    sealed: usize,
    last_applied: Option<&str>,
) -> Result<(), Refusal> {
    let plain: usize = entries.iter().map(|entry| encoded(&entry.text)).sum();
    let annotations = incoming.annotations.iter();
    let annotations = annotations.map(|(key, text)| match last_applied {
        Some(scrubbed) if key == LAST_APPLIED => encoded(&scrubbed),
        Some(_) | None => key.len() + encoded(text),
    });
    let bytes = encoded(incoming.spec) - plain
        + sealed
        + annotations.sum::<usize>()
        + MAX_CONSUMERS_BYTES
        + incoming
            .entry_names()
            .map(|name| 2 * name.len() + PER_ENTRY)
            .sum::<usize>();
    if bytes > MAX_OBJECT {
        return Err(Refusal::ObjectTooLarge { bytes });
    }
    Ok(())
}

/// The length of a value as JSON. Counted, so that no copy of a plain value comes into being.
fn encoded(value: &impl Serialize) -> usize {
    let mut counted = Counter(0);
    // A counter takes everything, and what comes from JSON can be written as JSON.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an entry has beside its name in `managedFields` and in the status.
const PER_ENTRY: usize = 140;
