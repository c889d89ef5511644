//! This replica's view of all `SecretVault`s: listed once, then watched.
//!
//! Whoever decides by this view must know how old it may be. kube-runtime's watcher hides
//! bookmarks, and with them the difference between "nothing has changed" and "nothing has arrived":
//! so the private module `watch` has its own small loop, and [`Vaults::last_progress`] says when the
//! API server last told this replica something.
//!
//! # Guarantees
//! * A list replaces the view at once: no reader sees a half-filled one, before, during or after a
//!   relist.
//! * An object that cannot be read stays in the view as [`Seen::Unreadable`]. Left out, it would
//!   look deleted, and `onDelete: Remove` would take its files from running pods.

mod change;
mod fault;
mod seen;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use secretvault_crds::SecretVault;
use secretvault_vault::VaultRef;
use tokio::sync::{broadcast, watch as notify};
use tokio::time::{Instant, timeout_at};

pub use change::{Change, EachChange};
pub use fault::Fault;
pub use seen::{Seen, SeenVault};

/// The view. Cheap to clone; all clones are the same view.
#[derive(Clone, Debug)]
pub struct Vaults {
    view: Arc<RwLock<View>>,
    revision: notify::Sender<u64>,
    each: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct View {
    vaults: BTreeMap<VaultRef, Seen>,
    synced: bool,
    last_progress: Option<Instant>,
}

impl Vaults {
    /// An empty view that is not synced. [`Vaults::run`] fills it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            view: Arc::default(),
            revision: notify::Sender::new(0),
            each: broadcast::Sender::new(change::REMEMBERED),
        }
    }

    /// Keeps the view current for ever. Drop the future to stop.
    pub async fn run(&self, client: kube::Client) {
        watch::Watch::new(self.clone(), client).run().await;
    }

    /// A vault that can be read.
    pub fn get(&self, vault: &VaultRef) -> Option<Arc<SecretVault>> {
        match self.seen(vault)? {
            Seen::Readable(seen) => Some(seen.object.clone()),
            Seen::Unreadable { .. } => None,
        }
    }

    /// What is there under this name.
    pub fn seen(&self, vault: &VaultRef) -> Option<Seen> {
        self.read().vaults.get(vault).cloned()
    }

    /// All vaults that can be read, ordered by namespace and name.
    pub fn all(&self) -> Vec<Arc<SecretVault>> {
        let view = self.read();
        let readable = view.vaults.values().filter_map(|seen| match seen {
            Seen::Readable(seen) => Some(seen.object.clone()),
            Seen::Unreadable { .. } => None,
        });
        readable.collect()
    }

    /// Whether a list has been completed since the start.
    pub fn synced(&self) -> bool {
        self.read().synced
    }

    /// When the API server last told this replica something: a completed list, an event, or a
    /// bookmark. A request that was merely accepted tells nothing.
    pub fn last_progress(&self) -> Option<Instant> {
        self.read().last_progress
    }

    /// Whether the view is recent enough to release by.
    ///
    /// A replica that is cut off from the API server would go on granting what was withdrawn.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until().is_some_and(|end| now < end)
    }

    /// Until when the view is recent enough, if it makes no progress; none before the first list.
    pub fn fresh_until(&self) -> Option<Instant> {
        let view = self.read();
        let progress = view.last_progress.filter(|_| view.synced)?;
        Some(progress + MAX_SILENCE)
    }

    /// Waits until the view holds this very vault at this generation or a later one.
    ///
    /// Returns false at the deadline.
    pub async fn wait_for(
        &self,
        vault: &VaultRef,
        uid: &str,
        generation: i64,
        deadline: Instant,
    ) -> bool {
        let mut changes = self.changes();
        let arrival = async {
            loop {
                changes.mark_unchanged();
                if self
                    .seen(vault)
                    .is_some_and(|seen| seen.is_at_least(uid, generation))
                {
                    return true;
                }
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout_at(deadline, arrival).await.unwrap_or(false)
    }

    /// A number that changes whenever the view does.
    pub fn changes(&self) -> notify::Receiver<u64> {
        self.revision.subscribe()
    }

    /// What changes from now on, vault by vault.
    pub fn each_change(&self) -> EachChange {
        self.each.subscribe().into()
    }

    /// Replaces the whole view by a completed list.
    fn replace(&self, listed: BTreeMap<VaultRef, Seen>, now: Instant) {
        let mut view = self.write();
        *view = View {
            vaults: listed,
            synced: true,
            last_progress: Some(now),
        };
        drop(view);
        self.announce(Change::Everything);
    }

    fn upsert(&self, vault: VaultRef, seen: Seen, now: Instant) {
        let mut view = self.write();
        view.vaults.insert(vault.clone(), seen);
        view.last_progress = Some(now);
        drop(view);
        self.announce(Change::Vault(vault));
    }

    fn remove(&self, vault: &VaultRef, now: Instant) {
        let mut view = self.write();
        view.vaults.remove(vault);
        view.last_progress = Some(now);
        drop(view);
        self.announce(Change::Vault(vault.clone()));
    }

    fn progress(&self, now: Instant) {
        self.write().last_progress = Some(now);
    }

    /// Comes after the write: whoever hears of a change finds it in the view.
    fn announce(&self, change: Change) {
        self.revision
            .send_modify(|revision| *revision = revision.wrapping_add(1));
        // Nobody may be listening.
        let _ = self.each.send(change);
    }

    /// No writer can panic half-way: each write is one assignment.
    fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Vaults {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
impl Vaults {
    /// A synced, fresh view of these objects.
    pub(crate) fn of(objects: impl IntoIterator<Item = SecretVault>) -> Self {
        let vaults = Self::new();
        vaults.relist(objects);
        vaults
    }

    /// Makes one vault arrive.
    pub(crate) fn arrive(&self, object: SecretVault) {
        let seen = Seen::from(object);
        self.upsert(seen.reference(), seen, Instant::now());
    }

    /// Makes one vault arrive that cannot be read.
    pub(crate) fn arrive_unreadable(&self, reference: VaultRef, uid: &str, generation: i64) {
        let seen = Seen::Unreadable {
            reference: reference.clone(),
            uid: uid.to_owned(),
            generation,
        };
        self.upsert(reference, seen, Instant::now());
    }

    /// Deletes one vault.
    pub(crate) fn leave(&self, vault: &VaultRef) {
        self.remove(vault, Instant::now());
    }

    /// Has the API server say that nothing changed.
    pub(crate) fn bookmark(&self) {
        self.progress(Instant::now());
    }

    /// Lists anew: these objects and no others.
    pub(crate) fn relist(&self, objects: impl IntoIterator<Item = SecretVault>) {
        let seen = objects.into_iter().map(Seen::from);
        let listed = seen.map(|seen| (seen.reference(), seen)).collect();
        self.replace(listed, Instant::now());
    }
}

/// Beyond this without a word from the API server, a replica stops releasing. The API server
/// answers each watch of `WATCH_SECONDS` with a bookmark, so that two may be lost.
pub const MAX_SILENCE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests;
