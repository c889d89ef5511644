//! What one stream is subscribed to, and what it must be told.
//!
//! What must be told is a set of handles, not a queue: however much happens while an agent does
//! not listen, it learns once which volumes to ask for again.
//!
//! # Guarantees
//! * A handle that is not accepted is answered like one whose vault changed, and nothing of it is
//!   kept: whoever forges one learns neither that a vault exists nor that it changed.
//! * Each state of a vault is told once. An agent that could not act by it hears of the next one.
//! * What a stream holds, of [`Consumers`] and of the room for all streams, goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secretvault_delivery::v1::{Subscription as Word, WatchEvent, WatchRequest};
use secretvault_delivery::{MAX_SUBSCRIPTIONS, MAX_WATCH_HANDLES};
use secretvault_vault::VaultRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::handle;
use super::metrics::{Counted, Ended, WatchMetrics};
use crate::consumers::{Consumer, Consumers, Holding};
use crate::tls::HandleKeys;
use crate::vaults::{Change, Seen, Vaults};

/// What all streams share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) vaults: Vaults,
    pub(super) keys: HandleKeys,
    pub(super) consumers: Consumers,
    /// For subscriptions of all streams together.
    pub(super) room: Arc<Semaphore>,
    pub(super) metrics: WatchMetrics,
}

/// The subscriptions of one stream.
pub(super) struct Subscriptions {
    node: String,
    shared: Shared,
    held: BTreeMap<Handle, Subscription>,
    by_vault: BTreeMap<VaultRef, BTreeSet<Handle>>,
    /// What the agent must be told, and the generation that goes with it.
    changed: BTreeMap<Handle, i64>,
}

type Handle = Arc<[u8]>;

impl Subscriptions {
    /// None yet, of an agent on `node`.
    pub(super) fn new(node: String, shared: Shared) -> Self {
        Self {
            node,
            shared,
            held: BTreeMap::new(),
            by_vault: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Takes an agent's word for what its volumes hold.
    ///
    /// # Errors
    /// It is more than one stream, or all of them, may have: the stream must end.
    pub(super) fn hear(&mut self, request: WatchRequest) -> Result<(), Ended> {
        if request.subscriptions.len() + request.dropped.len() > MAX_WATCH_HANDLES {
            return Err(Ended::TooManyHandles);
        }
        for handle in &request.dropped {
            self.let_go(handle);
        }
        for word in request.subscriptions {
            self.take(&word)?;
        }
        Ok(())
    }

    /// Looks again at what changed in the view.
    pub(super) fn look(&mut self, change: &Change) {
        match change {
            Change::Everything => {
                for (vault, handles) in &self.by_vault {
                    let seen = self.shared.vaults.seen(vault);
                    compare(handles, seen.as_ref(), &mut self.held, &mut self.changed);
                }
            }
            Change::Vault(vault) => {
                if let Some(handles) = self.by_vault.get(vault) {
                    let seen = self.shared.vaults.seen(vault);
                    compare(handles, seen.as_ref(), &mut self.held, &mut self.changed);
                }
            }
        }
    }

    /// Takes out what the agent must be told, as much as one event holds. Empty: nothing.
    pub(super) fn tell(&mut self) -> WatchEvent {
        let first = std::iter::from_fn(|| self.changed.pop_first()).take(MAX_WATCH_HANDLES);
        let first = first.map(|(handle, generation)| (handle.to_vec(), generation));
        let (changed, generations) = first.unzip();
        WatchEvent {
            changed,
            generations,
        }
    }

    /// Whether the agent must be told something.
    pub(super) fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    fn take(&mut self, word: &Word) -> Result<(), Ended> {
        let holding = Holding {
            generation: word.generation,
            since: word.since,
        };
        let known = self.held.get_key_value(word.handle.as_slice());
        let handle = match known {
            Some((handle, _)) => handle.clone(),
            None => match handle::read(&word.handle, &self.shared.keys, &self.node) {
                Ok(consumer) => self.subscribe(word.handle.as_slice().into(), consumer, holding)?,
                Err(rejected) => {
                    self.shared.metrics.rejected(rejected);
                    self.changed
                        .insert(word.handle.as_slice().into(), NO_GENERATION);
                    return Ok(());
                }
            },
        };
        if let Some(subscription) = self.held.get_mut(&handle) {
            if subscription.update(holding) {
                self.changed.remove(&handle);
            }
            let seen = self.shared.vaults.seen(&subscription.consumer.vault);
            if let Some(generation) = subscription.must_tell(seen.as_ref()) {
                self.changed.insert(handle, generation);
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        handle: Handle,
        consumer: Consumer,
        holding: Holding,
    ) -> Result<Handle, Ended> {
        if self.held.len() >= MAX_SUBSCRIPTIONS {
            return Err(Ended::TooManySubscriptions);
        }
        let room = Arc::clone(&self.shared.room).try_acquire_owned();
        let room = room.map_err(|_full| Ended::TooManySubscriptions)?;
        let vault = consumer.vault.clone();
        let subscription = Subscription::begin(consumer, holding, &self.shared, room);
        self.held.insert(handle.clone(), subscription);
        let handles = self.by_vault.entry(vault).or_default();
        handles.insert(handle.clone());
        Ok(handle)
    }

    fn let_go(&mut self, handle: &[u8]) {
        self.changed.remove(handle);
        let Some(subscription) = self.held.remove(handle) else {
            return;
        };
        let vault = &subscription.consumer.vault;
        if let Some(handles) = self.by_vault.get_mut(vault) {
            handles.remove(handle);
            if handles.is_empty() {
                self.by_vault.remove(vault);
            }
        }
    }
}

fn compare(
    handles: &BTreeSet<Handle>,
    seen: Option<&Seen>,
    held: &mut BTreeMap<Handle, Subscription>,
    changed: &mut BTreeMap<Handle, i64>,
) {
    for handle in handles {
        let subscription = held.get_mut(handle);
        let generation = subscription.and_then(|subscription| subscription.must_tell(seen));
        if let Some(generation) = generation {
            changed.insert(handle.clone(), generation);
        }
    }
}

/// One vault in one pod. Held by [`Consumers`] for as long as this lives.
struct Subscription {
    consumer: Arc<Consumer>,
    holding: Holding,
    told: Option<State>,
    consumers: Consumers,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Subscription {
    fn begin(
        consumer: Consumer,
        holding: Holding,
        shared: &Shared,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let consumer = Arc::new(consumer);
        shared.consumers.hold(Arc::clone(&consumer), holding);
        Self {
            consumer,
            holding,
            told: None,
            consumers: shared.consumers.clone(),
            _room: room,
            _counted: shared.metrics.subscription(),
        }
    }

    /// Takes the newest word. Says whether it is news: then all that was told counts no more.
    fn update(&mut self, holding: Holding) -> bool {
        if self.holding == holding {
            return false;
        }
        self.holding = holding;
        self.told = None;
        self.consumers.update(&self.consumer, holding);
        true
    }

    /// Whether the agent must be told of what is seen now: the generation to tell.
    fn must_tell(&mut self, seen: Option<&Seen>) -> Option<i64> {
        match news(&self.consumer, self.holding, seen) {
            News::Changed(state) => {
                let generation = state.generation_of(&self.consumer);
                let told = self.told.replace(state);
                (told != self.told).then_some(generation)
            }
            News::None => {
                self.told = None;
                None
            }
            News::Unknown => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.consumers.drop(&self.consumer);
    }
}

/// What the view says to a subscription.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// The volume should be asked for again.
    Changed(State),
    /// The volume holds what is seen, or something later.
    None,
    /// Nothing can be said: the vault cannot be read.
    Unknown,
}

/// How a vault is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Absent,
    At { uid: String, generation: i64 },
}

impl State {
    /// The generation, if it is still the vault that the volume shows.
    fn generation_of(&self, consumer: &Consumer) -> i64 {
        match self {
            Self::At { uid, generation } if *uid == consumer.vault_uid => *generation,
            Self::Absent | Self::At { .. } => NO_GENERATION,
        }
    }
}

/// Decides whether a volume that holds this should be asked for again. Every branch is a table
/// test.
fn news(consumer: &Consumer, holding: Holding, seen: Option<&Seen>) -> News {
    let awaited = consumer.vault_uid.is_empty();
    match seen {
        None if awaited => News::None,
        None => News::Changed(State::Absent),
        Some(Seen::Unreadable { .. }) => News::Unknown,
        Some(seen @ Seen::Readable(_)) => {
            let (uid, generation) = seen.version();
            if uid == consumer.vault_uid && generation <= holding.generation {
                return News::None;
            }
            let uid = uid.to_owned();
            News::Changed(State::At { uid, generation })
        }
    }
}

/// What the protocol says where there is none to tell.
const NO_GENERATION: i64 = 0;

#[cfg(test)]
mod tests;
