//! Gives a keyring a new key when one is due, and takes out those that nothing needs any more.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use kube::ResourceExt;
use secretvault_crds::{KeyProvider, LocalProvider};
use secretvault_keyring::{Keyring, RotateError};
use tracing::warn;

use super::super::rotation::{KeyringChange, KeyringOutcome};
use super::keyring::Unchanged;
use super::keys::Keys;
use super::lifetime::{self, Found, Hold, Retirement, retirement};
use super::plan::Unrotated;
use super::sealed::sealed_with;
use super::{KeepError, KeyProviderController};
use crate::keys::{KeyFault, ProviderFault, Source};

/// What was done about the keys of one provider.
#[derive(Default)]
pub(super) struct Tended {
    /// The keys that went just now.
    pub(super) retired: Vec<String>,
    /// What is to become of those that should go.
    pub(super) retirement: Option<Retirement>,
    /// Why those that could go did not.
    pub(super) unretired: Option<String>,
    /// Why there is no new key, though one is due.
    pub(super) unrotated: Option<Unrotated>,
}

/// What the leader remembers of providers: when a key was last seen to be the primary one.
#[derive(Default)]
pub(super) struct Memory(HashMap<String, BTreeMap<String, Timestamp>>);

impl Memory {
    /// Notes that a provider's primary key is this one.
    fn note(&mut self, provider: &str, key_id: &str, now: Timestamp) {
        let seen = self.0.entry(provider.to_owned()).or_default();
        seen.insert(key_id.to_owned(), now);
        seen.retain(|_, at| now.duration_since(*at) < lifetime::RECENT);
    }

    fn of(&mut self, provider: &str) -> &BTreeMap<String, Timestamp> {
        self.0.entry(provider.to_owned()).or_default()
    }
}

impl KeyProviderController {
    /// Does it, and has `keys` be what is there then.
    pub(super) async fn tend(
        &self,
        provider: &KeyProvider,
        source: Option<&Source>,
        keys: &mut Result<Keys, ProviderFault>,
        memory: &mut Memory,
    ) -> Result<Tended, KeepError> {
        let mut tended = Tended::default();
        let (Ok(known), Some(source), Some(spec)) = (keys, source, &provider.spec.local) else {
            return Ok(tended);
        };
        let (name, now) = (provider.name_any(), Timestamp::now());
        // What was said last may have been true a moment ago, to a leader that is gone.
        let said = provider.status.as_ref();
        if let Some(said) = said.and_then(|said| said.primary_key_id.as_ref())
            && *said != known.primary_key_id
        {
            memory.note(&name, said, now);
        }
        memory.note(&name, &known.primary_key_id, now);
        if !matches!(source, Source::Secret { .. }) {
            return Ok(tended);
        }
        let primary = known.all.first().and_then(|key| key.created);
        if primary.is_some_and(|primary| lifetime::is_due(spec, primary, now)) {
            // As listed just now: who must not lose it may have come a moment ago.
            let users = sealed_with(&self.client, &name).await?;
            tended.unrotated = match lifetime::missing(&users, &known.all) {
                Some(missing) => Some(Unrotated::Missing(missing)),
                None => self.rotate(&name, source, spec, known, now).await,
            };
            memory.note(&name, &known.primary_key_id, now);
        }
        if !spec.retire.is_empty() {
            self.retire(&name, source, spec, known, memory, &mut tended)
                .await?;
        }
        Ok(tended)
    }

    async fn rotate(
        &self,
        name: &str,
        source: &Source,
        spec: &LocalProvider,
        known: &mut Keys,
        now: Timestamp,
    ) -> Option<Unrotated> {
        let rotated = self.keyrings().rotate(source, spec, now).await;
        match self
            .written(name, KeyringChange::Rotate, rotated, known)
            .await
        {
            Ok(()) | Err(Unchanged::Conflict) => None,
            Err(full @ Unchanged::Rotate(RotateError::Full)) => {
                Some(Unrotated::Full(full.to_string()))
            }
            Err(
                error @ (Unchanged::Rotate(RotateError::Random(_))
                | Unchanged::Unreadable(_)
                | Unchanged::Unwritten(_)),
            ) => Some(Unrotated::Unwritten(error.to_string())),
        }
    }

    async fn retire(
        &self,
        name: &str,
        source: &Source,
        spec: &LocalProvider,
        known: &mut Keys,
        memory: &mut Memory,
        tended: &mut Tended,
    ) -> Result<(), KeepError> {
        let mut users = BTreeMap::new();
        if lifetime::is_worth_asking(&spec.retire, &known.all) {
            users = sealed_with(&self.client, name).await?;
        }
        let found = Found {
            keys: &known.all,
            users: &users,
            primary_at: memory.of(name),
        };
        let decided = retirement(&spec.retire, &found, Timestamp::now());
        let refused = decided.stay.iter();
        let refused = refused.filter(|(_, hold)| *hold != Hold::RecentlyPrimary);
        for _ in refused {
            let metrics = &self.metrics.rotation;
            metrics.keyring(KeyringChange::Retire, KeyringOutcome::Refused);
        }
        if !decided.go.is_empty() {
            let retired = self.keyrings().retire(source, &decided.go).await;
            match self
                .written(name, KeyringChange::Retire, retired, known)
                .await
            {
                Ok(()) => tended.retired.clone_from(&decided.go),
                // They go in the next round; until then it is not said that they are gone.
                Err(error) => tended.unretired = Some(error.to_string()),
            }
        }
        tended.retirement = Some(decided);
        Ok(())
    }

    /// Has everybody here know what is there now.
    async fn written(
        &self,
        name: &str,
        change: KeyringChange,
        written: Result<Option<Keyring>, Unchanged>,
        known: &mut Keys,
    ) -> Result<(), Unchanged> {
        let outcome = match &written {
            Ok(Some(_)) => Some(KeyringOutcome::Done),
            Ok(None) | Err(Unchanged::Conflict) => None,
            Err(_) => Some(KeyringOutcome::Failed),
        };
        if let Some(outcome) = outcome {
            self.metrics.rotation.keyring(change, outcome);
        }
        match written {
            Ok(Some(keyring)) => {
                *known = Keys::from(&keyring);
                self.standing.providers.refresh().await;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                warn!(%error, provider = name, ?change, "a keyring was not changed");
                Err(error)
            }
        }
    }
}

/// A provider that this replica has not looked at yet.
pub(super) fn not_yet() -> ProviderFault {
    ProviderFault::new(KeyFault::Unreachable, "it was not looked at yet")
}
