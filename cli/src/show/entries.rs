//! The entries of one vault.

use jiff::Timestamp;
use secretvault_crds::{EntryKind, EntryStatus, SecretVaultSpec, SecretVaultStatus};
use serde::Serialize;

use super::{
    age::ago,
    mask::{masked, plain},
    output::warn,
    table::{Row, print_rows},
    vaults::tell,
};
use crate::{
    command::TableFormat,
    object::Object,
    opened::{OpenError, OpenVault},
    session::Session,
};

/// Shows a vault's entries, masked. Without a key that opens them, secret ones are shown as sealed.
///
/// # Errors
/// There is no such vault, or an entry of it is damaged: the others are shown.
pub fn entries(session: &Session, vault: &str, format: TableFormat) -> anyhow::Result<()> {
    let object = session.existing(&session.store()?, vault)?.object;
    let spec = object.typed();
    let spec = spec.map_err(|_| OpenError::Spec(object.reference()))?;
    let opened = match open(session, &object, &spec) {
        Ok(opened) => opened,
        Err(error) => {
            warn(format_args!("{error:#}"));
            None
        }
    };
    let listing = Listing::new(&object, &spec, opened.as_ref());
    if listing.entries.is_empty() && format == TableFormat::Table {
        warn(format_args!(
            "vault {} is empty: `secretvault set {vault} ENTRY` adds to it",
            object.reference()
        ));
        return Ok(());
    }
    print_rows(&listing.entries, format, session.now)?;
    tell(listing.failures)
}

/// Opens a vault that holds a secret. Others need no key.
fn open(
    session: &Session,
    object: &Object,
    spec: &SecretVaultSpec,
) -> anyhow::Result<Option<OpenVault>> {
    if spec.secrets().next().is_none() {
        return Ok(None);
    }
    Ok(Some(OpenVault::open(object, &session.keys()?)?))
}

/// The entries of a vault, as far as they can be shown.
pub(super) struct Listing {
    /// All of them, by name.
    pub(super) entries: Vec<Entry>,
    /// Why some do not open.
    pub(super) failures: Vec<anyhow::Error>,
}

/// An entry, as it may be seen.
#[derive(Serialize)]
pub(super) struct Entry {
    entry: String,
    value: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<Timestamp>,
}

impl Listing {
    /// Masks what is opened. `None`: there is no key for it.
    pub(super) fn new(object: &Object, spec: &SecretVaultSpec, opened: Option<&OpenVault>) -> Self {
        let (mut entries, mut failures) = (Vec::new(), Vec::new());
        // For names, kinds and revisions: the moments are taken from what is stored.
        for entry in spec.entry_statuses(None, Timestamp::UNIX_EPOCH) {
            let value = shown(object, spec, opened, &entry);
            let value = value.unwrap_or_else(|error| {
                failures.push(error.into());
                DAMAGED.to_owned()
            });
            entries.push(Entry {
                value,
                kind: match entry.kind {
                    EntryKind::Public => "public",
                    EntryKind::Secret => "secret",
                },
                updated: updated(object.status.as_ref(), &entry),
                entry: entry.name,
            });
        }
        Self { entries, failures }
    }
}

impl Row for Entry {
    const HEADER: &'static [&'static str] = &["ENTRY", "VALUE", "KIND", "UPDATED"];

    fn cells(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.entry.clone(),
            self.value.clone(),
            self.kind.to_owned(),
            ago(self.updated, now),
        ]
    }
}

fn shown(
    object: &Object,
    spec: &SecretVaultSpec,
    opened: Option<&OpenVault>,
    entry: &EntryStatus,
) -> Result<String, OpenError> {
    let damaged = || OpenError::Entry {
        vault: object.reference(),
        entry: entry.name.clone(),
    };
    match (entry.kind, opened) {
        (EntryKind::Public, _) => {
            let value = spec.public(&entry.name).ok_or_else(damaged)?;
            Ok(plain(&value))
        }
        (EntryKind::Secret, None) => Ok(SEALED.to_owned()),
        (EntryKind::Secret, Some(opened)) => {
            let value = opened.value(&entry.name)?.ok_or_else(damaged)?;
            Ok(masked(&value))
        }
    }
}

/// Since when the value is there, if the status speaks of this one: somebody may have edited the
/// file.
fn updated(status: Option<&SecretVaultStatus>, entry: &EntryStatus) -> Option<Timestamp> {
    let known = status?
        .entries
        .iter()
        .find(|known| known.name == entry.name)?;
    let known = (known.revision == entry.revision).then_some(known)?;
    let since = known.sealed_at.as_ref().or(known.changed_at.as_ref())?;
    Some(since.0)
}

const DAMAGED: &str = "(does not open)";
const SEALED: &str = "(sealed)";
