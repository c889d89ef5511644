//! Where the key is, and how the operator logs in there: a specification, read once.

use secretvault_crds::api::DEFAULT_TRANSIT_MOUNT;
use secretvault_crds::{CredentialSource, TransitAuth, VaultTransit};

use crate::keys::{KeyFault, ProviderFault};

/// The key's place. Two providers of one place have the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The server, without a slash at its end.
    pub(super) address: String,
    /// The engine.
    pub(super) mount: String,
    /// The key.
    pub(super) key: String,
    /// The server's own namespace.
    pub(super) namespace: Option<String>,
}

impl Place {
    pub(super) fn of(spec: &VaultTransit) -> Self {
        let mount = spec.mount.as_deref().unwrap_or(DEFAULT_TRANSIT_MOUNT);
        Self {
            address: spec.address.trim_end_matches('/').to_owned(),
            mount: mount.to_owned(),
            key: spec.key.clone(),
            namespace: spec.namespace.clone(),
        }
    }
}

/// How the operator logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With a role id and a secret id.
    AppRole {
        mount: String,
        role_id: String,
        secret_id: CredentialSource,
    },
    /// With a token of its service account.
    Kubernetes {
        mount: String,
        role: String,
        audience: String,
    },
    /// With a token that somebody else makes.
    Token(CredentialSource),
}

impl Way {
    /// The one way that a specification gives.
    pub(super) fn of(auth: &TransitAuth) -> Result<Self, ProviderFault> {
        let or = |given: &Option<String>, default: &str| {
            given.clone().unwrap_or_else(|| default.to_owned())
        };
        match (&auth.kubernetes, &auth.app_role, &auth.token) {
            (Some(it), None, None) => Ok(Self::Kubernetes {
                mount: or(&it.mount, "kubernetes"),
                role: it.role.clone(),
                audience: or(&it.audience, "vault"),
            }),
            (None, Some(it), None) => Ok(Self::AppRole {
                mount: or(&it.mount, "approle"),
                role_id: it.role_id.clone(),
                secret_id: it.secret_id.clone(),
            }),
            (None, None, Some(it)) => Ok(Self::Token(it.clone())),
            _ => Err(ProviderFault::new(
                KeyFault::Unsupported,
                "spec.vaultTransit.auth must give exactly one way that this version knows: \
                 kubernetes, appRole or token",
            )),
        }
    }

    /// For a message.
    pub(super) fn told(&self) -> String {
        match self {
            Self::AppRole { mount, .. } => format!("with AppRole (auth/{mount})"),
            Self::Kubernetes { mount, role, .. } => format!("as role {role} (auth/{mount})"),
            Self::Token(source) => format!("with the token in {}", source_told(source)),
        }
    }
}

/// Where a credential should be, for a message.
pub(super) fn source_told(source: &CredentialSource) -> String {
    match (&source.secret, &source.file) {
        (Some(secret), _) => format!("key {} of Secret {}", secret.key, secret.name),
        (None, Some(file)) => format!("file {}", file.path),
        (None, None) => "no place".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use secretvault_crds::{AppRoleAuth, KubernetesAuth};

    use super::*;

    #[test]
    fn exactly_one_way_is_taken() {
        let kubernetes = Some(KubernetesAuth {
            role: "sv".to_owned(),
            ..KubernetesAuth::default()
        });
        let one = TransitAuth {
            kubernetes: kubernetes.clone(),
            ..TransitAuth::default()
        };
        assert_eq!(
            Way::of(&one).unwrap(),
            Way::Kubernetes {
                mount: "kubernetes".to_owned(),
                role: "sv".to_owned(),
                audience: "vault".to_owned()
            }
        );
        let two = TransitAuth {
            app_role: Some(AppRoleAuth::default()),
            ..one
        };
        for auth in [two, TransitAuth::default()] {
            assert_eq!(Way::of(&auth).unwrap_err().reason, KeyFault::Unsupported);
        }
    }
}
