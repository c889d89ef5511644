//! What the node's volumes hold, by the handles that grants gave: what a stream is told, and what
//! leads from an event back to the volumes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use secretvault_delivery::{MAX_SUBSCRIPTIONS, v1::WatchEvent};
use tokio::sync::watch;

use super::{Handle, Held, Word, subscriptions::Words};
use crate::volume::TargetPath;

/// The volumes' handles. In memory only: an agent that starts asks for each volume anyway, and the
/// answer brings them.
#[derive(Debug)]
pub struct Holdings {
    volumes: Mutex<BTreeMap<TargetPath, Vec<(Handle, Word)>>>,
    revision: watch::Sender<()>,
}

/// A vault of a volume is no more as the volume holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Changed {
    /// The vault, in this volume.
    pub handle: Handle,
    /// The generation that the vault has reached at least. Of one that is gone or was made anew
    /// nobody can say; then it is the one after the volume's.
    pub at_least: i64,
    /// Whether the operator said so, and not we: another replica can then wait for it.
    pub known: bool,
}

impl Holdings {
    /// Starts with no volumes.
    pub fn new() -> Self {
        Self {
            volumes: Mutex::default(),
            revision: watch::Sender::new(()),
        }
    }

    /// Notes what a volume holds.
    pub fn hold(&self, target: &TargetPath, held: &Held) {
        let words = held.words();
        let mut volumes = self.volumes();
        if volumes.get(target) != Some(&words) {
            volumes.insert(target.clone(), words);
            drop(volumes);
            self.revision.send_replace(());
        }
    }

    /// Notes that a volume is gone.
    pub fn forget(&self, target: &TargetPath) {
        if self.volumes().remove(target).is_some() {
            self.revision.send_replace(());
        }
    }

    /// Is woken by each change of what is held.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.revision.subscribe()
    }

    /// All that a stream should be told. What is more than it takes is left to the republish.
    pub fn words(&self) -> Words {
        let mut words = Words::new();
        for (handle, word) in self.volumes().values().flatten() {
            if let Some(said) = words.get_mut(handle) {
                *said = said.oldest(*word);
            } else if words.len() < MAX_SUBSCRIPTIONS {
                words.insert(handle.clone(), *word);
            }
        }
        words
    }

    /// The volumes that an event speaks of, each with what it should come to. Those that hold that
    /// already are left out: an event may be late.
    pub fn concerned(&self, event: &WatchEvent) -> Vec<(TargetPath, Vec<Changed>)> {
        let news = news(event);
        let volumes = self.volumes();
        let concerned = volumes.iter().filter_map(|(target, words)| {
            let changed: Vec<Changed> = words
                .iter()
                .filter_map(|(handle, word)| {
                    Changed::beyond(handle, *word, *news.get(handle.as_ref())?)
                })
                .collect();
            (!changed.is_empty()).then(|| (target.clone(), changed))
        });
        concerned.collect()
    }

    fn volumes(&self) -> MutexGuard<'_, BTreeMap<TargetPath, Vec<(Handle, Word)>>> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Holdings {
    fn default() -> Self {
        Self::new()
    }
}

impl Changed {
    /// What must come, if it is not there. `generation`: as the operator says; 0 if it cannot.
    fn beyond(handle: &Handle, word: Word, generation: i64) -> Option<Self> {
        let known = generation > 0;
        let at_least = if known {
            generation
        } else {
            word.generation + 1
        };
        (at_least > word.generation).then(|| Self {
            handle: handle.clone(),
            at_least,
            known,
        })
    }
}

/// Handles with their generations, as an event tells them.
fn news(event: &WatchEvent) -> HashMap<&[u8], i64> {
    let generations = event.generations.iter().copied();
    let generations = generations.chain(std::iter::repeat(0));
    let handles = event.changed.iter().map(Vec::as_slice);
    handles.zip(generations).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::release::HeldVault;

    fn target(name: &str) -> TargetPath {
        let path = format!("/k/pods/u/volumes/kubernetes.io~csi/{name}/mount");
        TargetPath::parse(Path::new("/k"), &path).unwrap()
    }

    fn handle(name: &str) -> Handle {
        Handle::given(name.as_bytes()).unwrap()
    }

    fn held(vaults: &[(&str, i64)]) -> Held {
        let vault = |(name, generation): &(&str, i64)| HeldVault {
            namespace: "shop".to_owned(),
            name: (*name).to_owned(),
            uid: (*name).to_owned(),
            generation: *generation,
            since: 1,
            retains: true,
            handle: Some(handle(name)),
        };
        Held {
            vaults: vaults.iter().map(vault).collect(),
            ..Held::default()
        }
    }

    fn event(changed: &[(&str, i64)]) -> WatchEvent {
        let (changed, generations) = changed
            .iter()
            .map(|(name, generation)| (name.as_bytes().to_vec(), *generation))
            .unzip();
        WatchEvent {
            changed,
            generations,
        }
    }

    /// Two volumes of one pod, and one of another.
    fn three() -> Holdings {
        let holdings = Holdings::new();
        holdings.hold(&target("a"), &held(&[("app", 3), ("own", 1)]));
        holdings.hold(&target("b"), &held(&[("app", 4)]));
        let awaiting = Held {
            awaited: vec![handle("later")],
            ..held(&[("other", 1)])
        };
        holdings.hold(&target("c"), &awaiting);
        holdings
    }

    /// `target: handle@at_least`, with a question mark if it is our guess.
    fn concerned(event: &WatchEvent) -> Vec<String> {
        let mut found = Vec::new();
        for (target, changed) in three().concerned(event) {
            for one in changed {
                let handle = String::from_utf8(one.handle.to_bytes()).unwrap();
                let guess = if one.known { "" } else { "?" };
                let path = target.to_string();
                let name = path.split('/').nth(4).unwrap();
                found.push(format!("{name}: {handle}@{}{guess}", one.at_least));
            }
        }
        found
    }

    #[test]
    fn an_event_leads_to_exactly_the_volumes_that_are_behind_it() {
        type Event = &'static [(&'static str, i64)];
        let table: [(Event, &[&str]); 9] = [
            (&[], &[]),
            (&[("stranger", 9)], &[]),
            (&[("app", 5)], &["a: app@5", "b: app@5"]),
            (&[("app", 4)], &["a: app@4"]),
            (&[("app", 3)], &[]),
            (&[("app", 0)], &["a: app@4?", "b: app@5?"]),
            (&[("later", 0)], &["c: later@1?"]),
            (&[("later", 7)], &["c: later@7"]),
            (
                &[("own", 2), ("other", 2), ("app", 1)],
                &["a: own@2", "c: other@2"],
            ),
        ];
        for (changed, volumes) in table {
            assert_eq!(concerned(&event(changed)), volumes, "{changed:?}");
        }
    }

    #[test]
    fn an_event_without_generations_is_a_guess_too() {
        let mut event = event(&[("app", 9), ("own", 9)]);
        event.generations.truncate(1);
        assert_eq!(concerned(&event), ["a: app@9", "a: own@2?", "b: app@9"]);
    }

    #[test]
    fn of_two_volumes_with_one_handle_the_older_is_told() {
        let words = three().words();
        let generation = |name| words[&handle(name)].generation;
        assert_eq!(words.len(), 4);
        assert_eq!((generation("app"), generation("later")), (3, 0));
    }

    #[test]
    fn what_is_gone_is_told_no_more() {
        let holdings = three();
        holdings.forget(&target("a"));
        let words = holdings.words();
        assert_eq!(words[&handle("app")].generation, 4);
        assert!(!words.contains_key(&handle("own")));
        assert!(holdings.concerned(&event(&[("own", 2)])).is_empty());
    }

    #[test]
    fn whoever_listens_is_woken_by_what_is_new_only() {
        let holdings = three();
        let mut changes = holdings.changes();
        changes.mark_unchanged();
        holdings.hold(&target("b"), &held(&[("app", 4)]));
        holdings.forget(&target("unknown"));
        assert!(!changes.has_changed().unwrap());
        holdings.hold(&target("b"), &held(&[("app", 5)]));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        holdings.forget(&target("b"));
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn a_stream_is_told_no_more_than_it_takes() {
        let holdings = Holdings::new();
        let many: Vec<Handle> = (0..MAX_SUBSCRIPTIONS + 10)
            .map(|number| handle(&number.to_string()))
            .collect();
        let held = Held {
            awaited: many,
            ..Held::default()
        };
        holdings.hold(&target("a"), &held);
        assert_eq!(holdings.words().len(), MAX_SUBSCRIPTIONS);
    }
}
