//! Vaults as they are stored: with sealed values.

use secretvault_vault::VaultRef;

use super::{
    output::{document, print},
    vaults::Readable,
};
use crate::{command::DocumentFormat, object::Object, session::Session};

/// Prints a vault as it is stored.
///
/// # Errors
/// There is no such vault.
pub fn object(session: &Session, vault: &str, format: DocumentFormat) -> anyhow::Result<()> {
    let object = session.existing(&session.store()?, vault)?.object;
    print(document(&object, format)?)
}

/// Prints vaults as manifests with sealed values: the named ones in their order, or all.
///
/// # Errors
/// One of them is not there, or cannot be read: then none is printed, since half a backup looks
/// like a whole one.
pub fn export(session: &Session, vaults: &[String]) -> anyhow::Result<()> {
    let store = session.store()?;
    let mut objects: Vec<Object> = Vec::new();
    if vaults.is_empty() {
        let stored = store.list()?;
        if stored.is_empty() {
            Readable::load(&store)?.hint();
        }
        objects.extend(stored.into_iter().map(|stored| stored.object));
    }
    let mut exported: Vec<VaultRef> = Vec::new();
    for vault in vaults {
        let object = session.existing(&store, vault)?.object;
        if !exported.contains(&object.reference()) {
            exported.push(object.reference());
            objects.push(object);
        }
    }
    let documents: anyhow::Result<Vec<String>> = objects.into_iter().map(manifest).collect();
    print(documents?.concat())
}

/// The status is found anew by whoever applies the manifest.
fn manifest(mut object: Object) -> anyhow::Result<String> {
    object.status = None;
    Ok(format!("---\n{}", document(&object, DocumentFormat::Yaml)?))
}
