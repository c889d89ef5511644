//! Opens a vault to see whether it opens. What it holds is wiped at once and told nobody.

use secretvault_crds::{SecretVault, SecretVaultSpec};
use secretvault_envelope::{Dek, Envelope, VaultBinding};

use crate::{
    keys::{KeyError, Providers},
    metrics::VaultState,
};

/// What became of opening a vault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// These entries do not open. Never why.
    Damaged {
        /// Their names.
        entries: Vec<String>,
    },
    /// There is nothing in it.
    Empty,
    /// The key that opens it cannot be had now.
    KeyUnavailable {
        /// Why, and what to do.
        message: String,
    },
    /// Every secret entry opens.
    Sealed,
}

impl Verdict {
    /// The verdict as a label.
    pub(super) fn state(&self) -> VaultState {
        match self {
            Self::Damaged { .. } => VaultState::Damaged,
            Self::Empty => VaultState::Empty,
            Self::KeyUnavailable { .. } => VaultState::KeyUnavailable,
            Self::Sealed => VaultState::Sealed,
        }
    }

    /// Whether pods can use the vault.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Empty | Self::Sealed => true,
            Self::Damaged { .. } | Self::KeyUnavailable { .. } => false,
        }
    }
}

/// Opens every secret entry.
pub(super) async fn inspect(vault: &SecretVault, providers: &Providers) -> Verdict {
    let spec = &vault.spec;
    if spec.secrets().next().is_none() {
        let public = spec.public_data.len() + spec.public_binary_data.len();
        return if public == 0 {
            Verdict::Empty
        } else {
            Verdict::Sealed
        };
    }
    match open(vault, providers).await {
        Ok(damaged) if damaged.is_empty() => Verdict::Sealed,
        Ok(entries) => Verdict::Damaged { entries },
        Err(KeyError::DoesNotOpen) => Verdict::Damaged { entries: all(spec) },
        Err(
            error @ (KeyError::Failed { .. }
            | KeyError::MigratesInCircle { .. }
            | KeyError::MigratesNowhere { .. }
            | KeyError::MigratesTooFar { .. }
            | KeyError::NoProvider { .. }
            | KeyError::NotReady { .. }
            | KeyError::Randomness
            | KeyError::UnknownKey { .. }),
        ) => Verdict::KeyUnavailable {
            message: error.to_string(),
        },
    }
}

/// The names of the entries that do not open.
async fn open(vault: &SecretVault, providers: &Providers) -> Result<Vec<String>, KeyError> {
    let data_key = vault.spec.data_key.as_ref().ok_or(KeyError::DoesNotOpen)?;
    let meta = &vault.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    let opened = providers.open(namespace, name, data_key).await?;
    let binding = VaultBinding::new(&opened.scope, namespace, name);
    let dek = opened.dek;
    let damaged = vault
        .spec
        .secrets()
        .filter(|(entry, text)| !opens(&dek, binding, entry, text));
    Ok(damaged.map(|(entry, _)| entry.to_owned()).collect())
}

fn opens(dek: &Dek, vault: VaultBinding<'_>, entry: &str, text: &str) -> bool {
    text.parse::<Envelope>()
        .is_ok_and(|envelope| envelope.open_with_dek(dek, &vault.entry(entry)).is_ok())
}

fn all(spec: &SecretVaultSpec) -> Vec<String> {
    spec.secrets().map(|(entry, _)| entry.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use secretvault_crds::DataKey;
    use secretvault_envelope::{DekId, Plaintext};
    use secretvault_keyring::Keyring;

    use super::*;
    use crate::keys::{KeyFault, Provider, ProviderFault, Source};

    fn providers() -> Providers {
        let keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let source = Source::File("/keyring".into());
        let providers = Providers::new();
        let provider = Provider::local("default", keyring, source);
        providers.set("default", &Ok(Arc::new(provider)));
        providers
    }

    async fn sealed(providers: &Providers, name: &str) -> SecretVault {
        let provider = providers.get("default").unwrap();
        let binding = VaultBinding::new(provider.scope(), "shop", name);
        let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
        let wrapped = provider.wrap(&binding, id, &dek).await.unwrap();
        let data_key = DataKey {
            provider: "default".into(),
            key_id: wrapped.key_id,
            id: id.to_string(),
            wrapped: wrapped.wrapped,
            rekey: 0,
            ..DataKey::default()
        };
        let mut spec = SecretVaultSpec {
            data_key: Some(data_key),
            ..SecretVaultSpec::default()
        };
        for entry in ["db/password", "smtp/token"] {
            let value = Plaintext::from(b"hunter2".to_vec());
            let envelope = Envelope::seal(&dek, &binding.entry(entry), &value).unwrap();
            spec.data.insert(entry.into(), envelope.to_string().into());
        }
        let mut vault = SecretVault::new(name, spec);
        vault.metadata.namespace = Some("shop".into());
        vault
    }

    fn damaged(entries: &[&str]) -> Verdict {
        Verdict::Damaged {
            entries: entries.iter().map(ToString::to_string).collect(),
        }
    }

    #[tokio::test]
    async fn a_sealed_vault_opens() {
        let providers = providers();
        let vault = sealed(&providers, "app").await;
        assert_eq!(inspect(&vault, &providers).await, Verdict::Sealed);
    }

    #[tokio::test]
    async fn an_envelope_of_another_entry_is_damaged() {
        let providers = providers();
        let mut vault = sealed(&providers, "app").await;
        let other = vault.spec.data["smtp/token"].clone();
        vault.spec.data.insert("db/password".into(), other);
        assert_eq!(inspect(&vault, &providers).await, damaged(&["db/password"]));
    }

    #[tokio::test]
    async fn another_vaults_data_key_damages_everything() {
        let providers = providers();
        let mut vault = sealed(&providers, "app").await;
        vault.spec.data_key = sealed(&providers, "other").await.spec.data_key;
        assert_eq!(
            inspect(&vault, &providers).await,
            damaged(&["db/password", "smtp/token"])
        );
    }

    #[tokio::test]
    async fn without_a_data_key_nothing_opens() {
        let providers = providers();
        let mut vault = sealed(&providers, "app").await;
        vault.spec.data_key = None;
        assert_eq!(
            inspect(&vault, &providers).await,
            damaged(&["db/password", "smtp/token"])
        );
    }

    #[tokio::test]
    async fn a_provider_that_is_not_ready_says_why() {
        let providers = providers();
        let vault = sealed(&providers, "app").await;
        let fault = ProviderFault::new(KeyFault::KeyringMissing, "restore it");
        providers.set("default", &Err(fault));
        let Verdict::KeyUnavailable { message } = inspect(&vault, &providers).await else {
            panic!("the key was available");
        };
        assert!(message.contains("restore it"), "{message}");
    }

    #[tokio::test]
    async fn another_keyring_does_not_have_the_key() {
        let vault = sealed(&providers(), "app").await;
        let verdict = inspect(&vault, &providers()).await;
        assert!(
            matches!(verdict, Verdict::KeyUnavailable { .. }),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn public_entries_need_no_key() {
        let mut vault = SecretVault::new("app", SecretVaultSpec::default());
        assert_eq!(inspect(&vault, &Providers::new()).await, Verdict::Empty);
        vault.spec.public_data.insert("db/host".into(), "db".into());
        assert_eq!(inspect(&vault, &Providers::new()).await, Verdict::Sealed);
    }
}
