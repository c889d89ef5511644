use std::sync::Arc;

use jiff::Timestamp;
use secretvault_crds::{DataKey, VaultTransit};
use secretvault_envelope::{Dek, DekId, VaultBinding};
use secretvault_keyring::{KeyId, Keyring};
use secretvault_seal::{KeyProvider, KeyProviders, WrappedKey};

use super::metrics::Operation;
use super::transit::{CallError, Surroundings, Transit};
use super::{KeyError, KeyMetrics, ProviderFault, Providers, local::Source};

/// A usable key provider.
pub struct Provider {
    name: String,
    backend: Backend,
}

/// What holds the KEK.
enum Backend {
    Local {
        keyring: Keyring,
        source: Source,
        metrics: KeyMetrics,
    },
    Transit {
        transit: Arc<Transit>,
        source: Source,
    },
}

impl Provider {
    /// A provider over a keyring that this process holds.
    #[must_use]
    pub fn local(name: &str, keyring: Keyring, source: Source) -> Self {
        Self {
            name: name.to_owned(),
            backend: Backend::Local {
                keyring,
                source,
                metrics: KeyMetrics::default(),
            },
        }
    }

    /// The same provider, counted there.
    #[must_use]
    pub(super) fn counted_by(mut self, by: &KeyMetrics) -> Self {
        if let Backend::Local { metrics, .. } = &mut self.backend {
            metrics.clone_from(by);
        }
        self
    }

    /// A provider over a Transit key: one that has not asked its server yet, or the old one where
    /// the specification is the same.
    pub(super) fn transit(
        name: &str,
        spec: &VaultTransit,
        surroundings: &Surroundings<'_>,
        old: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, ProviderFault> {
        let known = old.and_then(|old| old.as_transit());
        if let (Some(old), Some(known)) = (old, known)
            && known.is_of(spec, surroundings.cluster)
        {
            return Ok(Arc::clone(old));
        }
        let transit = Transit::new(name, spec, surroundings)?;
        if let Some(known) = known {
            transit.succeed(known);
        }
        let backend = Backend::Transit {
            transit: Arc::new(transit),
            source: Source::transit(spec),
        };
        Ok(Arc::new(Self {
            name: name.to_owned(),
            backend,
        }))
    }

    /// Its Transit key, if it has one.
    pub(super) fn as_transit(&self) -> Option<&Arc<Transit>> {
        match &self.backend {
            Backend::Local { .. } => None,
            Backend::Transit { transit, .. } => Some(transit),
        }
    }

    /// What is wrong with it now. Cached data keys unwrap all the same.
    pub(super) fn fault(&self) -> Option<ProviderFault> {
        self.as_transit()?.fault()
    }

    /// Whether nothing can be expected of it: it was never usable.
    pub(super) fn refusal(&self) -> Option<ProviderFault> {
        self.as_transit()
            .filter(|transit| !transit.was_usable())?
            .fault()
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
            Backend::Local {
                keyring, metrics, ..
            } => {
                let wrap = || keyring.wrap_data_key(vault, id, dek);
                let wrapped = metrics.local(Operation::Encrypt, wrap)?;
                Ok(WrappedKey {
                    key_id: wrapped.key_id.to_string(),
                    wrapped: wrapped.wrapped,
                })
            }
            Backend::Transit { transit, .. } => {
                let wrapped = transit.wrap(vault, id, dek).await;
                wrapped.map_err(|error| self.transit_error(error, ""))
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
            Backend::Local {
                keyring, metrics, ..
            } => {
                let unwrap = || keyring.unwrap_data_key(vault, id, key_id, wrapped);
                let unwrapped = metrics.local(Operation::Decrypt, unwrap);
                unwrapped.map_err(|error| KeyError::from_unwrap(&self.name, error))
            }
            Backend::Transit { transit, .. } => {
                let dek = transit.unwrap(vault, data_key).await;
                dek.map_err(|error| self.transit_error(error, key_id))
            }
        }
    }

    /// Unwraps the data key of a vault, and says under which scope it was.
    pub(super) async fn open(
        &self,
        namespace: &str,
        vault: &str,
        data_key: &DataKey,
    ) -> Result<Opened, KeyError> {
        let scope = self.scope();
        let vault = VaultBinding::new(scope, namespace, vault);
        let dek = self.unwrap(&vault, data_key).await?;
        Ok(Opened {
            dek,
            scope: scope.to_owned(),
        })
    }

    /// Wraps the same data key under the primary KEK.
    ///
    /// A Transit server does it without opening it here: that the answer is this vault's data key,
    /// admission finds when it compares it with the stored one.
    ///
    /// # Errors
    /// [`KeyError`] if the backend cannot do it now, or the wrapped key does not open.
    pub async fn rewrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<WrappedKey, KeyError> {
        match &self.backend {
            Backend::Local { .. } => {
                let dek = self.unwrap(vault, data_key).await?;
                // It was unwrapped with this id just now.
                let id = data_key.id.parse().map_err(|_| KeyError::DoesNotOpen)?;
                self.wrap(vault, id, &dek).await
            }
            Backend::Transit { transit, .. } => {
                let wrapped = transit.rewrap(vault, data_key).await;
                wrapped.map_err(|error| self.transit_error(error, &data_key.key_id))
            }
        }
    }

    /// The scope that is part of every binding under this provider.
    #[must_use]
    pub fn scope(&self) -> &str {
        match &self.backend {
            Backend::Local { keyring, .. } => keyring.id(),
            Backend::Transit { transit, .. } => transit.scope(),
        }
    }

    /// The id of the KEK that new data keys are wrapped with.
    #[must_use]
    pub fn primary_key_id(&self) -> String {
        match &self.backend {
            Backend::Local { keyring, .. } => keyring.primary_id().to_string(),
            Backend::Transit { transit, .. } => transit.key_id().unwrap_or_default(),
        }
    }

    /// Whether new data keys are wrapped with this KEK.
    #[must_use]
    pub fn is_current(&self, key_id: &str) -> bool {
        match &self.backend {
            Backend::Local { keyring, .. } => keyring.primary_id().to_string() == key_id,
            Backend::Transit { transit, .. } => transit.is_current(key_id),
        }
    }

    /// The KEKs that are known, the primary first.
    #[must_use]
    pub fn key_infos(&self) -> Vec<KeyInfo> {
        match &self.backend {
            Backend::Local { keyring, .. } => keyring.keys_made().map(KeyInfo::of).collect(),
            Backend::Transit { transit, .. } => {
                let info = |id| KeyInfo { id, created: None };
                transit.key_id().map(info).into_iter().collect()
            }
        }
    }

    /// Where the KEK comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        match &self.backend {
            Backend::Local { source, .. } | Backend::Transit { source, .. } => source,
        }
    }

    fn transit_error(&self, error: CallError, key_id: &str) -> KeyError {
        let provider = self.name.clone();
        match error {
            CallError::DoesNotOpen => KeyError::DoesNotOpen,
            CallError::Fault(fault) => KeyError::NotReady { provider, fault },
            CallError::TooOld(fault) => KeyError::Failed { provider, fault },
            CallError::UnknownVersion => KeyError::UnknownKey {
                provider,
                key_id: key_id.to_owned(),
            },
        }
    }
}

/// A data key that a provider unwrapped.
#[derive(Debug)]
pub struct Opened {
    /// The data key.
    pub dek: Dek,
    /// The scope that is part of each binding under the provider.
    pub scope: String,
}

/// What is known of one KEK. No key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id, as `spec.dataKey.keyId` has it.
    pub id: String,
    /// When it was made, where the backend says so.
    pub created: Option<Timestamp>,
}

impl KeyInfo {
    fn of((id, created): (KeyId, Timestamp)) -> Self {
        Self {
            id: id.to_string(),
            created: Some(created),
        }
    }
}

/// A provider that admission found, in a view that can be read once more.
pub struct Found {
    provider: Arc<Provider>,
    providers: Providers,
}

impl KeyProvider for Found {
    type Error = KeyError;

    fn scope(&self) -> &str {
        self.provider.scope()
    }

    async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, KeyError> {
        self.provider.wrap(vault, id, dek).await
    }

    async fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Option<Dek>, KeyError> {
        let opened = self.providers.open(vault.namespace, vault.vault, data_key);
        match opened.await {
            // Under another scope it is nothing that the caller can use.
            Ok(opened) if opened.scope == vault.scope => Ok(Some(opened.dek)),
            Ok(_) | Err(KeyError::DoesNotOpen) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl KeyProviders for Providers {
    type Provider = Found;

    async fn find(&self, name: &str) -> Result<Found, KeyError> {
        Ok(Found {
            provider: Self::find(self, name).await?,
            providers: self.clone(),
        })
    }
}
