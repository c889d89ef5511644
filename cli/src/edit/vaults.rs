//! Whole vaults: made, and deleted.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::json;

use super::say;
use crate::{
    keys::{self, KeyringFileError},
    object::Object,
    session::Session,
    store::Store,
};

/// Makes the store, and a keyring if there is none.
///
/// # Errors
/// They cannot be made, or the keyring that is there is not to be trusted.
pub fn init(session: &Session) -> anyhow::Result<()> {
    let store = Store::create(&session.store_path()?)?;
    let path = &session.keyring_path()?;
    if !path.exists() {
        refuse_orphans(&store, path)?;
    }
    let mut out = io::stdout();
    writeln!(out, "store {}", store.directory().display())?;
    match keys::create(path, session.now) {
        Ok(_) => writeln!(
            out,
            "keyring {}: made. Back it up, apart from the store: without it nothing can be opened again",
            path.display()
        )?,
        Err(KeyringFileError::Exists(_)) => {
            keys::load(path).context("the keyring that is there cannot be used")?;
            writeln!(
                out,
                "keyring {}: was there already, and stays",
                path.display()
            )?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// A new keyring could not open the vaults that are there, and would only be mixed with the old.
fn refuse_orphans(store: &Store, path: &Path) -> anyhow::Result<()> {
    let sealed = store.list()?;
    let sealed = sealed
        .iter()
        .find(|it| it.object.spec.get("dataKey").is_some());
    if let Some(vault) = sealed.map(|stored| stored.object.reference()) {
        bail!(
            "vault {vault} was sealed with a keyring that is not at {}: restore it there, or give --keyring FILE; a new one could not open what is here",
            path.display()
        );
    }
    Ok(())
}

/// Makes an empty vault.
///
/// # Errors
/// There is one of that name.
pub fn create(session: &Session, vault: &str, description: Option<String>) -> anyhow::Result<()> {
    let store = session.store()?;
    let vault = session.vault(vault)?;
    let writing = store.lock()?;
    let (keys, _kept) = session.keys_to_write()?;
    if store.read(&vault)?.is_some() {
        bail!("there is a vault {vault} already: `secretvault set` adds to it");
    }
    let mut object = Object::new(&vault);
    if let Some(description) = description {
        object.spec["description"] = json!(description);
    }
    let outcome = session.put(&writing, &keys, None, object)?;
    say(&vault, outcome.word());
    Ok(())
}

/// Deletes vaults. Commands that run keep or lose their files as each vault's `onDelete` says.
///
/// # Errors
/// One of them is not there: then none is deleted.
pub fn delete(session: &Session, vaults: &[String]) -> anyhow::Result<()> {
    let store = session.store()?;
    let writing = store.lock()?;
    let mut going = Vec::new();
    for vault in vaults {
        going.push(session.existing(&store, vault)?.object.reference());
    }
    let deleted = going.iter().try_for_each(|vault| {
        writing.delete(vault)?;
        say(vault, "deleted");
        Ok(())
    });
    drop(writing);
    session.changed(&store, None);
    deleted
}
