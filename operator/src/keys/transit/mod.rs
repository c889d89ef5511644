//! A key of the Transit engine of a Vault or OpenBao server. The key never leaves the server.
//!
//! # Guarantees
//! * Wrapping, unwrapping and rewrapping are one request each, and none where the unwrapped data
//!   key is cached. Only what fails costs more: a login that was lost, or telling two faults apart.
//! * A data key is sent only where the engine has answered a probe, which holds nothing secret.
//! * Every wait has a bound; requests at one time are bounded; after silence, callers are told so at
//!   once until it is time for another try.
//! * No text of the server, no token and no key is in a message, a log or a `Debug`.

mod answer;
mod attempts;
mod backoff;
mod cache;
mod call;
mod credential;
mod health;
mod http;
mod place;
mod session;
mod text;
mod told;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::FutureExt as _;
use kube::Client;
use secretvault_crds::{DataKey, VaultTransit};
use secretvault_envelope::{DataKeyPayload, Dek, DekId, Plaintext, VaultBinding};
use secretvault_seal::WrappedKey;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::answer::Refused;
use self::cache::{Cache, Outcome, Slot};
use self::call::Ask;
use self::credential::Credentials;
use self::health::Health;
use self::http::Connector;
use self::place::{Place, Way};
use self::session::Session;
use self::text::Version;
use super::{KeyMetrics, ProviderFault};

/// A usable Transit key, or one that may become so.
pub(super) struct Transit {
    /// The provider's name.
    name: String,
    spec: VaultTransit,
    scope: String,
    place: Place,
    session: Session,
    permits: Semaphore,
    cache: Arc<Cache<CallError>>,
    health: Health,
    metrics: KeyMetrics,
}

/// Why the server did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The wrapped key is not one of this key, or not this vault's.
    DoesNotOpen,
    /// The provider, or the server, is at fault.
    Fault(ProviderFault),
    /// The wrapped key is too old for the server: the fault is the vault's.
    TooOld(ProviderFault),
    /// The key has no such version.
    UnknownVersion,
}

/// What a provider is made of, beside its object.
pub(super) struct Surroundings<'a> {
    pub(super) client: &'a Client,
    /// The operator's own namespace.
    pub(super) namespace: &'a str,
    /// The UID of the namespace kube-system.
    pub(super) cluster: &'a str,
    /// Whether the object's status says that this key was usable.
    pub(super) usable_before: bool,
    /// Where calls are counted.
    pub(super) metrics: &'a KeyMetrics,
}

impl Transit {
    /// A provider that has not asked its server yet.
    ///
    /// # Errors
    /// The specification is none that this version can use.
    pub(super) fn new(
        name: &str,
        spec: &VaultTransit,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, ProviderFault> {
        let place = Place::of(spec);
        let connector = Connector::new(&place, spec.ca_bundle.as_deref())?;
        let credentials = Credentials::new(surroundings.client, surroundings.namespace);
        let way = Way::of(&spec.auth)?;
        let keep = spec
            .cache_for
            .as_ref()
            .map_or(KEEP, secretvault_crds::Span::duration);
        let scope = spec.scope.as_deref().unwrap_or(surroundings.cluster);
        let unasked = place.unreachable("it was not asked yet");
        let metrics = surroundings.metrics.clone();
        metrics.transit_is_used();
        Ok(Self {
            name: name.to_owned(),
            spec: spec.clone(),
            scope: scope.to_owned(),
            session: Session::new(place.clone(), way, connector, credentials, metrics.clone()),
            place,
            permits: Semaphore::new(CONCURRENCY),
            cache: Arc::new(Cache::new(keep)),
            health: Health::new(unasked, surroundings.usable_before),
            metrics,
        })
    }

    /// Takes over what an older provider of the same key and scope knows and keeps.
    pub(super) fn succeed(&self, old: &Self) {
        if (&self.place, &self.scope) == (&old.place, &old.scope) {
            self.cache.adopt(&old.cache);
            self.health.adopt(&old.health);
        }
    }

    /// Whether it is what the specification and the cluster say.
    pub(super) fn is_of(&self, spec: &VaultTransit, cluster: &str) -> bool {
        self.spec == *spec && self.scope == spec.scope.as_deref().unwrap_or(cluster)
    }

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    /// What is wrong with it now.
    pub(super) fn fault(&self) -> Option<ProviderFault> {
        self.health.fault()
    }

    /// Whether it ever answered. Without, nothing can be said of it but its fault.
    pub(super) fn was_usable(&self) -> bool {
        self.health.version().is_some()
    }

    /// The version of the key that wraps, as it was last seen.
    pub(super) fn key_id(&self) -> Option<String> {
        self.health.version().map(|version| version.to_string())
    }

    /// Whether nothing newer wraps. A version that this replica has not seen yet is newer still.
    pub(super) fn is_current(&self, key_id: &str) -> bool {
        let (seen, asked) = (self.health.version(), Version::parse(key_id));
        asked.is_some_and(|asked| seen.is_none_or(|seen| asked >= seen))
    }

    /// Wraps a data key.
    pub(super) async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, CallError> {
        if let (false, Some(fault)) = (self.was_usable(), self.fault()) {
            return Err(CallError::Fault(fault));
        }
        let payload = DataKeyPayload::encode(vault, id, dek);
        let text = Zeroizing::new(BASE64_STANDARD.encode(payload.expose()));
        let wrapped = self.call(Ask::Encrypt(&text)).await?;
        let wrapped = self.wrapped(&wrapped)?;
        self.keep(vault, &id.to_string(), &wrapped, Arc::new(payload));
        Ok(wrapped)
    }

    /// Unwraps a data key: from the cache, or by one request that all who ask now share.
    pub(super) async fn unwrap(
        self: &Arc<Self>,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Dek, CallError> {
        let id = checked(data_key)?;
        let slot = Slot::of(&self.name, vault, &data_key.id, &data_key.wrapped);
        let payload = self.cache.find_or_fetch(slot, || {
            let transit = Arc::clone(self);
            let names = [vault.scope, vault.namespace, vault.vault].map(str::to_owned);
            let wrapped = data_key.wrapped.clone();
            async move {
                let [scope, namespace, vault] = &names;
                let vault = VaultBinding::new(scope, namespace, vault);
                transit.fetch(&vault, id, &wrapped).await
            }
            .boxed()
        });
        let payload = payload.await?;
        DataKeyPayload::decode(&payload, vault, id).map_err(|_| CallError::DoesNotOpen)
    }

    /// Has the server wrap the same data key under its newest version. Nobody looks into it here:
    /// whoever takes the answer compares it with what was there.
    pub(super) async fn rewrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<WrappedKey, CallError> {
        checked(data_key)?;
        let wrapped = self.call(Ask::Rewrap(&data_key.wrapped)).await?;
        let wrapped = self.wrapped(&wrapped)?;
        let slot = Slot::of(&self.name, vault, &data_key.id, &data_key.wrapped);
        if let Some(payload) = self.cache.find(slot) {
            self.keep(vault, &data_key.id, &wrapped, payload);
        }
        Ok(wrapped)
    }

    /// Does what is due: wipes what is too old, renews the login, and probes the key. `at_once`:
    /// somebody waits for what the probe finds.
    pub(super) async fn attend(&self, at_once: bool) {
        self.cache.sweep();
        let _ = timeout(DEADLINE, self.session.keep()).await;
        if self.health.probe_is_due(at_once) {
            let thorough = self.health.is_doubtful();
            let found = self.probe(thorough).await;
            self.health.probed(&self.name, found, thorough);
        }
    }

    async fn probe(&self, thorough: bool) -> Result<(), ProviderFault> {
        let outcome = async {
            let before = self.health.version();
            let wrapped = self.call(Ask::Encrypt(PROBE)).await?;
            self.health.met(self.version_of(&wrapped)?, before);
            if thorough {
                let opened = self.call(Ask::Decrypt(&wrapped)).await?;
                if *opened != PROBE {
                    return Err(self.malformed("decrypting"));
                }
                let again = self.call(Ask::Rewrap(&wrapped)).await?;
                self.wrapped(&again)?;
            }
            Ok(())
        };
        outcome.await.map_err(|error| match error {
            CallError::Fault(fault) | CallError::TooOld(fault) => fault,
            // Of a text that it made just now: somebody changes the key at this moment.
            CallError::DoesNotOpen | CallError::UnknownVersion => {
                self.place.fault(Refused::Malformed, "a probe", false)
            }
        })
    }

    async fn fetch(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        wrapped: &str,
    ) -> Outcome<CallError> {
        let text = self.call(Ask::Decrypt(wrapped)).await?;
        let bytes = BASE64_STANDARD.decode(text.as_bytes());
        let payload = Plaintext::from(bytes.map_err(|_| self.malformed("decrypting"))?);
        // What is another vault's is not kept.
        DataKeyPayload::decode(&payload, vault, id).map_err(|_| CallError::DoesNotOpen)?;
        Ok(Arc::new(payload))
    }

    /// Reads what the engine encrypted, and notes its version.
    fn wrapped(&self, text: &str) -> Result<WrappedKey, CallError> {
        let version = self.version_of(text)?;
        self.health.saw(version);
        Ok(WrappedKey {
            key_id: version.to_string(),
            wrapped: text.to_owned(),
        })
    }

    fn version_of(&self, text: &str) -> Result<Version, CallError> {
        Version::of_wrapped(text).ok_or_else(|| self.malformed("encrypting"))
    }

    fn keep(
        &self,
        vault: &VaultBinding<'_>,
        id: &str,
        wrapped: &WrappedKey,
        payload: Arc<Plaintext>,
    ) {
        let slot = Slot::of(&self.name, vault, id, &wrapped.wrapped);
        self.cache.insert(slot, payload);
    }

    fn malformed(&self, action: &'static str) -> CallError {
        let fault = self.place.fault(Refused::Malformed, action, false);
        self.health.failed(&self.name, &fault);
        CallError::Fault(fault)
    }
}

/// Checks what an object says of its data key, before a server sees it.
fn checked(data_key: &DataKey) -> Result<DekId, CallError> {
    let version = Version::of_wrapped(&data_key.wrapped);
    // A version that is not the text's own would count as current for ever.
    if version.is_none_or(|version| version.to_string() != data_key.key_id) {
        return Err(CallError::DoesNotOpen);
    }
    data_key.id.parse().map_err(|_| CallError::DoesNotOpen)
}

impl From<ProviderFault> for CallError {
    fn from(fault: ProviderFault) -> Self {
        Self::Fault(fault)
    }
}

/// What the probe encrypts, in base64: "secretvault probe".
const PROBE: &str = "c2VjcmV0dmF1bHQgcHJvYmU=";

/// How long a request may take, with waiting for its turn and a login. The webhook has ten seconds.
const DEADLINE: Duration = Duration::from_secs(3);

/// How many requests one replica makes at a time.
const CONCURRENCY: usize = 32;

/// How long unwrapped data keys are kept if the provider does not say.
const KEEP: Duration = Duration::from_secs(600);
