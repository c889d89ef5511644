//! A stored vault, opened with this machine's keyring.

use secretvault_crds::{SecretVaultSpec, api::SEALED_FOR_GIT_PREFIX};
use secretvault_envelope::{Dek, Envelope, Plaintext, VaultBinding};
use secretvault_seal::KeyProvider;
use secretvault_vault::VaultRef;
use thiserror::Error;

use crate::{
    keys::{KeyError, Keys},
    object::Object,
};

/// Why a value cannot be had. Never why an envelope does not open.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The wrapped data key is not this vault's.
    #[error(
        "vault {0}: its data key does not open: restore the vault and the keyring from one and the same backup"
    )]
    DataKey(VaultRef),
    /// An envelope does not open.
    #[error(
        "vault {vault}: entry {entry} does not open: apply its value anew, or restore the vault"
    )]
    Entry {
        /// The vault.
        vault: VaultRef,
        /// The entry.
        entry: String,
    },
    /// The keyring lacks the key.
    #[error("vault {vault}: {error}")]
    Key {
        /// The vault.
        vault: VaultRef,
        /// What it lacks.
        error: KeyError,
    },
    /// The object is damaged.
    #[error("vault {0}: its spec does not fit the schema of SecretVault: restore it")]
    Spec(VaultRef),
    /// A value sealed for Git.
    #[error("vault {vault}: entry {entry} is sealed for Git, which only its cluster can open")]
    SealedForGit {
        /// The vault.
        vault: VaultRef,
        /// The entry.
        entry: String,
    },
}

/// A vault whose data key is unwrapped, for as long as a command takes.
pub struct OpenVault {
    reference: VaultRef,
    spec: SecretVaultSpec,
    scope: String,
    dek: Option<Dek>,
}

impl OpenVault {
    /// Unwraps a vault's data key, if it has one.
    ///
    /// # Errors
    /// The keyring lacks the key, or it is not this vault's.
    pub fn open(object: &Object, keys: &Keys) -> Result<Self, OpenError> {
        let reference = object.reference();
        let spec = object.typed();
        let spec = spec.map_err(|_| OpenError::Spec(reference.clone()))?;
        let binding = VaultBinding::new(keys.scope(), &reference.namespace, &reference.name);
        let dek = match &spec.data_key {
            None => None,
            Some(key) => {
                let opened = keys.open(&binding, key).map_err(|error| OpenError::Key {
                    vault: reference.clone(),
                    error,
                })?;
                let foreign = || OpenError::DataKey(reference.clone());
                Some(opened.ok_or_else(foreign)?)
            }
        };
        Ok(Self {
            scope: keys.scope().to_owned(),
            reference,
            spec,
            dek,
        })
    }

    /// Its specification.
    pub fn spec(&self) -> &SecretVaultSpec {
        &self.spec
    }

    /// An entry's value, secret or public. `None`: there is no such entry.
    ///
    /// # Errors
    /// It does not open.
    pub fn value(&self, entry: &str) -> Result<Option<Plaintext>, OpenError> {
        match self.spec.secret(entry) {
            Some(text) => self.secret(entry, text).map(Some),
            None => match self.spec.public(entry) {
                Some(value) => Ok(Some(Plaintext::from(value))),
                None if self.spec.public_binary_data.contains_key(entry) => {
                    Err(self.damaged(entry))
                }
                None => Ok(None),
            },
        }
    }

    fn secret(&self, entry: &str, text: &str) -> Result<Plaintext, OpenError> {
        if text.starts_with(SEALED_FOR_GIT_PREFIX) {
            let (vault, entry) = (self.reference.clone(), entry.to_owned());
            return Err(OpenError::SealedForGit { vault, entry });
        }
        let vault = &self.reference;
        let binding = VaultBinding::new(&self.scope, &vault.namespace, &vault.name).entry(entry);
        let envelope = text.parse::<Envelope>().ok();
        let opened = envelope.zip(self.dek.as_ref());
        let opened = opened.and_then(|(it, dek)| it.open_with_dek(dek, &binding).ok());
        opened.ok_or_else(|| self.damaged(entry))
    }

    fn damaged(&self, entry: &str) -> OpenError {
        OpenError::Entry {
            vault: self.reference.clone(),
            entry: entry.to_owned(),
        }
    }
}
