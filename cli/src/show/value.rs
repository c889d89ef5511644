//! One value of one vault.

use secretvault_crds::SecretVaultSpec;
use secretvault_vault::VaultRef;

use super::{
    mask::masked,
    output::{print, print_exactly},
};
use crate::{
    nearest::nearest,
    opened::{OpenError, OpenVault},
    session::Session,
};

/// Prints a value: a secret one masked, unless it is to be revealed; a public one as it is, for
/// which no key is needed.
///
/// # Errors
/// There is no such vault or entry, or it does not open.
pub fn value(session: &Session, vault: &str, entry: &str, reveal: bool) -> anyhow::Result<()> {
    let object = session.existing(&session.store()?, vault)?.object;
    let reference = object.reference();
    let spec = object.typed();
    let spec = spec.map_err(|_| OpenError::Spec(reference.clone()))?;
    if let Some(value) = spec.public(entry) {
        return print_exactly(&value);
    }
    if !has(&spec, entry) {
        return Err(unknown(&reference, &spec, entry));
    }
    let opened = OpenVault::open(&object, &session.keys()?)?;
    print_value(&reference, &opened, entry, reveal)
}

/// Prints a value of an opened vault.
///
/// # Errors
/// There is no such entry, or it does not open.
pub(super) fn print_value(
    vault: &VaultRef,
    opened: &OpenVault,
    entry: &str,
    reveal: bool,
) -> anyhow::Result<()> {
    let spec = opened.spec();
    let value = opened.value(entry)?;
    let value = value.ok_or_else(|| unknown(vault, spec, entry))?;
    if reveal || spec.secret(entry).is_none() {
        print_exactly(value.expose())
    } else {
        print(masked(&value) + "\n")
    }
}

/// Whether a vault has an entry.
pub(super) fn has(spec: &SecretVaultSpec, entry: &str) -> bool {
    names(spec).any(|name| name == entry)
}

/// The names of all entries.
pub(super) fn names(spec: &SecretVaultSpec) -> impl Iterator<Item = &str> {
    let public = spec.public_data.keys();
    let public = public.chain(spec.public_binary_data.keys());
    let secret = spec.secrets().map(|(name, _)| name);
    secret.chain(public.map(String::as_str))
}

fn unknown(vault: &VaultRef, spec: &SecretVaultSpec, entry: &str) -> anyhow::Error {
    let hint = match nearest(entry, names(spec)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("`secretvault show {vault}` shows those that are"),
    };
    anyhow::anyhow!("there is no entry {entry} in vault {vault}: {hint}")
}
