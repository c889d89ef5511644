//! The CustomResourceDefinitions as files.

use kube::CustomResourceExt;
use thiserror::Error;

use crate::{KeyProvider, SecretVault};

/// A definition that cannot be written as YAML.
#[derive(Debug, Error)]
#[error("cannot write {name}")]
pub struct GenerateError {
    name: &'static str,
    source: serde_saphyr::ser::Error,
}

/// Name and text of each file, as committed in `crds/generated/`.
///
/// # Errors
/// None that depends on input: the definitions are part of the program.
pub fn files() -> Result<[(&'static str, String); 2], GenerateError> {
    let file = |name, definition| {
        let yaml = serde_saphyr::to_string(&definition);
        let yaml = yaml.map_err(|source| GenerateError { name, source })?;
        Ok((name, format!("{HEADER}{yaml}")))
    };
    Ok([
        file("keyproviders.yaml", KeyProvider::crd())?,
        file("secretvaults.yaml", SecretVault::crd())?,
    ])
}

const HEADER: &str = "# Generated from the code in crds/: edit that, then run `make generate`.\n";
