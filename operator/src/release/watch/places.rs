//! Places for streams: so many for a node, so many for all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The places of this replica. Clones are the same places.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    next: u64,
    by_node: BTreeMap<String, VecDeque<(u64, CancellationToken)>>,
}

impl Places {
    /// Takes a place for a stream of an agent on `node`; the oldest beyond [`PER_NODE`] loses its
    /// own. None: all places are taken.
    pub(super) fn take(&self, node: &str) -> Option<Place> {
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        if let Some(streams) = taken.by_node.get_mut(node) {
            while streams.len() >= PER_NODE {
                if let Some((_, oldest)) = streams.pop_front() {
                    oldest.cancel();
                }
            }
        }
        let many: usize = taken.by_node.values().map(VecDeque::len).sum();
        if many >= PLACES {
            return None;
        }
        let lost = CancellationToken::new();
        let streams = taken.by_node.entry(node.to_owned()).or_default();
        streams.push_back((number, lost.clone()));
        drop(taken);
        Some(Place {
            places: self.clone(),
            node: node.to_owned(),
            number,
            lost,
        })
    }

    fn leave(&self, place: &Place) {
        let mut taken = self.taken();
        if let Some(streams) = taken.by_node.get_mut(&place.node) {
            streams.retain(|(number, _)| *number != place.number);
            if streams.is_empty() {
                taken.by_node.remove(&place.node);
            }
        }
    }

    /// No writer can panic half-way to anything worse than a place too few.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until it is dropped.
pub(super) struct Place {
    places: Places,
    node: String,
    number: u64,
    lost: CancellationToken,
}

impl Place {
    /// Waits until newer streams of the node need the place.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(self);
    }
}

/// A node has two agents while one follows the other.
const PER_NODE: usize = 2;

/// A quarter of the connections that there may be: an agent has one for its stream, and another for
/// its requests, two while it changes over. Streams alone never leave no connection for those.
const PLACES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_two_places_and_the_oldest_stream_makes_room() {
        let places = Places::default();
        let streams = [(); 3].map(|()| places.take("node-a").unwrap());
        let other = places.take("node-b").unwrap();
        let lost = streams.each_ref().map(|place| place.lost.is_cancelled());
        assert_eq!(lost, [true, false, false]);
        assert!(!other.lost.is_cancelled());
    }

    #[test]
    fn who_leaves_makes_room() {
        let places = Places::default();
        let first = places.take("node-a").unwrap();
        drop(places.take("node-a"));
        drop(places.take("node-a"));
        assert!(!first.lost.is_cancelled());
        drop(first);
        assert!(places.taken().by_node.is_empty());
    }

    #[test]
    fn a_stream_that_lost_its_place_takes_none_away_when_it_ends() {
        let places = Places::default();
        let [first, second, _third] = [(); 3].map(|()| places.take("node-a").unwrap());
        drop(first);
        drop(places.take("node-a").unwrap());
        assert!(
            second.lost.is_cancelled(),
            "two were there, and a third came"
        );
    }

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let places = Places::default();
        let nodes: Vec<_> = (0..PLACES)
            .map(|index| places.take(&format!("node-{index}")).unwrap())
            .collect();
        assert!(places.take("node-a").is_none());
        assert!(places.take("node-0").is_none());
        drop(nodes);
        assert!(places.take("node-a").is_some());
    }
}
