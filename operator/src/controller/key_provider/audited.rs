//! What the audit log says of keys: what the Events say.

use std::fmt;

use secretvault_audit::{KeyEvent, OwnWords, Record, Word};

use crate::events::News;

/// The record of something that became of a provider's keys. `key`: the one that wraps now.
pub(super) fn key_event(provider: &str, news: &News, key: Option<&str>) -> Record {
    Record::Key(KeyEvent {
        provider: provider.into(),
        event: Word(news.reason),
        key_id: key.map(Into::into),
        message: (&Note(news)).into(),
    })
}

/// What is told of an object holds names at most, as its type says.
struct Note<'a>(&'a News);

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.note)
    }
}

impl OwnWords for Note<'_> {}
