//! The places in a running command's `/run` that an update writes to, checked: nobody but their
//! owner, or the kernel's administrator, can have made them.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{
        AtFlags, FlockOperation, Mode, OFlags, ResolveFlags, Stat, StatxFlags, flock, fstat,
        openat2, statx,
    },
    io::Errno,
};
use secretvault_volume::mountinfo::{self, Mount};

use super::directory::{self, MARKER, RUN, SECRETS};

/// The marker's directory and the volume of a running command.
#[derive(Debug)]
pub(super) struct Site {
    /// The marker's directory.
    pub(super) marker: OwnedFd,
    /// The volume's root.
    pub(super) volume: OwnedFd,
    /// The group that the command was started with.
    pub(super) gid: u32,
    identity: [(u64, u64); 2],
}

impl Site {
    /// Looks for both below a root directory, whose mounts these are. `None`: there is nothing of
    /// ours that belongs to `uid`.
    ///
    /// # Errors
    /// As the kernel answers.
    pub(super) fn open(
        root: BorrowedFd<'_>,
        mounts: &[Mount],
        uid: u32,
    ) -> io::Result<Option<Self>> {
        let marker = open(root, &format!("{RUN}/{MARKER}"))?;
        let volume = open(root, SECRETS)?;
        let ours = is_mount(&marker, mounts, RUN, directory::SOURCE)?
            && is_mount(&volume, mounts, SECRETS, secretvault_volume::SOURCE)?;
        let (of_marker, of_volume) = (fstat(&marker)?, fstat(&volume)?);
        let private = of_marker.st_mode & 0o077 == 0;
        if !ours || !private || of_marker.st_uid != uid || of_volume.st_uid != uid {
            return Ok(None);
        }
        Ok(Some(Self {
            marker,
            volume,
            gid: of_volume.st_gid,
            identity: [identity(&of_marker), identity(&of_volume)],
        }))
    }

    /// Whether a process with these mounts could have a site: cheap, for all that have none.
    pub(super) fn is_possible(mounts: &[Mount]) -> bool {
        let mut volumes = mounts.iter().filter(|it| it.point == Path::new(SECRETS));
        volumes.any(|mount| mount.is_named(secretvault_volume::SOURCE))
    }

    /// Whether both are the same directories.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Keeps other updates out until the site drops.
    ///
    /// # Errors
    /// `WouldBlock`: another update takes too long.
    pub(super) fn lock(&self) -> io::Result<()> {
        for _ in 0..TRIES {
            match flock(&self.marker, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Reads a process' mounts. A name that is no text, as one may be on any disk, is not ours.
pub(super) fn mounts(mut mountinfo: File) -> io::Result<Vec<Mount>> {
    let mut text = Vec::new();
    mountinfo.read_to_end(&mut text)?;
    Ok(mountinfo::parse(&String::from_utf8_lossy(&text)))
}

/// Opens a directory by an absolute path, following no link.
fn open(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}

/// Whether a directory is on a mount of ours, at the place where we put it.
fn is_mount(directory: &OwnedFd, mounts: &[Mount], point: &str, source: &str) -> io::Result<bool> {
    let status = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let mount = mountinfo::find(mounts, status.stx_mnt_id);
    Ok(mount.is_some_and(|mount| mount.point == Path::new(point) && mount.is_named(source)))
}

fn identity(status: &Stat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

/// Longer than one update may take.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(50);
