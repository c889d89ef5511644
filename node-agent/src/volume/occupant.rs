//! What there is at a target: looked at without following a link, taken away by its name in a
//! directory that is held open.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, fstatfs,
        openat2, statx,
    },
    io::Errno,
    mount::{UnmountFlags, unmount},
};
use secretvault_volume::{SOURCE, TMPFS, Volume, mountinfo};

use super::{
    known::{Known, UniqueId},
    target::MOUNT,
};

/// What there is at a target.
#[derive(Debug)]
pub(super) enum Occupant {
    /// A directory on which nothing is mounted.
    Directory,
    /// Someone else's filesystem, or no directory at all.
    Foreign,
    Missing,
    Ours(Volume),
}

/// Looks at what is at a target, without following a link.
pub(super) fn inspect(parent: BorrowedFd<'_>, known: &Known) -> io::Result<Occupant> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let found = match openat2(parent, MOUNT, flags, Mode::empty(), resolve) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Occupant::Missing),
        Err(Errno::LOOP) => return Ok(Occupant::Foreign),
        Err(error) => return Err(error.into()),
    };
    let status = statx(
        &found,
        "",
        AtFlags::EMPTY_PATH,
        StatxFlags::TYPE | StatxFlags::MNT_ID,
    )?;
    let is_mount = status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    let is_directory = FileType::from_raw_mode(status.stx_mode.into()).is_dir();
    Ok(match (is_mount, is_directory) {
        (true, _) if is_ours(&found, status.stx_mnt_id, known)? => {
            Occupant::Ours(Volume::attached(found))
        }
        (false, true) => Occupant::Directory,
        (true, _) | (false, false) => Occupant::Foreign,
    })
}

/// Takes the mount away, here and in all places that it propagated to. Lazily: a process that
/// still has a file open must not keep the pod from going, and the volume is empty by now.
pub(super) fn detach(parent: BorrowedFd<'_>) -> io::Result<()> {
    // `/proc/self/fd/N` is the directory itself, whatever its path has become since.
    let path = format!("/proc/self/fd/{}/{MOUNT}", parent.as_raw_fd());
    Ok(unmount(
        path,
        UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
    )?)
}

/// `id` is the number that mountinfo has too. The open root keeps the mount, so that neither number
/// is given to another meanwhile.
fn is_ours(root: &OwnedFd, id: u64, known: &Known) -> io::Result<bool> {
    let unique = UniqueId::of(root)?;
    if unique.is_some_and(|unique| known.has(unique)) {
        return Ok(true);
    }
    if fstatfs(root)?.f_type != TMPFS {
        return Ok(false);
    }
    let mounts = mountinfo::read()?;
    let is_ours = mountinfo::find(&mounts, id).is_some_and(|mount| mount.is_named(SOURCE));
    if let Some(unique) = unique.filter(|_| is_ours) {
        known.note(unique);
    }
    Ok(is_ours)
}
