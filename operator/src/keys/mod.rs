//! Key providers: who wraps and unwraps the vaults' data keys.
//!
//! [`Providers`] is this replica's view of all `KeyProvider` objects. Every replica keeps its own
//! view current ([`watch`]); nobody writes anything here. A provider that is not usable stays in
//! the view with its fault, so that whoever asks for it learns the reason.

mod fault;
mod local;
mod metrics;
mod namespaces;
mod pace;
mod policy;
mod provider;
mod rounds;
mod transit;
pub mod watch;

#[cfg(test)]
#[path = "../../tests/providers/api.rs"]
pub(crate) mod fake;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use secretvault_crds::DataKey;
use tokio::sync::watch as watch_channel;
use tokio::time::{Instant, sleep};

pub use fault::{KeyError, KeyFault, ProviderFault};
pub use local::Source;
pub use metrics::KeyMetrics;
pub use namespaces::{NamespaceUnknown, Namespaces};
pub(crate) use pace::Pace;
pub use policy::{NamespaceFacts, Policy};
pub use provider::{Found, KeyInfo, Opened, Provider};
use rounds::Rounds;
use transit::Transit;

/// What is known of one provider: usable, or with its fault.
pub type State = Result<Arc<Provider>, ProviderFault>;

/// The providers by name. Cheap to clone; all clones show the same view.
#[derive(Clone, Default)]
pub struct Providers {
    metrics: KeyMetrics,
    rounds: Arc<Rounds>,
    by_name: Arc<ArcSwap<HashMap<String, Entry>>>,
    changes: Arc<watch_channel::Sender<u64>>,
}

/// What is known of one `KeyProvider`.
#[derive(Clone)]
struct Entry {
    state: State,
    policy: Arc<Policy>,
}

/// What others can see of a provider.
#[derive(PartialEq)]
struct Looks {
    fault: Option<ProviderFault>,
    policy: Arc<Policy>,
    scope: String,
    keys: Vec<KeyInfo>,
}

impl Entry {
    fn looks(&self) -> Looks {
        let (fault, provider) = match &self.state {
            Ok(provider) => (provider.fault(), Some(provider)),
            Err(fault) => (Some(fault.clone()), None),
        };
        Looks {
            fault,
            policy: Arc::clone(&self.policy),
            scope: provider.map_or_else(String::new, |it| it.scope().to_owned()),
            keys: provider.map_or_else(Vec::new, |it| it.key_infos()),
        }
    }
}

impl Providers {
    /// An empty view.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty view of providers whose calls are counted there.
    #[must_use]
    pub fn counted_by(metrics: KeyMetrics) -> Self {
        Self {
            metrics,
            ..Self::default()
        }
    }

    /// Replaces what is known of one provider, and leaves its policy.
    pub fn set(&self, name: &str, state: &State) {
        let policy = self.policy(name).unwrap_or_default();
        self.set_with(name, state, &policy);
    }

    /// Replaces what is known of one provider, and its policy.
    pub fn set_with(&self, name: &str, state: &State, policy: &Arc<Policy>) {
        let entry = Entry {
            state: state.clone(),
            policy: Arc::clone(policy),
        };
        self.by_name.rcu(|current| {
            let mut next = HashMap::clone(current);
            next.insert(name.to_owned(), entry.clone());
            next
        });
    }

    /// Forgets every provider that is not in `names`.
    pub fn retain(&self, names: &[String]) {
        self.by_name.rcu(|current| {
            let mut next = HashMap::clone(current);
            next.retain(|name, _| names.contains(name));
            next
        });
    }

    /// The provider of that name. One that was usable and has a fault now is given too: it still
    /// unwraps what is cached, and says the fault to whoever asks for more.
    ///
    /// # Errors
    /// [`KeyError`] if there is none, or it was never usable.
    pub fn get(&self, name: &str) -> Result<Arc<Provider>, KeyError> {
        let not_ready = |fault| KeyError::NotReady {
            provider: name.to_owned(),
            fault,
        };
        match self.by_name.load().get(name).map(|entry| &entry.state) {
            Some(Ok(provider)) => match provider.refusal() {
                Some(fault) => Err(not_ready(fault)),
                None => Ok(Arc::clone(provider)),
            },
            Some(Err(fault)) => Err(not_ready(fault.clone())),
            None => Err(KeyError::NoProvider {
                provider: name.to_owned(),
            }),
        }
    }

    /// The provider of that name, looked for once more if this view has none that is usable: it may
    /// be ready in another replica's view already. A keyring that is missing is waited for: who
    /// applies a provider and its vaults at once finds the leader making it.
    ///
    /// # Errors
    /// [`KeyError`] if there is none after that, or a look takes too long.
    pub async fn find(&self, name: &str) -> Result<Arc<Provider>, KeyError> {
        let deadline = Instant::now() + MAKING;
        let mut found = self.get(name);
        if found.is_err() {
            self.rounds.another().await;
            found = self.get(name);
        }
        while lacks_keyring(&found) && Instant::now() < deadline {
            sleep(PAUSE).await;
            self.rounds.another().await;
            found = self.get(name);
        }
        found
    }

    /// Unwraps the data key of a vault with the provider that wrapped it. A key that the keyring
    /// lacks is looked for once more: another replica may have made it a moment ago.
    ///
    /// # Errors
    /// [`KeyError`] if the provider cannot unwrap it now, or it is not this vault's.
    pub async fn open(
        &self,
        namespace: &str,
        vault: &str,
        data_key: &DataKey,
    ) -> Result<Opened, KeyError> {
        let opening = self.open_uncounted(namespace, vault, data_key);
        self.metrics.opening(opening).await
    }

    async fn open_uncounted(
        &self,
        namespace: &str,
        vault: &str,
        data_key: &DataKey,
    ) -> Result<Opened, KeyError> {
        let name = &data_key.provider;
        let provider = self.get(name)?;
        match provider.open(namespace, vault, data_key).await {
            Err(KeyError::UnknownKey { .. }) => {
                self.rounds.another().await;
                self.get(name)?.open(namespace, vault, data_key).await
            }
            opened => opened,
        }
    }

    /// The provider that a vault that names `named` should have: `migrateTo` is followed.
    ///
    /// # Errors
    /// [`KeyError`] if there is no such provider, or `migrateTo` leads to none.
    pub fn effective(&self, named: &str) -> Result<String, KeyError> {
        let known = self.by_name.load();
        policy::effective(named, |name| known.get(name).map(|entry| &*entry.policy))
    }

    /// Like [`Providers::effective`], looked for once more where this view knows no answer: the
    /// providers may have been made a moment ago.
    ///
    /// # Errors
    /// [`KeyError`] if there is no answer after the second look.
    pub async fn find_effective(&self, named: &str) -> Result<String, KeyError> {
        if let Ok(name) = self.effective(named) {
            return Ok(name);
        }
        self.rounds.another().await;
        self.effective(named)
    }

    /// Whether the provider may wrap for vaults of that namespace. One that is not known may not.
    #[must_use]
    pub fn allows(&self, provider: &str, namespace: &NamespaceFacts) -> bool {
        let policy = self.policy(provider);
        policy.is_some_and(|policy| policy.allows(namespace))
    }

    /// How that provider is now: for its status.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<State> {
        let provider = match self.entry(name)?.state {
            Ok(provider) => provider,
            Err(fault) => return Some(Err(fault)),
        };
        Some(match provider.fault() {
            Some(fault) => Err(fault),
            None => Ok(provider),
        })
    }

    /// Counts what changes: a provider that comes or goes, a fault, a key, a policy. Within two
    /// seconds.
    #[must_use]
    pub fn changes(&self) -> watch_channel::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Compares all with what they were, and counts if something changed.
    fn count_changes(&self, before: &mut Vec<(String, Looks)>) {
        let mut now: Vec<_> = (self.by_name.load().iter())
            .map(|(name, entry)| (name.clone(), entry.looks()))
            .collect();
        now.sort_by(|one, other| one.0.cmp(&other.0));
        if *before != now {
            *before = now;
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Reads all providers once more, and waits for that, or for as long as patience lasts.
    pub async fn refresh(&self) {
        self.rounds.another().await;
    }

    /// What that provider's specification says about vaults.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.entry(name).map(|entry| entry.policy)
    }

    /// The provider's object, whatever its fault is.
    fn known(&self, name: &str) -> Option<Arc<Provider>> {
        self.entry(name)?.state.ok()
    }

    /// The Transit keys of all providers.
    fn transits(&self) -> Vec<(String, Arc<Transit>)> {
        let all = self.by_name.load();
        let transit = |(name, entry): (&String, &Entry)| {
            let provider = entry.state.as_ref().ok()?;
            Some((name.clone(), Arc::clone(provider.as_transit()?)))
        };
        all.iter().filter_map(transit).collect()
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        self.by_name.load().get(name).cloned()
    }
}

fn lacks_keyring(found: &Result<Arc<Provider>, KeyError>) -> bool {
    let Err(KeyError::NotReady { fault, .. }) = found else {
        return false;
    };
    fault.reason == KeyFault::KeyringMissing
}

/// How long the leader may take to make a keyring. The webhook itself has ten seconds.
const MAKING: Duration = Duration::from_secs(3);

/// Between two looks at a keyring that is being made.
const PAUSE: Duration = Duration::from_millis(200);
