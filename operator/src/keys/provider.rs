use secretvault_crds::DataKey;
use secretvault_envelope::{DataKeyPayload, Dek, DekId, VaultBinding};
use secretvault_keyring::{KeyId, Keyring};

use super::{KeyError, local::Source};

/// A usable key provider.
pub struct Provider {
    name: String,
    backend: Backend,
}

/// What holds the KEK.
enum Backend {
    Local { keyring: Keyring, source: Source },
}

/// A wrapped data key and the id of the KEK that wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The KEK's id.
    pub key_id: String,
    /// The provider's own text form.
    pub wrapped: String,
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
    ) -> Result<Wrapped, KeyError> {
        let payload = DataKeyPayload::encode(vault, id, dek);
        match &self.backend {
            Backend::Local { keyring, .. } => {
                let wrapped = keyring.wrap(&payload)?;
                Ok(Wrapped {
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
        let payload = match &self.backend {
            Backend::Local { keyring, .. } => {
                let key_id: KeyId = data_key.key_id.parse().map_err(|_| KeyError::DoesNotOpen)?;
                keyring
                    .unwrap(&key_id, &data_key.wrapped)
                    .map_err(|error| KeyError::from_unwrap(&self.name, error))?
            }
        };
        let id: DekId = data_key.id.parse().map_err(|_| KeyError::DoesNotOpen)?;
        DataKeyPayload::decode(&payload, vault, id).map_err(|_| KeyError::DoesNotOpen)
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
