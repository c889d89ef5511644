//! Shares: what there is so much of for all nodes, and of which one node has no more than its part.
//!
//! Whoever has stolen a node has its agent's token, and can keep what they are given for as long as
//! they like: a request of which the body never comes, an answer that is not read. What one node
//! keeps is out of its own part, and the others find the rest.
//!
//! # Guarantees
//! * A node never has more than its part. Who waits for a part that is taken keeps nothing from
//!   other nodes.
//! * Nodes that have nothing are forgotten when another one comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All that there is of something.
pub(super) struct Shares {
    all: Arc<Semaphore>,
    part: usize,
    parts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// What a node has of it, until this is dropped.
pub(super) struct Share {
    _of_part: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Shares {
    /// So much for all, and so much of that for one node.
    pub(super) fn new(all: usize, part: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            part,
            parts: Mutex::default(),
        }
    }

    /// Waits for so much; more than a node's part is its whole part. None: there is none any more.
    pub(super) async fn take(&self, node: &str, much: usize) -> Option<Share> {
        let much = u32::try_from(much.min(self.part)).ok()?;
        let of_part = self.part_of(node).acquire_many_owned(much).await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_many_owned(much).await.ok()?;
        Some(Share {
            _of_part: of_part,
            _of_all: of_all,
        })
    }

    fn part_of(&self, node: &str) -> Arc<Semaphore> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get(node) {
            return Arc::clone(part);
        }
        // Whoever has something of a part, or waits for it, has it open.
        parts.retain(|_, part| Arc::strong_count(part) > 1);
        let part = Arc::new(Semaphore::new(self.part));
        parts.insert(node.to_owned(), Arc::clone(&part));
        part
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_node_that_keeps_its_part_keeps_no_other_node_out_and_waits_itself() {
        let shares = Shares::new(5, 2);
        let take = |node| shares.take(node, 1).now_or_never().flatten();
        let kept = [take("stolen"), take("stolen")];
        assert!(kept.iter().all(Option::is_some));
        assert!(take("stolen").is_none(), "it waits");
        let others = [take("node-a"), take("node-a"), take("node-b")];
        assert!(others.iter().all(Option::is_some));
        assert!(take("node-b").is_none(), "that was all");
        drop(kept);
        assert!(take("stolen").is_some());
    }

    #[test]
    fn who_waits_for_a_part_keeps_nothing_from_the_others() {
        let shares = Shares::new(3, 2);
        let kept = shares.take("stolen", 2).now_or_never().flatten();
        let mut waiting: Vec<_> = (0..10)
            .map(|_| Box::pin(shares.take("stolen", 2)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert!(shares.take("node-a", 1).now_or_never().flatten().is_some());
        drop((kept, waiting));
    }

    #[test]
    fn more_than_a_part_is_the_whole_part() {
        let shares = Shares::new(5, 3);
        let kept = shares.take("node-a", usize::MAX).now_or_never().flatten();
        assert!(kept.is_some());
        assert!(shares.take("node-a", 1).now_or_never().is_none());
        assert!(shares.take("node-b", 2).now_or_never().is_some());
    }

    #[test]
    fn nodes_that_have_nothing_are_forgotten() {
        let shares = Shares::new(64, 8);
        let kept = shares.take("kept", 1).now_or_never().flatten();
        for number in 0..1000 {
            let node = format!("node-{number}");
            assert!(shares.take(&node, 1).now_or_never().flatten().is_some());
        }
        let known = shares.parts.lock().unwrap().len();
        assert_eq!(known, 2, "the one that has something, and the last");
        drop(kept);
    }
}
