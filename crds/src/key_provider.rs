//! `KeyProvider`: what wraps the data keys of vaults.

#![allow(clippy::duplicated_attributes, reason = "printer columns of one type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// Where the keys are that wrap data keys. Exactly one kind of provider.
#[derive(Clone, CustomResource, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "secretvault.dev",
    version = "v1alpha1",
    kind = "KeyProvider",
    plural = "keyproviders",
    shortname = "kp",
    category = "secretvault-dev",
    status = "KeyProviderStatus",
    derive = "PartialEq",
    doc = "A source of keys that wrap the data keys of vaults. Whoever may edit one can make the \
           operator use keys of their own: it is for cluster administrators only.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the provider can wrap and unwrap"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why"
    ),
    printcolumn(
        name = "Key",
        type_ = "string",
        json_path = ".status.primaryKeyId",
        description = "The key that wraps new data keys"
    ),
    printcolumn(
        name = "Vaults",
        type_ = "integer",
        json_path = ".status.vaults",
        description = "How many vaults use the provider"
    ),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".status.keyringSource",
        description = "Where the keys lie",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What to know about the provider's state",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the provider exists"
    )
)]
#[schemars(extend("x-kubernetes-validations" = rules::key_provider()))]
#[serde(rename_all = "camelCase")]
pub struct KeyProviderSpec {
    /// Keys of a keyring that the operator itself holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalProvider>,
}

/// Keys of a keyring that the operator itself holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalProvider {
    /// Where the keyring is. Exactly one of secret and file.
    pub keyring: KeyringSource,
}

/// Where a keyring is: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::keyring_source()))]
#[serde(rename_all = "camelCase")]
pub struct KeyringSource {
    /// A Secret in the operator's own namespace. Easy, but the keys then lie beside what they
    /// protect: encrypt Secrets at rest, or use a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyringSecret>,
    /// A file mounted into the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<KeyringFile>,
}

/// A Secret in the operator's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyringSecret {
    /// The Secret's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// The key within the Secret. Default: "keyring".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}

/// A file mounted into the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyringFile {
    /// The file's absolute path in the operator's container.
    #[schemars(length(min = 2, max = 4096), regex(pattern = "^/"))]
    pub path: String,
}

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyProviderStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known about the provider. Ready: whether it can wrap and unwrap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The key that wraps new data keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub primary_key_id: Option<String>,
    /// The provider's own name in every envelope's binding: for local, the keyring's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub scope: Option<String>,
    /// Where the keys lie, in words: what a stolen backup of etcd would yield depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub keyring_source: Option<String>,
    /// How many vaults use the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vaults: Option<i32>,
}
