//! Objects that read as prose, and the API server's judgement of them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
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
    VAULT.with(|schema| schema.judge(&vault(spec), None))
}

/// What the API server says to a changed vault.
pub(crate) fn change(old: Value, new: Value) -> Result<(), String> {
    VAULT.with(|schema| schema.judge(&vault(new), Some(&vault(old))))
}

/// What the API server says to a new key provider.
pub(crate) fn provide(spec: Value) -> Result<(), String> {
    let object = json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "KeyProvider",
        "metadata": {"name": "default"},
        "spec": spec,
    });
    PROVIDER.with(|schema| schema.judge(&object, None))
}

thread_local! {
    static PROVIDER: Schema = Schema::of(&key_provider_definition());
    static VAULT: Schema = Schema::of(&secret_vault_definition());
}

/// A schema with its rules compiled, which takes longer than to apply them.
struct Schema {
    structure: Value,
    rules: CompiledSchema,
}

impl Schema {
    fn of(definition: &CustomResourceDefinition) -> Self {
        let schema = definition.spec.versions[0].schema.as_ref().unwrap();
        let structure = serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
        let rules = compile_schema(&structure);
        assert!(!rules.has_errors(), "{:?}", rules.compilation_errors());
        Self { structure, rules }
    }

    /// First the structure; the rules only if that has nothing to say.
    fn judge(&self, new: &Value, old: Option<&Value>) -> Result<(), String> {
        let spec = &self.structure["properties"]["spec"];
        let broken = violations(spec, &new["spec"], "spec");
        if !broken.is_empty() {
            return Err(broken.join("\n"));
        }
        let Err(errors) = Validator::new().validate_compiled(&self.rules, new, old) else {
            return Ok(());
        };
        let failed = errors
            .iter()
            .find(|error| error.kind != ErrorKind::ValidationFailure);
        assert_eq!(failed, None, "every rule can be evaluated");
        Err(errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"))
    }
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
