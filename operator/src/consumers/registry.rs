//! The consumers of this replica, in memory.
//!
//! # Guarantees
//! * What is here is held by some stream of an agent now: a stream that ends takes its own with it.
//! * For a moment two streams of one node may hold the same: it stays until both let go, and the
//!   newest word about it counts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secretvault_vault::VaultRef;
use tokio::sync::watch;

/// One vault in one volume of a pod, as an agent of the pod's own node holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consumer {
    /// The vault.
    pub vault: VaultRef,
    /// The vault's `metadata.uid` when it was granted; empty for one that is awaited.
    pub vault_uid: String,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// The node that the pod runs on.
    pub node: String,
    /// Whether the pod's environment is made of the vault (annotation `env: "true"`).
    pub env: bool,
    /// Whether the pod asks to be restarted on changes (annotation `on-change: restart`).
    pub restart: bool,
    /// Paths of the vault's files that the pod does not have, because another of its vaults has a
    /// file there. Not all, if there are many.
    pub overridden: Vec<String>,
}

/// What a volume holds of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The vault's `metadata.generation` in the volume; 0 for a vault that is awaited.
    pub generation: i64,
    /// The generation in the volume when the pod started.
    pub since: i64,
}

/// The consumers. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Consumers {
    held: Arc<Mutex<BTreeMap<Arc<Consumer>, Held>>>,
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
struct Held {
    holding: Holding,
    holders: usize,
}

impl Consumers {
    /// Says that one more stream holds this. A stream that holds it already uses [`Self::update`].
    pub fn hold(&self, consumer: impl Into<Arc<Consumer>>, holding: Holding) {
        match self.held().entry(consumer.into()) {
            Entry::Occupied(mut entry) => {
                let held = entry.get_mut();
                held.holding = holding;
                held.holders += 1;
            }
            Entry::Vacant(entry) => {
                entry.insert(Held {
                    holding,
                    holders: 1,
                });
            }
        }
        self.announce();
    }

    /// Says that a consumer which is held holds another generation by now.
    pub fn update(&self, consumer: &Consumer, holding: Holding) {
        if let Some(held) = self.held().get_mut(consumer) {
            held.holding = holding;
        }
        self.announce();
    }

    /// Says that one stream less holds this.
    pub fn drop(&self, consumer: &Consumer) {
        let mut consumers = self.held();
        if let Some(held) = consumers.get_mut(consumer) {
            held.holders -= 1;
            if held.holders == 0 {
                consumers.remove(consumer);
            }
        }
        drop(consumers);
        self.announce();
    }

    /// A number that changes whenever a consumer comes, goes, or holds another generation.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// All consumers, ordered by vault and pod.
    pub fn snapshot(&self) -> BTreeMap<Consumer, Holding> {
        let consumers = self.held();
        let held = consumers.iter();
        held.map(|(consumer, held)| (Consumer::clone(consumer), held.holding))
            .collect()
    }

    fn announce(&self) {
        self.revision
            .send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    /// No writer can panic half-way: each write is one assignment or two.
    fn held(&self) -> MutexGuard<'_, BTreeMap<Arc<Consumer>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(pod: &str) -> Consumer {
        Consumer {
            vault: VaultRef::new("shop", "app"),
            vault_uid: "u".to_owned(),
            pod_namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            pod_uid: format!("uid-{pod}"),
            node: "node-a".to_owned(),
            env: false,
            restart: false,
            overridden: Vec::new(),
        }
    }

    fn holding(generation: i64) -> Holding {
        Holding {
            generation,
            since: 1,
        }
    }

    #[test]
    fn what_two_streams_hold_stays_until_both_let_go() {
        let consumers = Consumers::default();
        consumers.hold(consumer("web-0"), holding(1));
        consumers.hold(consumer("web-0"), holding(2));
        consumers.drop(&consumer("web-0"));
        assert_eq!(consumers.snapshot()[&consumer("web-0")], holding(2));
        consumers.drop(&consumer("web-0"));
        assert!(consumers.snapshot().is_empty());
        consumers.drop(&consumer("web-0"));
    }

    #[test]
    fn only_what_is_held_can_be_updated() {
        let consumers = Consumers::default();
        consumers.update(&consumer("web-0"), holding(2));
        assert!(consumers.snapshot().is_empty());
        consumers.hold(consumer("web-0"), holding(1));
        consumers.update(&consumer("web-0"), holding(2));
        assert_eq!(consumers.snapshot()[&consumer("web-0")], holding(2));
    }

    #[test]
    fn every_change_is_announced() {
        let consumers = Consumers::default();
        let mut changes = consumers.changes();
        let steps: [fn(&Consumers); 3] = [
            |consumers| consumers.hold(consumer("web-0"), holding(1)),
            |consumers| consumers.update(&consumer("web-0"), holding(2)),
            |consumers| consumers.drop(&consumer("web-0")),
        ];
        for step in steps {
            changes.mark_unchanged();
            step(&consumers);
            assert!(changes.has_changed().unwrap());
        }
    }
}
