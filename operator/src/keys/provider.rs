use std::sync::Arc;

use secretvault_crds::DataKey;
use secretvault_envelope::{Dek, DekId, VaultBinding};
use secretvault_keyring::Keyring;
use secretvault_seal::{KeyProvider, KeyProviders, WrappedKey};

use super::{KeyError, Providers, local::Source};

/// A usable key provider.
pub struct Provider {
    name: String,
    backend: Backend,
}

/// What holds the KEK.
enum Backend {
    Local { keyring: Keyring, source: Source },
}

impl Provider {
    /// A provider over a keyring that this process holds.
    #[must_use]
    pub fn local(name: &str, keyring: Keyring, source: Source) -> Self {
        Self {
            name: name.to_owned(),
            backend: Backend::Local { keyring, source },
        }
    }

    /// Wraps a data key for this vault under the primary KEK.
    ///
    /// # Errors
    /// [`KeyError`] if the backend cannot wrap now.
    pub async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, KeyError> {
        match &self.backend {
            Backend::Local { keyring, .. } => {
                let wrapped = keyring.wrap_data_key(vault, id, dek)?;
                Ok(WrappedKey {
                    key_id: wrapped.key_id.to_string(),
                    wrapped: wrapped.wrapped,
                })
            }
        }
    }

    /// Unwraps a data key and checks that it was wrapped for this vault and bears this id.
    ///
    /// # Errors
    /// [`KeyError`] if the backend cannot unwrap now, or the wrapped key is not this vault's.
    pub async fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Dek, KeyError> {
        let DataKey {
            id,
            key_id,
            wrapped,
            ..
        } = data_key;
        match &self.backend {
            Backend::Local { keyring, .. } => keyring
                .unwrap_data_key(vault, id, key_id, wrapped)
                .map_err(|error| KeyError::from_unwrap(&self.name, error)),
        }
    }

    /// The scope that is part of every binding under this provider.
    #[must_use]
    pub fn scope(&self) -> &str {
        match &self.backend {
            Backend::Local { keyring, .. } => keyring.id(),
        }
    }

    /// The id of the KEK that new data keys are wrapped with.
    #[must_use]
    pub fn primary_key_id(&self) -> String {
        match &self.backend {
            Backend::Local { keyring, .. } => keyring.primary_id().to_string(),
        }
    }

    /// Where the KEK comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        match &self.backend {
            Backend::Local { source, .. } => source,
        }
    }
}

impl KeyProvider for Provider {
    type Error = KeyError;

    fn scope(&self) -> &str {
        Self::scope(self)
    }

    async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, KeyError> {
        Self::wrap(self, vault, id, dek).await
    }

    async fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Option<Dek>, KeyError> {
        match Self::unwrap(self, vault, data_key).await {
            Ok(dek) => Ok(Some(dek)),
            Err(KeyError::DoesNotOpen) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl KeyProviders for Providers {
    type Provider = Arc<Provider>;

    async fn find(&self, name: &str) -> Result<Arc<Provider>, KeyError> {
        Self::find(self, name).await
    }
}
