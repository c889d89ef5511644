//! Mounts, and nothing about what is in them: a detached tmpfs, its flags, its attachment, a
//! writable clone of an attached one, its size.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::FsWord,
    mount::{
        FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
        fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount,
        fsopen, fspick, move_mount, open_tree,
    },
};

use crate::{size::Room, sys};

/// What `findmnt` shows as the source of our volumes, and what tells them from others.
pub const SOURCE: &str = "secretvault";

/// `statfs` type of tmpfs.
pub const TMPFS: FsWord = 0x0102_1994;

/// Makes an empty tmpfs that nobody sees yet.
pub(crate) fn create(room: Room, noswap: bool) -> io::Result<OwnedFd> {
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
pub fn noswap_works() -> bool {
    fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .and_then(|filesystem| fsconfig_set_flag(&filesystem, "noswap"))
        .is_ok()
}

/// Turns a detached mount read-only and attaches it on a directory, `name` in `parent`.
///
/// In this order: flags that are changed after the attachment do not reach the copies in other
/// mount namespaces.
pub(crate) fn attach(mount: &OwnedFd, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    sys::set_read_only(mount.as_fd(), true)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mount, "", parent, name, flags)?)
}

/// A second, writable, detached mount of an attached volume. It goes when it is dropped.
pub(crate) fn writable_clone(root: &OwnedFd) -> io::Result<OwnedFd> {
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
pub(crate) fn resize(mount: &OwnedFd, room: Room) -> io::Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let filesystem = fspick(mount, "", flags)?;
    configure(&filesystem, room)?;
    Ok(fsconfig_reconfigure(&filesystem)?)
}

fn configure(filesystem: &OwnedFd, room: Room) -> io::Result<()> {
    fsconfig_set_string(filesystem, "size", room.bytes.to_string())?;
    fsconfig_set_string(filesystem, "nr_inodes", room.inodes.to_string())?;
    Ok(())
}
