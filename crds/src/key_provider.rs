//! `KeyProvider`: what wraps the data keys of vaults.

#![allow(clippy::duplicated_attributes, reason = "printer columns of one type")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    limits::{
        MAX_ALLOWED_NAMESPACES, MAX_KEYS, MAX_RETIRED_KEYS, MAX_REWRAP_FAILURES, MAX_SELECTOR_TERMS,
    },
    rules,
    span::Span,
    vault_transit::VaultTransit,
};

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
        name = "Current",
        type_ = "string",
        json_path = ".status.rewrap.progress",
        description = "How many of its vaults have the key and the provider that they should have"
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
    /// A key of the Transit engine of a Vault or OpenBao server. The key never leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_transit: Option<VaultTransit>,
    /// The namespaces whose vaults may be sealed with this provider. Absent: all. A vault that is
    /// sealed already stays usable where this is narrowed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// The KeyProvider to which all vaults of this one move. They go on naming this one: it stands
    /// for the other from then on, also for new vaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub migrate_to: Option<String>,
}

/// Namespaces: those that are named, and those that have all of the labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::allowed_namespaces()))]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_ALLOWED_NAMESPACES),
        inner(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub names: Vec<String>,
    /// Labels of a namespace, all of which it must have, with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_SELECTOR_TERMS,
        "additionalProperties" = { "type": "string", "maxLength": 63 }
    ))]
    pub match_labels: BTreeMap<String, String>,
}

/// Keys of a keyring that the operator itself holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::local_provider()))]
#[serde(rename_all = "camelCase")]
pub struct LocalProvider {
    /// Where the keyring is. Exactly one of secret and file.
    pub keyring: KeyringSource,
    /// How old the key that wraps may become, such as "30d" or "12h". Then the operator makes a new
    /// one and wraps all data keys with it. Only for a keyring in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_after: Option<Span>,
    /// The key that wraps must have been made at this time or later, or the operator makes a new
    /// one: set it to the present time to rotate at once. Only for a keyring in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_since: Option<Time>,
    /// The ids of keys that the operator is to take out of the keyring. It does so only when no
    /// vault needs them: until then the condition Retired says which ones do. A backup that was
    /// made before may need them for ever. Only for a keyring in a Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_RETIRED_KEYS),
        inner(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))
    )]
    pub retire: Vec<String>,
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
    /// The provider's keys, as far as they are known or a vault needs them: the one that wraps
    /// first, then by age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_KEYS), extend("x-kubernetes-list-type" = "atomic"))]
    pub keys: Vec<KeyStatus>,
    /// How far the vaults are on their way to the key, and the provider, that they should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrap: Option<RewrapStatus>,
}

/// One key of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// The key's id: for Transit its version, such as "v3".
    #[schemars(length(min = 1, max = 253))]
    pub id: String,
    /// When it was made, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Whether it wraps new data keys.
    pub primary: bool,
    /// How many vaults need it.
    pub vaults: i32,
}

/// How far the vaults of a provider are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewrapStatus {
    /// For a person: DONE/TOTAL.
    #[schemars(length(max = 32))]
    pub progress: String,
    /// How many vaults there are that belong to the provider, or still have a data key of it.
    pub total: i32,
    /// How many of them have a data key of the right provider under its primary key.
    pub done: i32,
    /// How many of the others could not be brought there at the last try.
    pub failed: i32,
    /// The oldest key that a vault needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub oldest_key_id: Option<String>,
    /// Why, for some of those that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_REWRAP_FAILURES), extend("x-kubernetes-list-type" = "atomic"))]
    pub failures: Vec<RewrapFailure>,
}

/// A vault that could not be brought to the key that it should have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewrapFailure {
    /// The vault, as NAMESPACE/NAME.
    #[schemars(length(min = 1, max = 317))]
    pub vault: String,
    /// What went wrong, and the remedy.
    #[schemars(length(max = 1024))]
    pub message: String,
}
