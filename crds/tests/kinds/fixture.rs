//! Objects that read as prose, and the API server's judgement of them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::Validator;
use secretvault_crds::{
    SecretVault,
    generate::{key_provider_definition, secret_vault_definition},
};
use serde_json::{Map, Value, json};

use crate::schema::violations;

/// A value in every test that must be in no message.
pub(crate) const CANARY: &str = "hunter2-canary";

/// A vault of this spec.
pub(crate) fn vault(spec: Value) -> Value {
    json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": "app", "namespace": "shop", "uid": "u-1", "generation": 3},
        "spec": spec,
    })
}

pub(crate) fn read(vault: &Value) -> SecretVault {
    serde_json::from_value(vault.clone()).unwrap()
}

/// `count` entries with short names and sealed values.
pub(crate) fn sealed_entries(prefix: &str, count: usize) -> Value {
    let entry = |i| (format!("{prefix}{i}"), Value::from("sv1:AAAA"));
    Value::Object((0..count).map(entry).collect::<Map<_, _>>())
}

/// What the API server says to a new vault: nothing, or why not.
pub(crate) fn apply(spec: Value) -> Result<(), String> {
    judge(&secret_vault_definition(), &vault(spec), None)
}

/// What the API server says to a changed vault.
pub(crate) fn change(old: Value, new: Value) -> Result<(), String> {
    judge(&secret_vault_definition(), &vault(new), Some(&vault(old)))
}

/// What the API server says to a new key provider.
pub(crate) fn provide(spec: Value) -> Result<(), String> {
    let object = json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "KeyProvider",
        "metadata": {"name": "default"},
        "spec": spec,
    });
    judge(&key_provider_definition(), &object, None)
}

/// First the schema; CEL only if that has nothing to say.
fn judge(
    definition: &CustomResourceDefinition,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), String> {
    let schema = definition.spec.versions[0].schema.as_ref().unwrap();
    let schema = serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
    let broken = violations(&schema["properties"]["spec"], &new["spec"], "spec");
    if !broken.is_empty() {
        return Err(broken.join("\n"));
    }
    let judged = Validator::new().validate(&schema, new, old);
    let message = match judged {
        Ok(()) => return Ok(()),
        Err(errors) => errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    };
    assert!(
        !message.contains("evaluat") && !message.contains("compil"),
        "{message}"
    );
    assert!(!message.contains(CANARY), "a value in a message: {message}");
    Err(message)
}

/// Asserts that a refusal says all of this.
#[track_caller]
pub(crate) fn refused(judged: Result<(), String>, parts: &[&str]) {
    let message = judged.expect_err("is refused");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains(CANARY), "a value in a message: {message}");
}

#[track_caller]
pub(crate) fn accepted(judged: Result<(), String>) {
    assert_eq!(judged, Ok(()));
}
