use jiff::Timestamp;
use secretvault_crds::{DataKey, whole_second};
use secretvault_envelope::{Dek, DekId, VaultBinding};
use subtle::ConstantTimeEq as _;

use crate::sealing::{FormerKeys, Opener};
use crate::{Examined, KeyNeed, OpenedKey, Refusal};

/// The key providers that sealing can ask.
pub trait KeyProviders {
    /// One of them.
    type Provider: KeyProvider;

    /// The provider of this name.
    ///
    /// # Errors
    /// There is none, or it is not usable now.
    fn find(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Self::Provider, ErrorOf<Self>>> + Send;
}

/// Why a provider of these cannot help.
type ErrorOf<P> = <<P as KeyProviders>::Provider as KeyProvider>::Error;

/// Whoever holds a key that wraps data keys.
pub trait KeyProvider {
    /// Why it cannot help now.
    type Error: From<NoRandomness>;

    /// The scope that is part of each binding under this provider.
    fn scope(&self) -> &str;

    /// Wraps a data key for this vault. Answers with the id of the key that wraps, and the text.
    ///
    /// # Errors
    /// The backend cannot wrap now.
    fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> impl Future<Output = Result<WrappedKey, Self::Error>> + Send;

    /// Unwraps a data key. `None`: it is not this vault's, or does not bear this id.
    ///
    /// # Errors
    /// The backend cannot unwrap now.
    fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> impl Future<Output = Result<Option<Dek>, Self::Error>> + Send;
}

/// A wrapped data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The id of the key that wrapped it.
    pub key_id: String,
    /// The provider's own text form.
    pub wrapped: String,
}

/// The operating system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes: try again")]
pub struct NoRandomness;

/// Why there is no key to seal with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey<E> {
    /// A provider cannot help.
    #[error(transparent)]
    Provider(E),
    /// The key that the manifest brings is not this vault's.
    #[error(transparent)]
    Refused(Refusal),
}

impl Examined<'_> {
    /// Fetches what [`Examined::need`] asks for.
    ///
    /// # Errors
    /// A provider cannot help now, or the manifest's wrapped key is not this vault's.
    pub async fn key<P: KeyProviders>(
        &self,
        providers: &P,
    ) -> Result<Option<OpenedKey>, NoKey<ErrorOf<P>>> {
        let vault = Vault {
            namespace: self.incoming.namespace,
            name: self.incoming.name,
        };
        match self.need() {
            KeyNeed::Compare {
                adopt,
                incoming,
                stored,
            } => {
                let same = vault.same(providers, incoming, stored).await?;
                Ok(Some(same.adopting(*adopt, incoming)))
            }
            KeyNeed::New { provider } => {
                let key = vault.new_key(providers, provider, self.now).await?;
                Ok(Some(key))
            }
            KeyNeed::Nothing => Ok(None),
            KeyNeed::Reseal {
                brought,
                provider,
                rekey,
                stored,
            } => {
                let former = vault.former(providers, stored, brought.as_ref()).await?;
                let mut key = vault.new_key(providers, provider, self.now).await?;
                key.data_key.rekey = *rekey;
                key.former = Some(former);
                Ok(Some(key))
            }
            KeyNeed::Unwrap(stored) if self.stored_data_key.is_some() => {
                vault.open_stored(providers, stored).await.map(Some)
            }
            KeyNeed::Unwrap(incoming) => vault.open(providers, incoming).await.map(Some),
        }
    }
}

impl OpenedKey {
    /// The same key in the wrapping of `incoming`, if that is to be taken. What is ours to say of
    /// the key stays as it is stored.
    fn adopting(mut self, adopt: bool, incoming: &DataKey) -> Self {
        if adopt {
            self.data_key.key_id.clone_from(&incoming.key_id);
            self.data_key.wrapped.clone_from(&incoming.wrapped);
        }
        self
    }
}

/// Whose data key it is.
struct Vault<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Vault<'_> {
    async fn open<P: KeyProviders>(
        &self,
        providers: &P,
        data_key: &DataKey,
    ) -> Result<OpenedKey, NoKey<ErrorOf<P>>> {
        let provider = providers.find(&data_key.provider).await;
        let provider = provider.map_err(NoKey::Provider)?;
        let binding = self.binding(provider.scope());
        let opened = provider.unwrap(&binding, data_key).await;
        match opened.map_err(NoKey::Provider)? {
            Some(dek) => Ok(OpenedKey {
                dek,
                data_key: data_key.clone(),
                scope: provider.scope().to_owned(),
                former: None,
            }),
            None => Err(NoKey::Refused(Refusal::ForeignDataKey)),
        }
    }

    /// Like [`Self::open`], for the key that is stored: that it does not open is not the manifest's
    /// fault.
    async fn open_stored<P: KeyProviders>(
        &self,
        providers: &P,
        stored: &DataKey,
    ) -> Result<OpenedKey, NoKey<ErrorOf<P>>> {
        let opened = self.open(providers, stored).await;
        opened.map_err(|error| match error {
            NoKey::Refused(Refusal::ForeignDataKey) => NoKey::Refused(Refusal::DamagedDataKey),
            NoKey::Provider(_) | NoKey::Refused(_) => error,
        })
    }

    /// Opens both wrapped keys and accepts the incoming one only if it is the stored one.
    async fn same<P: KeyProviders>(
        &self,
        providers: &P,
        incoming: &DataKey,
        stored: &DataKey,
    ) -> Result<OpenedKey, NoKey<ErrorOf<P>>> {
        let incoming = self.open(providers, incoming).await?;
        let stored = self.open_stored(providers, stored).await?;
        if bool::from(incoming.dek.ct_eq(&stored.dek)) {
            Ok(stored)
        } else {
            Err(NoKey::Refused(Refusal::ForeignDataKey))
        }
    }

    /// What a reseal opens with.
    async fn former<P: KeyProviders>(
        &self,
        providers: &P,
        stored: &DataKey,
        brought: Option<&DataKey>,
    ) -> Result<FormerKeys, NoKey<ErrorOf<P>>> {
        let stored = self.open_stored(providers, stored).await?;
        let brought = match brought {
            Some(key) => Some(Opener::from(self.open(providers, key).await?)),
            None => None,
        };
        Ok(FormerKeys {
            stored: stored.into(),
            brought,
        })
    }

    async fn new_key<P: KeyProviders>(
        &self,
        providers: &P,
        name: &str,
        now: Timestamp,
    ) -> Result<OpenedKey, NoKey<ErrorOf<P>>> {
        let provider = providers.find(name).await.map_err(NoKey::Provider)?;
        let made = Dek::generate().and_then(|dek| Ok((dek, DekId::generate()?)));
        let (dek, id) = made.map_err(|_| NoKey::Provider(NoRandomness.into()))?;
        let binding = self.binding(provider.scope());
        let wrapped = provider.wrap(&binding, id, &dek).await;
        let wrapped = wrapped.map_err(NoKey::Provider)?;
        let data_key = DataKey {
            provider: name.to_owned(),
            key_id: wrapped.key_id,
            id: id.to_string(),
            wrapped: wrapped.wrapped,
            rekey: 0,
            created: Some(whole_second(now)),
            resealed: None,
        };
        Ok(OpenedKey {
            dek,
            data_key,
            scope: provider.scope().to_owned(),
            former: None,
        })
    }

    fn binding<'a>(&'a self, scope: &'a str) -> VaultBinding<'a> {
        VaultBinding::new(scope, self.namespace, self.name)
    }
}
