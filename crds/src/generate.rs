//! The CustomResourceDefinitions, as objects and as files.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use thiserror::Error;

use crate::{key_provider::KeyProvider, secret_vault::SecretVaultDefinition};

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
        file("keyproviders.yaml", key_provider_definition())?,
        file("secretvaults.yaml", secret_vault_definition())?,
    ])
}

/// The definition of `SecretVault`.
pub fn secret_vault_definition() -> CustomResourceDefinition {
    tidy(SecretVaultDefinition::crd())
}

/// The definition of `KeyProvider`.
pub fn key_provider_definition() -> CustomResourceDefinition {
    tidy(KeyProvider::crd())
}

/// Takes out what the derives add and nobody wants: titles that are names of Rust types, and
/// `nullable`. Without it the API server drops a null at once; with it, the rules would see one.
fn tidy(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            tidy_schema(schema);
        }
    }
    definition
}

fn tidy_schema(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        tidy_schema(property);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy_schema(values);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy_schema(items);
    }
}

const HEADER: &str = "# Generated from the code in crds/: edit that, then run `make generate`.\n";
