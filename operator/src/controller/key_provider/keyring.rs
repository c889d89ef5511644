//! Writes keyrings in Secrets.
//!
//! # Guarantees
//! * A keyring is made only by `create`, never over one that is there.
//! * A keyring that is there is replaced only in the very version that was read, with all keys but
//!   those that are to go: two that write at the same time never lose each other's keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use secretvault_crds::LocalProvider;
use secretvault_keyring::{Keyring, RotateError};
use tracing::info;

use super::lifetime;
use crate::keys::{KeyFault, ProviderFault, Source};
use crate::vaults::Fault;

/// The keyrings of the operator's namespace.
pub(super) struct Keyrings {
    secrets: Api<Secret>,
}

/// Why a keyring was not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unchanged {
    /// Somebody else changed it: next time.
    #[error("the keyring was changed by somebody else")]
    Conflict,
    /// The keyring has no room.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// It cannot be read any more.
    #[error(transparent)]
    Unreadable(#[from] ProviderFault),
    /// The API server did not take it; in its words.
    #[error("{0}")]
    Unwritten(String),
}

impl Keyrings {
    pub(super) fn new(secrets: Api<Secret>) -> Self {
        Self { secrets }
    }

    /// Reads the keyring.
    pub(super) async fn load(&self, source: &Source) -> Result<Keyring, ProviderFault> {
        source.load(&self.secrets).await
    }

    /// Whether the whole Secret is absent.
    pub(super) async fn is_absent(&self, source: &Source) -> Result<bool, kube::Error> {
        match source {
            Source::File(_) | Source::Transit { .. } => Ok(false),
            Source::Secret { name, .. } => Ok(self.secrets.get_opt(name).await?.is_none()),
        }
    }

    /// Makes the keyring, and reads what is there then: ours, or one that came first.
    pub(super) async fn create(
        &self,
        provider: &str,
        source: &Source,
    ) -> Result<Result<Keyring, ProviderFault>, CreateError> {
        let Source::Secret { name, key } = source else {
            return Ok(Err(ProviderFault::new(
                KeyFault::KeyringMissing,
                "no file is made",
            )));
        };
        let keyring = Keyring::generate(Timestamp::now())?;
        let secret = keyring_secret(provider, name, key, &keyring);
        match self.secrets.create(&PostParams::default(), &secret).await {
            Ok(_) => info!(provider, secret = name, id = keyring.id(), "made a keyring"),
            Err(kube::Error::Api(answer)) if answer.reason == "AlreadyExists" => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.load(source).await)
    }

    /// Makes a new key, if one is due by what is there now. Returns what is there then.
    pub(super) async fn rotate(
        &self,
        source: &Source,
        spec: &LocalProvider,
        now: Timestamp,
    ) -> Result<Option<Keyring>, Unchanged> {
        let is_due = |keyring: &Keyring| lifetime::is_due(spec, keyring.primary_created(), now);
        self.change(source, |keyring| {
            let due = is_due(keyring);
            if due {
                keyring.rotate(now)?;
            }
            Ok(due)
        })
        .await
    }

    /// Takes these keys out, none of which is the primary one. Returns what is there then.
    pub(super) async fn retire(
        &self,
        source: &Source,
        ids: &[String],
    ) -> Result<Option<Keyring>, Unchanged> {
        self.change(source, |keyring| {
            let ids = ids.iter().filter_map(|id| id.parse().ok());
            // The keyring itself refuses its primary key.
            let gone = ids.map(|id| keyring.retire_one(&id).is_ok());
            Ok(gone.fold(false, |any, gone| any | gone))
        })
        .await
    }

    /// Changes what is there, in the version that is read. None: there is nothing to change.
    async fn change(
        &self,
        source: &Source,
        change: impl FnOnce(&mut Keyring) -> Result<bool, RotateError>,
    ) -> Result<Option<Keyring>, Unchanged> {
        let Source::Secret { name, key } = source else {
            return Ok(None);
        };
        let mut secret = self.secrets.get(name).await.map_err(|it| unwritten(&it))?;
        let mut keyring = parse(&secret, name, key)?;
        if !change(&mut keyring)? {
            return Ok(None);
        }
        let document = ByteString(keyring.to_json().as_bytes().to_vec());
        let data = secret.data.get_or_insert_default();
        data.insert(key.clone(), document);
        let parameters = PostParams::default();
        let written = self.secrets.replace(name, &parameters, &secret).await;
        written.map_err(|error| unwritten(&error))?;
        info!(
            secret = name,
            primary = %keyring.primary_id(),
            keys = keyring.key_ids().count(),
            "changed a keyring"
        );
        Ok(Some(keyring))
    }
}

fn parse(secret: &Secret, name: &str, key: &str) -> Result<Keyring, ProviderFault> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let text = bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
    let keyring = text.and_then(|text| Keyring::parse(text).ok());
    // It was read well a moment ago, and will be again, with more words.
    keyring.ok_or_else(|| {
        ProviderFault::new(
            KeyFault::KeyringInvalid,
            format!("key {key} of Secret {name} holds no keyring any more"),
        )
    })
}

/// Only an answer's own words, which hold names: a client's error may quote what was sent.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "kube's enum has foreign, gated variants"
)]
fn unwritten(error: &kube::Error) -> Unchanged {
    match error {
        kube::Error::Api(status) if status.code == CONFLICT => Unchanged::Conflict,
        // Of an invalid object, the answer may quote a part.
        kube::Error::Api(status) if status.code == FORBIDDEN => {
            Unchanged::Unwritten(status.message.clone())
        }
        kube::Error::Api(status) if status.code == INVALID => Unchanged::Unwritten(
            "the API server refuses the Secret: it must not be immutable".to_owned(),
        ),
        error => Unchanged::Unwritten(format!(
            "the Secret cannot be written: {}",
            Fault::from(error)
        )),
    }
}

/// Why no keyring was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CreateError {
    #[error("the API server refused")]
    Api(#[from] kube::Error),
    #[error("no keyring can be made")]
    Random(#[from] secretvault_envelope::RandomError),
}

/// Belongs to nobody: neither an uninstall nor the deletion of its provider takes it along.
fn keyring_secret(provider: &str, name: &str, key: &str, keyring: &Keyring) -> Secret {
    let labels = BTreeMap::from([
        (
            "app.kubernetes.io/managed-by".to_owned(),
            "secretvault-operator".to_owned(),
        ),
        (
            "secretvault.dev/key-provider".to_owned(),
            label_value(provider),
        ),
    ]);
    let document = ByteString(keyring.to_json().as_bytes().to_vec());
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(key.to_owned(), document)])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// A name is longer than a label's value may be.
fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(|last: char| !last.is_ascii_alphanumeric())
        .to_owned()
}

const CONFLICT: u16 = 409;
const FORBIDDEN: u16 = 403;
const INVALID: u16 = 422;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_secret_holds_the_whole_document_and_belongs_to_nobody() {
        let keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let secret = keyring_secret("default", "secretvault-keyring", "keyring", &keyring);
        let data = secret.data.unwrap();
        let read = Keyring::parse(std::str::from_utf8(&data["keyring"].0).unwrap()).unwrap();
        assert_eq!(read.id(), keyring.id());
        assert_eq!(secret.metadata.owner_references, None);
        assert_eq!(
            secret.metadata.labels.unwrap()["secretvault.dev/key-provider"],
            "default"
        );
    }

    #[test]
    fn a_long_name_is_cut_to_a_label_that_is_valid() {
        let name = format!("{}.b", "a".repeat(62));
        assert_eq!(label_value(&name), "a".repeat(62));
    }
}
