//! Keeps the status of key providers, and makes the keyring of a new one.
//!
//! # Guarantees
//! A keyring is made only where its Secret is absent, and no vault is sealed with it: both as the
//! API server says at that moment, not as some cache remembers. It is only ever created, never
//! written over, so that of two leaders at the same time one creates and the other finds it.

mod plan;
mod sealed;

use std::{collections::BTreeMap, error::Error, time::Duration};

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, ObjectMeta, PartialObjectMeta, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use secretvault_crds::KeyProvider;
use secretvault_keyring::Keyring;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::{
    plan::{Keys, Observed, Remedy},
    sealed::sealed_with,
};
use super::apply;
use crate::{
    events::Events,
    keys::{KeyFault, ProviderFault, Source},
    metrics::{ControllerMetrics, ControllerName, KeyProviderState, ReconcileOutcome},
    vaults::Vaults,
};

/// Keeps the status of all key providers.
pub(super) struct KeyProviderController {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) vaults: Vaults,
    pub(super) events: Events,
    pub(super) metrics: ControllerMetrics,
}

impl KeyProviderController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let mut triggers = Box::pin(self.triggers().ready_chunks(BURST));
        while triggers.next().await.is_some() {
            if !self.vaults.synced() {
                continue; // It would look as if there were none; the clock comes back.
            }
            match timeout(ROUND, self.api().list(&ListParams::default())).await {
                Ok(Ok(providers)) => self.round(providers.items).await,
                Ok(Err(error)) => warn!(%error, "key providers cannot be listed"),
                Err(_) => warn!("key providers cannot be listed in time"),
            }
        }
    }

    /// Whatever may have changed a provider. Only a hint: each round reads everything anew.
    fn triggers(&self) -> impl Stream<Item = ()> + use<> {
        let secrets: Api<PartialObjectMeta<Secret>> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let providers = watcher(self.api(), watcher::Config::default()).default_backoff();
        let secrets = watcher(secrets, watcher::Config::default()).default_backoff();
        let clock = stream::unfold((), |()| async { Some((sleep(PERIOD).await, ())) });
        stream::select(
            stream::select(providers.map(drop), secrets.map(drop)),
            clock,
        )
    }

    async fn round(&self, providers: Vec<KeyProvider>) {
        let mut states = Vec::with_capacity(providers.len());
        for provider in providers {
            let (outcome, state) = match timeout(ROUND, self.reconcile(&provider)).await {
                Ok(Ok(kept)) => kept,
                Ok(Err(error)) => {
                    let (error, provider) = (&error as &dyn Error, provider.name_any());
                    warn!(error, provider, "a key provider was not kept");
                    (ReconcileOutcome::Failed, KeyProviderState::Unknown)
                }
                Err(_) => (ReconcileOutcome::Failed, KeyProviderState::Unknown),
            };
            states.push(state);
            self.metrics
                .reconciled(ControllerName::KeyProvider, outcome);
        }
        self.metrics.key_providers_are(&states);
    }

    async fn reconcile(&self, provider: &KeyProvider) -> Result<Kept, KeepError> {
        let name = provider.name_any();
        let source = Source::of(&provider.spec);
        let mut keyring = self.keys(&source).await;
        let mut vaults = self
            .vaults
            .all()
            .iter()
            .filter(|vault| uses(vault, &name))
            .count();
        if let (Ok(source), Err(fault)) = (&source, &keyring) {
            let absent = self.is_absent(source).await?;
            // As listed just now: what was made or restored a moment ago counts.
            let sealed = if absent {
                sealed_with(&self.client, &name).await?
            } else {
                vaults
            };
            vaults = sealed;
            match plan::remedy(fault.reason, absent, sealed) {
                Remedy::Create => keyring = self.create(&name, source).await?,
                Remedy::Report => {}
                Remedy::Wait => return Ok((ReconcileOutcome::Failed, KeyProviderState::Unknown)),
            }
        }
        let observed = Observed {
            generation: provider.meta().generation,
            namespace: self.namespace.clone(),
            source: source.ok(),
            keyring,
            vaults,
            before: provider.status.clone(),
        };
        let outcome = self.report(provider, &observed).await?;
        Ok((outcome, plan::state(&observed.keyring)))
    }

    async fn report(
        &self,
        provider: &KeyProvider,
        observed: &Observed,
    ) -> Result<ReconcileOutcome, KeepError> {
        let status = plan::status(observed, Timestamp::now());
        if observed.before.as_ref() == Some(&status) {
            return Ok(ReconcileOutcome::Unchanged);
        }
        apply::status(&self.api(), provider, &status).await?;
        if let Some(news) = plan::news(observed.before.as_ref(), &status) {
            info!(
                provider = provider.name_any(),
                reason = news.reason,
                "a key provider changed"
            );
            self.events.tell(&provider.object_ref(&()), news).await;
        }
        Ok(ReconcileOutcome::Changed)
    }

    /// Reads the keyring, and keeps nothing of it but its names.
    async fn keys(&self, source: &Result<Source, ProviderFault>) -> Result<Keys, ProviderFault> {
        let keyring = source
            .as_ref()
            .map_err(Clone::clone)?
            .load(&self.secrets())
            .await?;
        Ok(Keys::of(&keyring))
    }

    async fn is_absent(&self, source: &Source) -> Result<bool, kube::Error> {
        match source {
            Source::File(_) => Ok(false),
            Source::Secret { name, .. } => Ok(self.secrets().get_opt(name).await?.is_none()),
        }
    }

    /// Makes the keyring, and reads what is there then: ours, or one that came first.
    async fn create(
        &self,
        provider: &str,
        source: &Source,
    ) -> Result<Result<Keys, ProviderFault>, KeepError> {
        let Source::Secret { name, key } = source else {
            return Ok(Err(ProviderFault::new(
                KeyFault::KeyringMissing,
                "no file is made",
            )));
        };
        let keyring = Keyring::generate(Timestamp::now())?;
        let secret = keyring_secret(provider, name, key, &keyring);
        match self.secrets().create(&PostParams::default(), &secret).await {
            Ok(_) => info!(provider, secret = name, id = keyring.id(), "made a keyring"),
            Err(kube::Error::Api(answer)) if answer.reason == "AlreadyExists" => {}
            Err(error) => return Err(error.into()),
        }
        Ok(source
            .load(&self.secrets())
            .await
            .map(|keyring| Keys::of(&keyring)))
    }

    fn api(&self) -> Api<KeyProvider> {
        Api::all(self.client.clone())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// What was done about a key provider, and how it is.
type Kept = (ReconcileOutcome, KeyProviderState);

impl Keys {
    fn of(keyring: &Keyring) -> Self {
        Self {
            scope: keyring.id().to_owned(),
            primary_key_id: keyring.primary_id().to_string(),
        }
    }
}

fn uses(vault: &secretvault_crds::SecretVault, provider: &str) -> bool {
    vault
        .spec
        .data_key
        .as_ref()
        .is_some_and(|data_key| data_key.provider == provider)
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

/// Why a key provider was not kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("the API server refused")]
    Api(#[from] kube::Error),
    #[error("no keyring can be made")]
    Random(#[from] secretvault_envelope::RandomError),
}

/// Hints that are answered by one round.
const BURST: usize = 64;
/// How often to look without a hint: at files, and at how many vaults there are.
const PERIOD: Duration = Duration::from_secs(15);
/// What one provider may take, and the list of all.
const ROUND: Duration = Duration::from_secs(30);

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
