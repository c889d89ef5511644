//! A Transit key of a Vault or OpenBao server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{key_provider::KeyringFile, rules, span::Span};

/// A key of the Transit engine of a Vault or OpenBao server. The key never leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultTransit {
    /// The server's address: https://HOST:PORT.
    #[schemars(length(min = 9, max = 2048), regex(pattern = r"^https://[^/?#\s]+/?$"))]
    pub address: String,
    /// The certificates that the server's must be signed by: PEM, in base64. Absent: those that the
    /// operator's image trusts, which are none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_048_576))]
    pub ca_bundle: Option<String>,
    /// Where the Transit engine is mounted. Default: "transit".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = PATH))]
    pub mount: Option<String>,
    /// The name of the key. One per cluster: whoever may decrypt with it can unwrap every data key.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9_.-]+$"))]
    pub key: String,
    /// The server's own namespace, where it has such (Vault Enterprise, OpenBao).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH))]
    pub namespace: Option<String>,
    /// How the operator logs in. Exactly one way.
    pub auth: TransitAuth,
    /// What is part of each envelope's binding in the place of the cluster. Absent: the UID of the
    /// namespace kube-system. Set it where another cluster is to open the same vaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9_.-]+$"))]
    pub scope: Option<String>,
    /// How long an unwrapped data key may stay in the operator's memory: pods start without the
    /// server for so long, and for so long a right that the server takes away has no effect.
    /// Default: "10m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_for: Option<Span>,
}

/// How the operator logs in: exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::transit_auth()))]
#[serde(rename_all = "camelCase")]
pub struct TransitAuth {
    /// With a token of the operator's service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,
    /// With a role id and a secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<AppRoleAuth>,
    /// With a token that somebody else keeps valid. It is renewed where the server allows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<CredentialSource>,
}

/// Login with a token of the operator's service account, made for this audience.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// Where the method is mounted. Default: "kubernetes".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = PATH))]
    pub mount: Option<String>,
    /// The role to log in with.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9_.-]+$"))]
    pub role: String,
    /// The audience that the role asks for. Default: "vault".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub audience: Option<String>,
}

/// Login with a role id and a secret id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppRoleAuth {
    /// Where the method is mounted. Default: "approle".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = PATH))]
    pub mount: Option<String>,
    /// The role id.
    #[schemars(length(min = 1, max = 253))]
    pub role_id: String,
    /// Where the secret id is.
    pub secret_id: CredentialSource,
}

/// Where a credential is: exactly one of the two. It is read anew at each login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::keyring_source()))]
#[serde(rename_all = "camelCase")]
pub struct CredentialSource {
    /// A Secret in the operator's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<CredentialSecret>,
    /// A file mounted into the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<KeyringFile>,
}

/// A key of a Secret in the operator's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSecret {
    /// The Secret's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// The key within the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A path of the server's API, without a slash at its ends.
const PATH: &str = "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$";
