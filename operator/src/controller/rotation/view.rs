//! What the leader knows about keys, vaults and namespaces: where facts about one vault come from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use secretvault_crds::{DataKey, SecretVault};

use super::plan::{Action, Facts, Wanted, plan};
use crate::keys::{KeyError, NamespaceFacts, Provider, Providers};

/// The namespaces by name.
pub(in crate::controller) type Known = Arc<BTreeMap<String, NamespaceFacts>>;

/// One look at everything, for which each provider is asked once.
pub(in crate::controller) struct View<'a> {
    providers: &'a Providers,
    namespaces: &'a BTreeMap<String, NamespaceFacts>,
    now: Timestamp,
    effective: HashMap<String, Result<String, String>>,
    states: HashMap<String, State>,
}

type State = Result<Arc<Provider>, String>;

/// What each provider that matters can do: another one is a reason to look at all vaults.
pub(super) type Signature = BTreeMap<String, Can>;

/// The provider that stands for one, and the key that it wraps with; or why there is none.
type Can = (Result<String, String>, Result<String, String>);

impl<'a> View<'a> {
    pub(in crate::controller) fn new(
        providers: &'a Providers,
        namespaces: &'a BTreeMap<String, NamespaceFacts>,
        now: Timestamp,
    ) -> Self {
        Self {
            providers,
            namespaces,
            now,
            effective: HashMap::new(),
            states: HashMap::new(),
        }
    }

    /// What is to be done about a vault. Nothing, while its namespace is not seen yet: that may name
    /// a provider.
    pub(in crate::controller) fn plan(&mut self, vault: &SecretVault) -> Action {
        let Some(data_key) = &vault.spec.data_key else {
            return Action::Nothing;
        };
        let Some(namespace) = self.namespace(vault) else {
            return Action::Nothing;
        };
        let facts = self.facts(vault, namespace, data_key);
        plan(&vault.spec, &namespace.name, &facts, self.now)
    }

    /// The provider that a vault should have, or why nobody can say. None: its namespace is not
    /// seen yet.
    pub(in crate::controller) fn effective(
        &mut self,
        vault: &SecretVault,
    ) -> Option<Result<String, String>> {
        let namespace = self.namespace(vault)?;
        Some(self.follow(namespace.named(vault.spec.key_provider.as_deref())))
    }

    /// The provider that stands for the one of this name.
    pub(in crate::controller) fn follow(&mut self, named: &str) -> Result<String, String> {
        if let Some(known) = self.effective.get(named) {
            return known.clone();
        }
        let effective = self.providers.effective(named);
        let effective = effective.map_err(|error| error.to_string());
        self.effective.insert(named.to_owned(), effective.clone());
        effective
    }

    /// Whether the provider wraps with that key now, if it can be used.
    pub(in crate::controller) fn is_current(
        &mut self,
        provider: &str,
        key_id: &str,
    ) -> Result<bool, String> {
        let state = self.state(provider);
        state.map(|provider| provider.is_current(key_id))
    }

    /// The key that the provider wraps with now, if it can be used.
    pub(super) fn primary(&mut self, provider: &str) -> Option<String> {
        let provider = self.state(provider).ok()?;
        Some(provider.primary_key_id())
    }

    /// What is known of all providers that were asked.
    pub(super) fn signature(&mut self) -> Signature {
        let named = self.effective.keys().chain(self.states.keys());
        let named: Vec<String> = named.cloned().collect();
        named.into_iter().map(|name| self.sign(name)).collect()
    }

    /// What is known of these now.
    pub(super) fn signature_of(&mut self, known: &Signature) -> Signature {
        known.keys().map(|name| self.sign(name.clone())).collect()
    }

    fn sign(&mut self, name: String) -> (String, Can) {
        let effective = self.follow(&name);
        let state = self.state(&name).map(|it| it.primary_key_id());
        (name, (effective, state))
    }

    fn facts(
        &mut self,
        vault: &SecretVault,
        namespace: &NamespaceFacts,
        data_key: &DataKey,
    ) -> Facts {
        let named = namespace.named(vault.spec.key_provider.as_deref());
        let wanted = self.follow(named).map(|provider| Wanted {
            allowed: self.providers.allows(&provider, namespace),
            current: self.is_current(&provider, &data_key.key_id),
            provider,
        });
        let held = self.state(&data_key.provider).map(drop);
        Facts { wanted, held }
    }

    fn namespace(&self, vault: &SecretVault) -> Option<&'a NamespaceFacts> {
        let namespace = vault.metadata.namespace.as_deref()?;
        self.namespaces.get(namespace)
    }

    fn state(&mut self, provider: &str) -> State {
        if let Some(known) = self.states.get(provider) {
            return known.clone();
        }
        let state = ready(self.providers, provider);
        self.states.insert(provider.to_owned(), state.clone());
        state
    }
}

/// The provider, if it is ready. Not by [`Providers::get`]: that gives one that is not, too, for what
/// it remembers.
fn ready(providers: &Providers, name: &str) -> State {
    let provider = name.to_owned();
    let error = match providers.state(name) {
        Some(Ok(provider)) => return Ok(provider),
        Some(Err(fault)) => KeyError::NotReady { provider, fault },
        None => KeyError::NoProvider { provider },
    };
    Err(error.to_string())
}
