//! Whether every value opens.

use std::process::ExitCode;

use super::{
    output::{print, warn},
    vaults::{Readable, ReadableVault},
};
use crate::{
    keys::Keys,
    opened::{OpenError, OpenVault},
    session::Session,
};

/// Opens every value of every vault. What opens is told on standard output, what does not on
/// standard error, by name.
///
/// # Errors
/// There is no store or no keyring.
pub fn verify(session: &Session) -> anyhow::Result<ExitCode> {
    let (store, keys) = (session.store()?, session.keys()?);
    let readable = Readable::load(&store)?;
    readable.hint();
    for failure in &readable.failures {
        warn(format_args!("{failure:#}"));
    }
    let (mut damaged, mut entries) = (readable.failures.len(), 0);
    for vault in &readable.vaults {
        let failures = failures(vault, &keys);
        for failure in &failures {
            warn(failure);
        }
        if failures.is_empty() {
            let reference = vault.stored.object.reference();
            let count = vault.spec.entry_count();
            print(format!("{reference}: {}\n", opening(count)))?;
            entries += count;
        } else {
            damaged += 1;
        }
    }
    let all = readable.vaults.len() + readable.failures.len();
    conclude(damaged, all, entries)
}

fn conclude(damaged: usize, all: usize, entries: usize) -> anyhow::Result<ExitCode> {
    if damaged > 0 {
        warn(format_args!(
            "vaults that do not open as a whole: {damaged} of {all}"
        ));
        return Ok(ExitCode::FAILURE);
    }
    if all > 0 {
        print(format!("in all: {}\n", opening(entries)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn failures(vault: &ReadableVault, keys: &Keys) -> Vec<OpenError> {
    let opened = match OpenVault::open(&vault.stored.object, keys) {
        Ok(opened) => opened,
        Err(error) => return vec![error],
    };
    let names = super::value::names(&vault.spec);
    names
        .filter_map(|entry| opened.value(entry).err())
        .collect()
}

fn opening(count: usize) -> String {
    match count {
        0 => "empty".to_owned(),
        1 => "1 entry opens".to_owned(),
        count => format!("{count} entries open"),
    }
}
