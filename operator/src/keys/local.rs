use std::fmt;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use secretvault_crds::api::{DEFAULT_KEYRING_KEY, DEFAULT_TRANSIT_MOUNT};
use secretvault_crds::{KeyProviderSpec, LocalProvider, VaultTransit};
use secretvault_keyring::{Keyring, MAX_KEYRING_LEN};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::{KeyFault, ProviderFault};

/// Where the keys lie: the difference between what a stolen etcd backup yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file that is mounted into the operator.
    File(PathBuf),
    /// A key of a Secret in the operator's namespace.
    Secret {
        /// The Secret's name.
        name: String,
        /// The key in its data.
        key: String,
    },
    /// A key of a Transit engine, which never leaves its server.
    Transit {
        /// The server.
        address: String,
        /// Where the engine is mounted.
        mount: String,
        /// The key's name.
        key: String,
    },
}

impl Source {
    /// The source that a specification names.
    ///
    /// # Errors
    /// [`KeyFault::Unsupported`] where it names none that this version knows.
    pub fn of(spec: &KeyProviderSpec) -> Result<Self, ProviderFault> {
        let unsupported = || {
            ProviderFault::new(
                KeyFault::Unsupported,
                "this version knows only spec.local, with a keyring from a secret or a file, and \
                 spec.vaultTransit",
            )
        };
        if let (None, Some(transit)) = (&spec.local, &spec.vault_transit) {
            return Ok(Self::transit(transit));
        }
        let LocalProvider { keyring, .. } = spec.local.as_ref().ok_or_else(unsupported)?;
        match (&keyring.secret, &keyring.file) {
            (Some(secret), None) => {
                let key = secret
                    .key
                    .clone()
                    .unwrap_or_else(|| DEFAULT_KEYRING_KEY.to_owned());
                Ok(Self::Secret {
                    name: secret.name.clone(),
                    key,
                })
            }
            (None, Some(file)) => Ok(Self::File(PathBuf::from(&file.path))),
            (None, None) | (Some(_), Some(_)) => Err(unsupported()),
        }
    }

    pub(super) fn transit(spec: &VaultTransit) -> Self {
        let mount = spec.mount.as_deref().unwrap_or(DEFAULT_TRANSIT_MOUNT);
        Self::Transit {
            address: spec.address.trim_end_matches('/').to_owned(),
            mount: mount.to_owned(),
            key: spec.key.clone(),
        }
    }

    /// Reads the keyring. `secrets` is the operator's own namespace.
    ///
    /// # Errors
    /// A fault that says what is missing or wrong, and never a part of the keyring.
    pub async fn load(&self, secrets: &Api<Secret>) -> Result<Keyring, ProviderFault> {
        let bytes = match self {
            Self::File(path) => read_file(path).await?,
            Self::Secret { name, key } => read_secret(secrets, name, key).await?,
            Self::Transit { .. } => {
                return Err(ProviderFault::new(
                    KeyFault::Unsupported,
                    format!("{self} is no keyring"),
                ));
            }
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            ProviderFault::new(
                KeyFault::KeyringInvalid,
                format!("{self} is not UTF-8 text"),
            )
        })?;
        Keyring::parse(text).map_err(|error| ProviderFault::invalid(&self.to_string(), &error))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Secret { name, key } => write!(f, "key {key} of Secret {name}"),
            Self::Transit {
                address,
                mount,
                key,
            } => write!(f, "Transit key {key} at {address} (mount {mount})"),
        }
    }
}

async fn read_file(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>, ProviderFault> {
    let fault = |error: std::io::Error| {
        let reason = if error.kind() == std::io::ErrorKind::NotFound {
            KeyFault::KeyringMissing
        } else {
            KeyFault::FileUnreadable
        };
        ProviderFault::new(
            reason,
            format!(
                "the keyring file {} cannot be read: {error}",
                path.display()
            ),
        )
    };
    // At its final size, so that no freed copy stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYRING_LEN + 1));
    let file = tokio::fs::File::open(path).await.map_err(fault)?;
    file.take(MAX_KEYRING_LEN as u64 + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(fault)?;
    Ok(bytes)
}

async fn read_secret(
    secrets: &Api<Secret>,
    name: &str,
    key: &str,
) -> Result<Zeroizing<Vec<u8>>, ProviderFault> {
    let missing = |what: String| {
        ProviderFault::new(
            KeyFault::KeyringMissing,
            format!("{what}: restore it from backup, or give spec.local another keyring"),
        )
    };
    let secret = secrets
        .get_opt(name)
        .await
        .map_err(|_| {
            ProviderFault::new(
                KeyFault::Unreachable,
                format!("the API server did not answer for Secret {name}"),
            )
        })?
        .ok_or_else(|| {
            missing(format!(
                "there is no Secret {name} in the operator's namespace"
            ))
        })?;
    let mut data = secret.data.unwrap_or_default();
    let bytes = data.remove(key).map(|bytes| Zeroizing::new(bytes.0));
    bytes.ok_or_else(|| missing(format!("Secret {name} has no key {key}")))
}
