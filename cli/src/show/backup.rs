//! Vaults from a backup, opened with a keyring alone: when the store is gone, or is not trusted.

use std::path::Path;

use anyhow::bail;
use jiff::Timestamp;
use secretvault_vault::VaultRef;
use serde::Serialize;

use super::{
    entries::{Entry, Listing},
    output::warn,
    table::{Row, print_rows},
    value::{has, names, print_value},
    vaults::tell,
};
use crate::{
    command::TableFormat,
    edit::read_manifests,
    keys::Keys,
    nearest::nearest,
    object::Object,
    opened::{OpenError, OpenVault},
    session::Session,
};

/// Shows the entries of every vault of a file, masked, or prints the value of one of them.
///
/// # Errors
/// The file holds no vault, or one that this keyring does not open, or no such entry.
pub fn open(
    session: &Session,
    file: &Path,
    entry: Option<&str>,
    reveal: bool,
) -> anyhow::Result<()> {
    let keys = session.keys()?;
    let sources = read_manifests(&[file.to_owned()], false, &session.namespace)?;
    if sources.is_empty() {
        bail!("{} holds no vault", file.display());
    }
    let objects: Vec<Object> = sources.into_iter().map(|source| source.object).collect();
    match entry {
        None => show_all(session, &objects, &keys),
        Some(entry) => {
            let object = holder(&objects, entry)?;
            let opened = OpenVault::open(object, &keys)?;
            print_value(&object.reference(), &opened, entry, reveal)
        }
    }
}

fn show_all(session: &Session, objects: &[Object], keys: &Keys) -> anyhow::Result<()> {
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for object in objects {
        match OpenVault::open(object, keys) {
            Err(error) => failures.push(error.into()),
            Ok(opened) => {
                let listing = Listing::new(object, opened.spec(), Some(&opened));
                let vault = object.reference();
                rows.extend(
                    listing
                        .entries
                        .into_iter()
                        .map(|entry| Line::new(&vault, entry)),
                );
                failures.extend(listing.failures);
            }
        }
    }
    if !rows.is_empty() {
        print_rows(&rows, TableFormat::Table, session.now)?;
    } else if failures.is_empty() {
        warn("there is no entry in what was given");
    }
    tell(failures)
}

/// The one vault that has an entry of this name.
fn holder<'a>(objects: &'a [Object], entry: &str) -> anyhow::Result<&'a Object> {
    let mut known = Vec::new();
    let mut holders = Vec::new();
    for object in objects {
        let spec = object.typed();
        let spec = spec.map_err(|_| OpenError::Spec(object.reference()))?;
        known.extend(names(&spec).map(str::to_owned));
        if has(&spec, entry) {
            holders.push(object);
        }
    }
    match holders.as_slice() {
        [only] => Ok(only),
        [] => match nearest(entry, known.iter().map(String::as_str)) {
            Some(meant) => bail!("there is no entry {entry}: did you mean {meant}?"),
            None => bail!("there is no entry {entry}: without one, all are shown"),
        },
        several => {
            let several: Vec<String> = several
                .iter()
                .map(|object| object.reference().to_string())
                .collect();
            bail!(
                "entry {entry} is in {}: give a file with one of these vaults alone",
                several.join(" and in ")
            )
        }
    }
}

#[derive(Serialize)]
struct Line {
    vault: String,
    entry: Entry,
}

impl Line {
    fn new(vault: &VaultRef, entry: Entry) -> Self {
        Self {
            vault: vault.to_string(),
            entry,
        }
    }
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &["VAULT", "ENTRY", "VALUE", "KIND"];

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let mut cells = vec![self.vault.clone()];
        // An export does not know since when a value is there.
        cells.extend(
            self.entry
                .cells(now)
                .into_iter()
                .take(Self::HEADER.len() - 1),
        );
        cells
    }
}
