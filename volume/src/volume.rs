//! A volume's life: made, filled, attached, measured, changed, emptied.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{fs::fstatfs, param::page_size};

use crate::{
    Contents, GenerationName, Room, generation, mount, size,
    wipe::{self, Overwrite},
};

/// A volume: a tmpfs of ours, by its root; attached or still detached. Dropped while it is
/// detached, it is gone.
#[derive(Debug)]
pub struct Volume {
    root: OwnedFd,
}

/// What an update came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new generation is in force.
    Swapped,
    /// Content, owners and modes were right already.
    Unchanged,
}

/// How full a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What it may hold.
    pub room: Room,
    /// What it holds.
    pub used: Room,
}

impl Volume {
    /// The room that a volume with these contents needs.
    pub fn room_for(contents: &Contents) -> Room {
        size::at_rest(contents, page_size() as u64)
    }

    /// The least bytes that a volume with files of these lengths needs: known before there are
    /// contents.
    pub fn least_bytes(lengths: impl IntoIterator<Item = usize>) -> u64 {
        size::least(lengths, page_size() as u64)
    }

    /// Makes a detached volume and fills it.
    ///
    /// # Guarantees
    /// Nobody sees it before it is attached.
    ///
    /// # Errors
    /// As the kernel answers. Nothing is left then.
    pub fn create(contents: &Contents, name: &GenerationName, noswap: bool) -> io::Result<Self> {
        let root = mount::create(Self::room_for(contents), noswap)?;
        generation::prepare_root(root.as_fd())?;
        generation::write(root.as_fd(), name.as_str(), contents)?;
        generation::enter(root.as_fd(), name.as_str(), contents)?;
        Ok(Self { root })
    }

    /// Takes a volume that is attached already.
    ///
    /// # Assumptions
    /// The caller has checked that this is the root of a tmpfs of ours: see [`SOURCE`](crate::SOURCE).
    pub fn attached(root: OwnedFd) -> Self {
        Self { root }
    }

    /// Turns a detached volume read-only and attaches it on a directory, `name` in `parent`.
    ///
    /// # Guarantees
    /// After an error it is still detached. A link of that name is not followed.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn attach(&self, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        mount::attach(&self.root, parent, name)
    }

    /// How full the volume is.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn usage(&self) -> io::Result<Usage> {
        let status = fstatfs(&self.root)?;
        let block = u64::try_from(status.f_bsize).map_err(io::Error::other)?;
        let room = Room {
            bytes: status.f_blocks * block,
            inodes: status.f_files,
        };
        let used = Room {
            bytes: status.f_blocks.saturating_sub(status.f_bfree) * block,
            inodes: status.f_files.saturating_sub(status.f_ffree),
        };
        Ok(Usage { room, used })
    }

    /// What the volume holds now.
    ///
    /// # Errors
    /// As the kernel answers; or somebody else has written there.
    pub fn contents(&self) -> io::Result<Contents> {
        let root = generation::open_directory(self.root.as_fd(), ".")?;
        match generation::current(root.as_fd())? {
            Some(name) => generation::read(root.as_fd(), &name),
            None => Ok(Contents::default()),
        }
    }

    /// The room that the volume needs while these contents take the place of what it holds.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn room_to_change(&self, contents: &Contents) -> io::Result<Room> {
        let usage = self.usage()?;
        let beside = size::beside(usage.used, contents, page_size() as u64);
        // Not less than a new volume would get: what can be changed can also be attached anew.
        Ok(beside.max(Self::room_for(contents)).max(usage.room))
    }

    /// Puts these contents in the place of what the volume holds, all at once.
    ///
    /// # Guarantees
    /// The mount that readers have is read-only all the time. After an error the last generation is
    /// in force.
    ///
    /// # Assumptions
    /// The volume is attached in the caller's mount namespace.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn update(
        &self,
        contents: &Contents,
        room: Room,
        name: &GenerationName,
    ) -> io::Result<Change> {
        let clone = mount::writable_clone(&self.root)?;
        let root = clone.as_fd();
        let last = generation::current(root)?;
        generation::remove_others(root, last.as_deref())?;
        if last.is_some() && self.contents().is_ok_and(|held| held == *contents) {
            generation::link_top_names(root, &contents.top_names())?;
            return Ok(Change::Unchanged);
        }
        mount::resize(&clone, room)?;
        generation::write(root, name.as_str(), contents)?;
        generation::enter(root, name.as_str(), contents)?;
        generation::remove_others(root, Some(name.as_str()))?;
        // Fails while a reader holds the last generation open; the next update tries again.
        let _ = mount::resize(&clone, Self::room_for(contents));
        Ok(Change::Swapped)
    }

    /// Overwrites and removes all that the volume holds. It stays attached.
    ///
    /// # Guarantees
    /// A copy of the mount that leaked elsewhere is empty too, and a file that is still open reads
    /// as zeros.
    ///
    /// # Assumptions
    /// The volume is attached in the caller's mount namespace.
    ///
    /// # Errors
    /// As the kernel answers.
    pub fn empty(&self) -> io::Result<()> {
        let clone = mount::writable_clone(&self.root)?;
        wipe::clear(clone.as_fd(), Overwrite::Yes)
    }
}
