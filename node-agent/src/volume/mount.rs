//! Mounts, and nothing about what is in them: a detached tmpfs, its flags, a writable clone of an
//! attached one, its size, its end. See HARD-PARTS "Volumes" for why it is done in this way.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FsWord, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, fstatfs, openat2,
        statx,
    },
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen, fspick, move_mount, open_tree, unmount,
    },
};

use super::{mountinfo, size::Room, sys, target::MOUNT};

/// What `findmnt` shows as the source of our volumes, and what tells them from others.
pub(super) const SOURCE: &str = "secretvault";

/// `statfs` type of tmpfs.
pub(crate) const TMPFS: FsWord = 0x0102_1994;

/// What there is at a target.
#[derive(Debug)]
pub(super) enum Occupant {
    /// A directory on which nothing is mounted.
    Directory,
    /// Someone else's filesystem, or no directory at all.
    Foreign,
    Missing,
    /// A tmpfs of ours: its root.
    Ours(OwnedFd),
}

/// Looks at what is at a target, without following a link.
pub(super) fn inspect(parent: BorrowedFd<'_>) -> io::Result<Occupant> {
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
    let is_directory = rustix::fs::FileType::from_raw_mode(status.stx_mode.into()).is_dir();
    Ok(match (is_mount, is_directory) {
        (true, _) if is_ours(&found, status.stx_mnt_id)? => Occupant::Ours(found),
        (false, true) => Occupant::Directory,
        (true, _) | (false, false) => Occupant::Foreign,
    })
}

fn is_ours(root: &OwnedFd, id: u64) -> io::Result<bool> {
    if fstatfs(root)?.f_type != TMPFS {
        return Ok(false);
    }
    let mounts = mountinfo::read()?;
    Ok(mountinfo::find(&mounts, id).is_some_and(|mount| mount.is_named(SOURCE)))
}

/// Makes an empty tmpfs that nobody sees yet.
pub(super) fn create(room: Room, noswap: bool) -> io::Result<OwnedFd> {
    let filesystem = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&filesystem, "source", SOURCE)?;
    fsconfig_set_string(&filesystem, "mode", "0755")?;
    configure(&filesystem, room)?;
    if noswap {
        fsconfig_set_flag(&filesystem, "noswap")?;
    }
    fsconfig_create(&filesystem)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// Whether this kernel has tmpfs without swap, and lets us have it.
pub(super) fn noswap_works() -> bool {
    fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .and_then(|filesystem| fsconfig_set_flag(&filesystem, "noswap"))
        .is_ok()
}

/// Turns a detached mount read-only and puts it in its place.
///
/// In this order: flags that are changed after the attachment do not reach the copies in other
/// mount namespaces.
pub(super) fn attach(mount: &OwnedFd, parent: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_read_only(mount.as_fd(), true)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mount, "", parent, MOUNT, flags)?)
}

/// A second, writable, detached mount of an attached volume. It goes when it is dropped.
pub(super) fn writable_clone(root: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = open_tree(root, "", flags)?;
    sys::set_read_only(clone.as_fd(), false)?;
    Ok(clone)
}

/// Changes how much a volume may hold.
///
/// # Errors
/// It holds more than that already.
pub(super) fn resize(mount: &OwnedFd, room: Room) -> io::Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let filesystem = fspick(mount, "", flags)?;
    configure(&filesystem, room)?;
    Ok(fsconfig_reconfigure(&filesystem)?)
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

fn configure(filesystem: &OwnedFd, room: Room) -> io::Result<()> {
    fsconfig_set_string(filesystem, "size", room.bytes.to_string())?;
    fsconfig_set_string(filesystem, "nr_inodes", room.inodes.to_string())?;
    Ok(())
}
