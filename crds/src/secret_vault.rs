//! `SecretVault`: a named collection of entries.

#![allow(clippy::duplicated_attributes, reason = "printer columns of one type")]

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::{CustomResource, Resource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::AccessRule,
    api::DEFAULT_KEY_PROVIDER,
    data_key::DataKey,
    editors::EditorRule,
    files::{FileDefaults, FileRule},
    limits::{
        MAX_ACCESS_RULES, MAX_CONSUMERS, MAX_DESCRIPTION, MAX_EDITOR_RULES, MAX_ENTRIES,
        MAX_OVERRIDDEN, MAX_VALUE_TEXT,
    },
    rules,
    secret_text::SecretText,
    span::Span,
};

/// A named collection of entries, which pods that may have them find as files.
///
/// # Guarantees
/// `Debug` shows neither values nor annotations: at admission both may hold plaintext.
#[derive(Clone, Default, Deserialize, Resource)]
#[resource(inherit = SecretVaultDefinition)]
pub struct SecretVault {
    /// Standard object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the vault holds, and who may have it.
    pub spec: SecretVaultSpec,
    /// What the operator found.
    #[serde(default)]
    pub status: Option<SecretVaultStatus>,
}

/// What a vault holds, and who may have it.
#[derive(Clone, CustomResource, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "secretvault.dev",
    version = "v1alpha1",
    kind = "SecretVault",
    root = "SecretVaultDefinition",
    plural = "secretvaults",
    shortname = "sv",
    category = "secretvault-dev",
    namespaced,
    status = "SecretVaultStatus",
    doc = "A named collection of entries, each of which a pod that may have it finds as a file. \
           Secret values are sealed before they are stored.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether pods can use the vault"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why"
    ),
    printcolumn(
        name = "Entries",
        type_ = "integer",
        json_path = ".status.entryCount",
        description = "How many entries the vault has"
    ),
    printcolumn(
        name = "Provider",
        type_ = "string",
        json_path = ".spec.dataKey.provider",
        description = "The key provider that wraps the vault's data key"
    ),
    printcolumn(
        name = "Consumers",
        type_ = "integer",
        json_path = ".status.consumerCount",
        description = "How many pods have files of the vault"
    ),
    printcolumn(
        name = "Stale",
        type_ = "integer",
        json_path = ".status.staleCount",
        description = "How many of these pods do not have the vault as it is now"
    ),
    printcolumn(
        name = "Key",
        type_ = "string",
        json_path = ".spec.dataKey.keyId",
        description = "The key that wraps the vault's data key",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What to know about the vault's state",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the vault exists"
    )
)]
#[schemars(extend("x-kubernetes-validations" = rules::vault()))]
#[serde(rename_all = "camelCase")]
pub struct SecretVaultSpec {
    /// What the vault is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_DESCRIPTION))]
    pub description: Option<String>,
    /// Secret entries whose values are text. Each plain value is replaced in place by its sealed
    /// form before the object is stored. A name is a path such as "db/password".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_ENTRIES,
        "x-kubernetes-validations" = rules::secret_entries()
    ))]
    pub data: BTreeMap<String, SecretText>,
    /// Secret entries whose values are bytes in base64. Sealed as in data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_ENTRIES,
        "x-kubernetes-validations" = rules::secret_entries()
    ))]
    pub binary_data: BTreeMap<String, SecretText>,
    /// Entries that are no secret, as text. They stay readable in the object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_ENTRIES,
        "additionalProperties" = { "type": "string", "maxLength": MAX_VALUE_TEXT },
        "x-kubernetes-validations" = rules::entries()
    ))]
    pub public_data: BTreeMap<String, String>,
    /// Entries that are no secret, as bytes in base64. They stay readable in the object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_ENTRIES,
        "additionalProperties" = { "type": "string", "maxLength": MAX_VALUE_TEXT },
        "x-kubernetes-validations" = rules::entries()
    ))]
    pub public_binary_data: BTreeMap<String, String>,
    /// What files of this vault have when neither files nor the consumer says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_defaults: Option<FileDefaults>,
    /// How single entries land: at which path, with which owner, group and mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["entry"]))]
    pub files: Vec<FileRule>,
    /// Who may have what. Absent: pods of the vault's own namespace may have every entry. Otherwise
    /// a pod may have what at least one rule allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_ACCESS_RULES))]
    pub access: Option<Vec<AccessRule>>,
    /// Who may write which entry, beside those who have the verb manage on the vault: these may also
    /// change everything else. Absent: whoever may update the vault may write every entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_EDITOR_RULES))]
    pub editors: Option<Vec<EditorRule>>,
    /// The KeyProvider whose key wraps the vault's data key. Absent: the one that the namespace names
    /// in its annotation secretvault.dev/key-provider, else the one named "default". A change moves
    /// the vault at once: it gets a new data key, and every value is sealed anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub key_provider: Option<String>,
    /// What becomes of files in running pods when their entry, or the vault, is deleted: Retain
    /// (they stay; the default) or Remove. A withdrawn right always removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<OnDelete>,
    /// If true, entries, files and fileDefaults can no longer change, nor can this field. The same
    /// values can be sealed anew under a new data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// If true, every apply seals every value anew. Otherwise a value that did not change keeps its
    /// sealed form, so that applying twice changes nothing; whoever may update the vault could use
    /// that to test guesses of a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_envelopes: Option<bool>,
    /// How old the vault's data key may become, such as "90d". Then the operator makes a new one and
    /// seals every value anew. Absent: it stays, however often the key that wraps it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekey_after: Option<Span>,
    /// The vault's data key, wrapped by the key provider. Written by the operator; an apply that
    /// lacks it keeps the stored one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_key: Option<DataKey>,
}

impl SecretVaultSpec {
    /// The key provider that the spec asks for.
    pub fn key_provider(&self) -> &str {
        self.key_provider.as_deref().unwrap_or(DEFAULT_KEY_PROVIDER)
    }
}

/// What becomes of files in running pods when their entry, or the vault, is deleted: Retain
/// (they stay; the default) or Remove. A withdrawn right always removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDelete {
    /// The files go.
    Remove,
    /// The files stay as long as the pod lives.
    #[default]
    Retain,
}

/// What the operator found. Holds names and key ids, never a value, a part of one or its size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretVaultStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known about the vault. Ready: whether pods can use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many entries the vault has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_count: Option<i32>,
    /// The entries, without their values.
    // Atomic: as a map, every name would stand a fourth time in the object, as a managed field, and
    // a vault at its limits would have no room in etcd for its status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<EntryStatus>,
    /// The provider's key that wraps the vault's data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key_id: Option<String>,
    /// The generation at which an entry's value, or how entries land as files, last changed. What a
    /// pod made of an older generation, such as its environment, is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_generation: Option<i64>,
    /// Which contents these are: the first 16 hexadecimal digits of a SHA-256 over the entries as
    /// they are stored, files and fileDefaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub content_revision: Option<String>,
    /// How many pods have files of the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consumer_count: Option<i32>,
    /// How many of these pods do not have the vault as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub stale_count: Option<i32>,
    /// The pods that have files of the vault, stale ones first, then by name. Not all, if there are
    /// many: consumerCount and staleCount count all.
    // Atomic, as the entries are, and for the same reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_CONSUMERS), extend("x-kubernetes-list-type" = "atomic"))]
    pub consumers: Vec<ConsumerStatus>,
}

/// A pod that has files of the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerStatus {
    /// The pod, as NAMESPACE/NAME.
    #[schemars(length(min = 1, max = 317))]
    pub pod: String,
    /// The node that the pod runs on.
    #[schemars(length(max = 253))]
    pub node: String,
    /// The generation of the vault that is in the pod's files.
    pub generation: i64,
    /// Whether the pod does not have the vault as it is now.
    pub stale: bool,
    /// Why it is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StaleReason>,
    /// Paths of the vault's files that the pod does not have, because a later one of its vaults has
    /// a file there. Not all, if there are many: the pod's Events and the audit log name them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_OVERRIDDEN),
        inner(length(min = 1, max = 4096)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub overridden: Vec<String>,
}

/// Why a pod does not have the vault as it is now: Behind (its files are of another generation) or
/// Environment (its files are up to date, and its environment was made of older ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StaleReason {
    /// Its files are of another generation.
    Behind,
    /// Its environment was made of older files.
    Environment,
}

/// One entry, without its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryStatus {
    /// The entry's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Secret (sealed) or Public (readable in the object).
    pub kind: EntryKind,
    /// The provider's key under which the value was sealed; absent for a public entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key_id: Option<String>,
    /// When the operator first saw the value that is stored now; absent for a public entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_at: Option<Time>,
    /// When the operator first saw the value that is stored now; absent for a secret entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Time>,
    /// Which stored text this is: the first 16 hexadecimal digits of the SHA-256 of the envelope or
    /// of the public value, both of which are readable in the object anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub revision: Option<String>,
}

/// Whether an entry is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EntryKind {
    /// Readable in the object.
    Public,
    /// Sealed.
    Secret,
}

/// Shows which fields are set and how many entries they have, and no value: at admission `data` is
/// plaintext.
impl fmt::Debug for SecretVaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVaultSpec")
            .field("data", &self.data.keys())
            .field("binary_data", &self.binary_data.keys())
            .field("public_data", &self.public_data.keys())
            .field("public_binary_data", &self.public_binary_data.keys())
            .field("file_defaults", &self.file_defaults)
            .field("files", &self.files)
            .field("access", &self.access)
            .field("editors", &self.editors)
            .field("key_provider", &self.key_provider)
            .field("on_delete", &self.on_delete)
            .field("immutable", &self.immutable)
            .field("fresh_envelopes", &self.fresh_envelopes)
            .field("rekey_after", &self.rekey_after)
            .field("data_key", &self.data_key)
            .finish_non_exhaustive()
    }
}

/// Shows no annotation: `last-applied-configuration` and its like hold the manifest as it was sent.
impl fmt::Debug for SecretVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVault")
            .field("namespace", &self.metadata.namespace)
            .field("name", &self.metadata.name)
            .field("uid", &self.metadata.uid)
            .field("generation", &self.metadata.generation)
            .field("spec", &self.spec)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
