//! Key providers: who wraps and unwraps the vaults' data keys.
//!
//! [`Providers`] is this replica's view of all `KeyProvider` objects. Every replica keeps its own
//! view current ([`watch`]); nobody writes anything here. A provider that is not usable stays in
//! the view with its fault, so that whoever asks for it learns the reason.

mod fault;
mod local;
mod provider;
mod rounds;
pub mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use fault::{KeyError, KeyFault, ProviderFault};
pub use local::Source;
pub use provider::Provider;
use rounds::Rounds;

/// What is known of one provider: usable, or with its fault.
pub type State = Result<Arc<Provider>, ProviderFault>;

/// The providers by name. Cheap to clone; all clones show the same view.
#[derive(Clone, Default)]
pub struct Providers {
    rounds: Arc<Rounds>,
    by_name: Arc<ArcSwap<HashMap<String, State>>>,
}

impl Providers {
    /// An empty view.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what is known of one provider.
    pub fn set(&self, name: &str, state: &State) {
        self.by_name.rcu(|current| {
            let mut next = HashMap::clone(current);
            next.insert(name.to_owned(), state.clone());
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

    /// The provider of that name.
    ///
    /// # Errors
    /// [`KeyError`] if there is none, or it is not usable now.
    pub fn get(&self, name: &str) -> Result<Arc<Provider>, KeyError> {
        match self.by_name.load().get(name) {
            Some(Ok(provider)) => Ok(Arc::clone(provider)),
            Some(Err(fault)) => Err(KeyError::NotReady {
                provider: name.to_owned(),
                fault: fault.clone(),
            }),
            None => Err(KeyError::NoProvider {
                provider: name.to_owned(),
            }),
        }
    }

    /// The provider of that name, looked for once more if this view has none that is usable: it may
    /// be ready in another replica's view already.
    ///
    /// # Errors
    /// [`KeyError`] if there is none after the second look, or that look takes too long.
    pub async fn find(&self, name: &str) -> Result<Arc<Provider>, KeyError> {
        if let Ok(provider) = self.get(name) {
            return Ok(provider);
        }
        self.rounds.another().await;
        self.get(name)
    }

    /// What is known of that provider: for its status.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<State> {
        self.by_name.load().get(name).cloned()
    }
}
