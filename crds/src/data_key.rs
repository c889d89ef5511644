//! A vault's data key, as it is stored.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A vault's data key, wrapped. Together with the key provider's key it opens the vault: what a
/// backup must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataKey {
    /// The KeyProvider that wrapped the data key.
    #[schemars(length(min = 1, max = 253))]
    pub provider: String,
    /// The provider's key that wrapped the data key.
    #[schemars(length(min = 1, max = 253))]
    pub key_id: String,
    /// The data key's own name: 32 lower hexadecimal digits.
    #[schemars(length(min = 32, max = 32), regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// The data key, wrapped by the provider's key.
    #[schemars(length(min = 1, max = 4096))]
    pub wrapped: String,
    /// How often the vault got a new data key. Raise it, and the vault gets one at once, with every
    /// value sealed anew: what to do when the data key may have leaked.
    #[schemars(with = "i64", range(min = 0, max = u32::MAX))]
    pub rekey: u32,
    /// When the data key was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// What the values were before they were sealed anew, if that changed none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resealed: Option<Resealed>,
}

/// Two content revisions that are the same to a pod: only how the values are sealed differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resealed {
    /// The content revision before.
    #[schemars(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))]
    pub from: String,
    /// A digest of what is stored since.
    #[schemars(length(min = 16, max = 16), regex(pattern = "^[0-9a-f]{16}$"))]
    pub to: String,
}
