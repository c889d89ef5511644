//! Mounts that are known to be ours, by the number that the kernel gives to no other mount until
//! the node starts again.
//!
//! Whose a mount is stands in mountinfo only, which the kernel writes anew for each reader, with a
//! line for each mount of the node: read for each of some hundred volumes it would take longer than
//! all the rest of a change.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, PoisonError},
};

use rustix::fs::{AtFlags, StatxFlags, statx};

/// The mounts. Only what mountinfo has shown to be ours is put in.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashSet<UniqueId>>);

/// A mount's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UniqueId(u64);

impl UniqueId {
    /// The number of the mount that a file is in. `None`: the kernel has none yet (before 6.8), and
    /// the numbers that it has are given again.
    pub(super) fn of(file: impl AsFd) -> io::Result<Option<Self>> {
        Self::of_borrowed(file.as_fd())
    }

    fn of_borrowed(file: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let status = statx(file, "", AtFlags::EMPTY_PATH, MNT_ID_UNIQUE)?;
        let is_unique = status.stx_mask & MNT_ID_UNIQUE.bits() != 0;
        Ok(is_unique.then_some(Self(status.stx_mnt_id)))
    }
}

impl Known {
    /// Whether a mount is known to be ours.
    pub(super) fn has(&self, id: UniqueId) -> bool {
        self.ids(|ids| ids.contains(&id))
    }

    /// Notes that a mount is ours.
    pub(super) fn note(&self, id: UniqueId) {
        self.ids(|ids| {
            // Those that have gone are forgotten together with the others.
            if ids.len() >= MOST {
                ids.clear();
            }
            ids.insert(id);
        });
    }

    fn ids<T>(&self, act: impl FnOnce(&mut HashSet<UniqueId>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// More than a node has volumes.
const MOST: usize = 1024;

/// `STATX_MNT_ID_UNIQUE`.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_and_nothing_else() {
        let known = Known::default();
        known.note(UniqueId(1));
        assert!(known.has(UniqueId(1)) && !known.has(UniqueId(2)));
    }

    #[test]
    fn a_node_on_which_volumes_come_and_go_for_years_fills_no_memory() {
        let known = Known::default();
        for id in 0..10_000 {
            known.note(UniqueId(id));
        }
        assert!(known.ids(|ids| ids.len()) <= MOST);
        assert!(known.has(UniqueId(9_999)));
    }

    #[test]
    fn two_mounts_have_two_numbers() {
        let id = |path| UniqueId::of(std::fs::File::open(path).unwrap()).unwrap();
        assert_eq!(id("/proc"), id("/proc"));
        assert!(id("/proc").is_none() || id("/proc") != id("/sys"));
    }
}
