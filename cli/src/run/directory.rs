//! `/run` as a command sees it: what was there, and its secrets.
//!
//! `/run/secrets` cannot be made in somebody else's `/run`, and must not be left behind in our own.
//! So `/run` becomes a small tmpfs with every old entry bound back, which goes with the namespace.
//!
//! # Caveats
//! Directories in `/run` stay what they are outside, with all that comes and goes in them. What is
//! made in `/run` itself later, or made anew there, is not seen on the other side.

use std::{
    env,
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat, statat,
        symlinkat, unlinkat,
    },
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    },
    process::geteuid,
};
use secretvault_volume::Volume;
use thiserror::Error;

use super::marker::Marker;

/// Where a command finds its files.
pub(super) const SECRETS: &str = "/run/secrets";

/// Where `/run` is.
pub(super) const RUN: &str = "/run";

/// What `findmnt` shows as the source of a command's `/run`, and what tells it from others.
pub(super) const SOURCE: &str = "secretvault-run";

/// The directory of the marker, in `/run`.
pub(super) const MARKER: &str = "secretvault";

/// Why a command has no `/run`.
#[derive(Debug, Error)]
#[error("{path} cannot be {doing}")]
pub(super) struct DirectoryError {
    path: String,
    doing: &'static str,
    source: io::Error,
}

/// Puts a volume and its marker into a new `/run`.
///
/// # Guarantees
/// Every other entry is what it was.
///
/// # Assumptions
/// The mount namespace is this process' own, and nothing in it propagates to others.
///
/// # Errors
/// As the kernel answers. The namespace must not be used then.
pub(super) fn furnish(volume: &Volume, marker: &Marker) -> Result<(), DirectoryError> {
    let working_directory = env::current_dir();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let old = openat(CWD, RUN, flags, Mode::empty()).map_err(failed(RUN, "opened"))?;
    let entries = entries(&old).map_err(failed(RUN, "read"))?;
    let new = create(&old, entries.len()).map_err(failed(RUN, "made anew"))?;
    for entry in &entries {
        let path = format!("{RUN}/{}", entry.name.to_string_lossy());
        entry.make_room(&new).map_err(failed(&path, "kept"))?;
    }
    make_own_entries(&new, marker).map_err(failed(RUN, "filled"))?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    let mounted = move_mount(&new, "", &old, "", onto);
    mounted.map_err(failed(RUN, "mounted"))?;
    for entry in &entries {
        let path = format!("{RUN}/{}", entry.name.to_string_lossy());
        entry.bind(&old, &new).map_err(failed(&path, "kept"))?;
    }
    let attached = volume.attach(new.as_fd(), "secrets");
    attached.map_err(failed(SECRETS, "mounted"))?;
    enter_again(working_directory).map_err(failed(RUN, "entered"))
}

/// What is in `/run` already.
struct Entry {
    name: CString,
    kind: FileType,
}

/// All but what will be ours.
fn entries(old: &OwnedFd) -> io::Result<Vec<Entry>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = Dir::new(openat(old, ".", flags, Mode::empty())?)?;
    let mut entries = Vec::new();
    for entry in listing {
        let name = entry?.file_name().to_owned();
        if NOT_KEPT.contains(&name.as_c_str()) {
            continue;
        }
        match statat(old, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => entries.push(Entry {
                name,
                kind: FileType::from_raw_mode(status.st_mode),
            }),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(entries)
}

impl Entry {
    /// Makes what this entry will be bound on.
    fn make_room(&self, new: &OwnedFd) -> io::Result<()> {
        if self.kind.is_symlink() {
            return Ok(());
        }
        if self.kind.is_dir() {
            return Ok(mkdirat(new, &self.name, Mode::RWXU)?);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(new, &self.name, flags, Mode::empty())?;
        Ok(())
    }

    fn remove_room(&self, new: &OwnedFd) -> io::Result<()> {
        if self.kind.is_symlink() {
            return Ok(());
        }
        let flags = if self.kind.is_dir() {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        Ok(unlinkat(new, &self.name, flags)?)
    }

    /// Brings the entry back, with all that is mounted below it.
    fn bind(&self, old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
        let brought = if self.kind.is_symlink() {
            readlinkat(old, &self.name, Vec::new())
                .and_then(|target| symlinkat(target, new, &self.name))
        } else {
            open_tree(old, &self.name, COPY).and_then(|copy| {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(copy, "", new, &self.name, flags)
            })
        };
        match brought {
            Ok(()) => Ok(()),
            // It has gone meanwhile, as entries of /run do.
            Err(Errno::NOENT) => self.remove_room(new),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes an empty tmpfs that nobody sees yet.
fn create(old: &OwnedFd, entries: usize) -> io::Result<OwnedFd> {
    let mode = if geteuid().is_root() {
        fstat(old)?.st_mode & 0o7777
    } else {
        // As in the old one, where nothing is writable for others than root.
        0o555
    };
    let filesystem = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (option, value) in [
        ("source", SOURCE.to_owned()),
        ("mode", format!("{mode:o}")),
        ("size", SIZE.to_owned()),
        ("nr_inodes", (entries + SPARE_ENTRIES).to_string()),
    ] {
        fsconfig_set_string(&filesystem, option, value)?;
    }
    fsconfig_create(&filesystem)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

fn make_own_entries(new: &OwnedFd, marker: &Marker) -> io::Result<()> {
    mkdirat(new, "secrets", Mode::RWXU)?;
    mkdirat(new, MARKER, Mode::RWXU)?;
    marker.write(open_directory(new.as_fd(), MARKER)?.as_fd())
}

fn open_directory(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Who is in `/run` would stay in the old one.
fn enter_again(working_directory: io::Result<PathBuf>) -> io::Result<()> {
    if working_directory.is_ok_and(|directory| directory == Path::new(RUN)) {
        env::set_current_dir(RUN)?;
    }
    Ok(())
}

fn failed<E: Into<io::Error>>(path: &str, doing: &'static str) -> impl FnOnce(E) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError {
        path,
        doing,
        source: source.into(),
    }
}

/// Itself, its parent, and what will be ours.
const NOT_KEPT: [&CStr; 4] = [c".", c"..", c"secrets", c"secretvault"];

const COPY: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_RECURSIVE)
    .union(OpenTreeFlags::AT_SYMLINK_NOFOLLOW)
    // What is mounted when somebody looks, such as a network's disk, must not be waited for.
    .union(OpenTreeFlags::AT_NO_AUTOMOUNT);

/// For what root's command writes there, such as its pid file. Only what is used takes memory.
const SIZE: &str = "16m";

/// For the same, and for what is ours.
const SPARE_ENTRIES: usize = 1024;
