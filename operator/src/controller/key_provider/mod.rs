//! Keeps the status of key providers, and the keyrings that the operator itself may write: makes
//! that of a new one, gives it a new key when one is due, and takes out keys that nothing needs.
//!
//! # Guarantees
//! * A keyring is made only where its Secret is absent, and no vault is sealed with it: both as the
//!   API server says at that moment, not as some cache remembers. It is only ever created, never
//!   written over, so that of two leaders at the same time one creates and the other finds it.
//! * A key is taken out only when no vault needs it, as the API server says at that moment, and when
//!   it has not wrapped anything for so long that nothing of it can be on its way.

mod audited;
mod key_current;
mod keyring;
mod keys;
mod lifetime;
mod news;
mod plan;
mod retired;
mod sealed;
mod tend;

#[cfg(test)]
mod tests;

use std::{error::Error, time::Duration};

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use secretvault_crds::KeyProvider;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use self::{
    keyring::{CreateError, Keyrings},
    keys::Keys,
    plan::{Observed, Remedy},
    sealed::sealed_with,
    tend::{Memory, Tended},
};
use super::{
    apply,
    rotation::{Overview, Progress, Standing},
};
use crate::{
    audit::Audit,
    events::{Events, News},
    keys::{KeyError, Pace, ProviderFault, Source},
    metrics::{ControllerMetrics, ControllerName, KeyProviderState, ReconcileOutcome},
};

/// Keeps the status of all key providers.
pub(super) struct KeyProviderController {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) standing: Standing,
    pub(super) events: Events,
    pub(super) audit: Audit,
    pub(super) metrics: ControllerMetrics,
}

impl KeyProviderController {
    /// Works until dropped.
    pub(super) async fn run(self) {
        let mut triggers = Box::pin(self.triggers().ready_chunks(BURST));
        let mut moved = self.standing.moved();
        let mut changes = self.standing.providers.changes();
        let (mut memory, mut last) = (Memory::default(), Instant::now());
        let mut pace = Pace::default();
        loop {
            pace.rest().await;
            let progress = async {
                sleep_until(last + PROGRESS).await;
                moved.changed().await
            };
            tokio::select! {
                trigger = triggers.next() => if trigger.is_none() { return },
                // Their senders are part of what this holds.
                _ = progress => {}
                _ = changes.changed() => {}
            }
            last = Instant::now();
            if !self.standing.vaults.synced() {
                continue; // It would look as if there were none; the clock comes back.
            }
            pace.begun();
            match timeout(ROUND, self.api().list(&ListParams::default())).await {
                Ok(Ok(providers)) => self.round(providers.items, &mut memory).await,
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

    async fn round(&self, providers: Vec<KeyProvider>, memory: &mut Memory) {
        let now = Timestamp::now();
        let overview = self.standing.overview(now);
        let mut states = Vec::with_capacity(providers.len());
        let mut oldest = None;
        for provider in providers {
            let reconciled = self.reconcile(&provider, overview.as_ref(), memory);
            let kept = match timeout(ROUND, reconciled).await {
                Ok(Ok(kept)) => kept,
                Ok(Err(error)) => {
                    let (error, provider) = (&error as &dyn Error, provider.name_any());
                    warn!(error, provider, "a key provider was not kept");
                    Kept::FAILED
                }
                Err(_) => Kept::FAILED,
            };
            states.push(kept.state);
            oldest = [oldest, kept.oldest_key].into_iter().flatten().min();
            self.metrics
                .reconciled(ControllerName::KeyProvider, kept.outcome);
        }
        self.metrics.key_providers_are(&states);
        self.metrics.rotation.oldest_key(oldest, now);
        if let Some(overview) = overview {
            let rotation = &self.metrics.rotation;
            rotation.remaining(overview.remaining, overview.failing);
        }
    }

    async fn reconcile(
        &self,
        provider: &KeyProvider,
        overview: Option<&Overview>,
        memory: &mut Memory,
    ) -> Result<Kept, KeepError> {
        let name = provider.name_any();
        let source = Source::of(&provider.spec);
        let mut keys = self.keys(provider, &source).await;
        let progress = overview.map(|it| it.providers.get(&name).cloned().unwrap_or_default());
        let mut vaults = self.vaults(&name, progress.as_ref());
        if let Ok(source) = &source
            && self.mend(&name, source, &mut keys, &mut vaults).await? == Remedy::Wait
        {
            return Ok(Kept::FAILED);
        }
        let tended = self
            .tend(provider, source.as_ref().ok(), &mut keys, memory)
            .await?;
        let Tended {
            retired,
            retirement,
            unretired,
            unrotated,
        } = tended;
        let effective = self.effective(provider).await;
        let observed = Observed {
            generation: provider.meta().generation,
            namespace: self.namespace.clone(),
            source: source.ok(),
            progress: progress.map(|progress| match &keys {
                Ok(keys) => progress.by_primary(&keys.primary_key_id),
                Err(_) => progress,
            }),
            keys,
            vaults,
            effective,
            unrotated,
            retirement,
            retires: provider
                .spec
                .local
                .as_ref()
                .is_some_and(|local| !local.retire.is_empty()),
            unretired,
            before: provider.status.clone(),
            name,
        };
        let outcome = self.report(provider, &observed, &retired).await?;
        Ok(Kept {
            outcome,
            state: plan::state(&observed),
            oldest_key: oldest_key(&observed),
        })
    }

    /// Makes the keyring of a new provider. Has `keys` be what is there then, and `vaults` how many
    /// need it.
    async fn mend(
        &self,
        name: &str,
        source: &Source,
        keys: &mut Result<Keys, ProviderFault>,
        vaults: &mut usize,
    ) -> Result<Remedy, KeepError> {
        let Err(fault) = keys else {
            return Ok(Remedy::Report);
        };
        let absent = self.keyrings().is_absent(source).await?;
        // As listed just now: what was made or restored a moment ago counts.
        if absent {
            let users = sealed_with(&self.client, name).await?;
            *vaults = users.values().map(Vec::len).sum();
        }
        let remedy = plan::remedy(source, fault.reason, absent, *vaults);
        if remedy == Remedy::Create {
            let made = self.keyrings().create(name, source).await?;
            *keys = made.map(|keyring| Keys::from(&keyring));
            if let Ok(keys) = keys {
                let made = News::normal(KEYRING_MADE, "the keyring was made, with one key");
                let record = audited::key_event(name, &made, Some(&keys.primary_key_id));
                self.audit.note(record).await;
            }
        }
        Ok(remedy)
    }

    async fn report(
        &self,
        provider: &KeyProvider,
        observed: &Observed,
        retired: &[String],
    ) -> Result<ReconcileOutcome, KeepError> {
        let status = plan::status(observed, Timestamp::now());
        let same = observed.before.as_ref() == Some(&status);
        if same && retired.is_empty() {
            return Ok(ReconcileOutcome::Unchanged);
        }
        if !same {
            apply::status(&self.api(), provider, &status).await?;
        }
        for news in news::news(observed, &status, retired) {
            let (provider_name, reason) = (provider.name_any(), news.reason);
            info!(provider = provider_name, reason, "a key provider changed");
            let key = status.primary_key_id.as_deref();
            self.audit
                .note(audited::key_event(&observed.name, &news, key))
                .await;
            self.events.tell(&provider.object_ref(&()), news).await;
        }
        Ok(ReconcileOutcome::Changed)
    }

    /// Reads the keys, and keeps nothing of them but their names.
    async fn keys(
        &self,
        provider: &KeyProvider,
        source: &Result<Source, ProviderFault>,
    ) -> Result<Keys, ProviderFault> {
        let source = source.as_ref().map_err(Clone::clone)?;
        if let Source::Transit { .. } = source {
            let (name, providers) = (provider.name_any(), &self.standing.providers);
            let said = provider.status.as_ref();
            let said = said.and_then(|said| said.observed_generation);
            if said != provider.meta().generation {
                providers.refresh().await;
            }
            let state = providers.state(&name);
            let state = state.unwrap_or_else(|| Err(tend::not_yet()));
            return state.map(|provider| Keys::from(&*provider));
        }
        let keyring = self.keyrings().load(source).await?;
        Ok(Keys::from(&keyring))
    }

    /// The provider that stands for this one, or why there is none.
    async fn effective(&self, provider: &KeyProvider) -> Result<String, String> {
        let name = provider.name_any();
        if provider.spec.migrate_to.is_none() {
            return Ok(name);
        }
        let effective = self.standing.providers.find_effective(&name).await;
        effective.map_err(|error: KeyError| error.to_string())
    }

    /// How many vaults have a data key of this provider.
    fn vaults(&self, name: &str, progress: Option<&Progress>) -> usize {
        if let Some(progress) = progress {
            return progress.vaults();
        }
        let vaults = self.standing.vaults.all();
        let keys = vaults.iter().filter_map(|it| it.spec.data_key.as_ref());
        keys.filter(|data_key| data_key.provider == name).count()
    }

    fn api(&self) -> Api<KeyProvider> {
        Api::all(self.client.clone())
    }

    fn keyrings(&self) -> Keyrings {
        Keyrings::new(Api::namespaced(self.client.clone(), &self.namespace))
    }
}

/// When the oldest key was made that a vault needs, as far as that is known.
fn oldest_key(observed: &Observed) -> Option<Timestamp> {
    let (keys, progress) = observed
        .keys
        .as_ref()
        .ok()
        .zip(observed.progress.as_ref())?;
    let needed = keys
        .all
        .iter()
        .filter(|key| progress.keys.contains_key(&key.id));
    needed.filter_map(|key| key.created).min()
}

/// What was done about a key provider, and how it is.
struct Kept {
    outcome: ReconcileOutcome,
    state: KeyProviderState,
    oldest_key: Option<Timestamp>,
}

impl Kept {
    const FAILED: Self = Self {
        outcome: ReconcileOutcome::Failed,
        state: KeyProviderState::Unknown,
        oldest_key: None,
    };
}

/// Why a key provider was not kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("the API server refused")]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// The keyring of a new provider was made.
const KEYRING_MADE: &str = "KeyringMade";
/// Hints that are answered by one round.
const BURST: usize = 64;
/// How often to look without a hint: at files, and at how many vaults there are.
const PERIOD: Duration = Duration::from_secs(15);
/// How often to tell how far the vaults are, at most.
const PROGRESS: Duration = Duration::from_secs(1);
/// What one provider may take, and the list of all.
const ROUND: Duration = Duration::from_secs(30);
