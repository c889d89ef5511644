//! The commands that run with files of a store, found among all processes.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::geteuid,
};

use super::{
    entrance::Entrance,
    marker::Marker,
    site::{Site, mounts},
};
use crate::store::Store;

/// A command that runs with files of the store.
#[derive(Debug)]
pub(super) struct Running {
    /// The first process of those that share its mounts.
    pub(super) pid: u32,
    /// What that process calls itself.
    pub(super) name: String,
    /// The way into its namespace.
    pub(super) entrance: Entrance,
    /// Its volume and marker, as seen from outside.
    pub(super) site: Site,
}

/// Finds them. A process that we may not look at, or that ends meanwhile, has no files of ours.
pub(super) fn running(store: &Store) -> Vec<Running> {
    let mut known = Vec::from_iter(own_namespace_without_files());
    let mut found: Vec<Running> = Vec::new();
    for pid in processes() {
        let Ok(namespace) = File::open(format!("/proc/{pid}/ns/mnt")) else {
            continue;
        };
        let Ok(id) = namespace.metadata().map(|it| it.ino()) else {
            continue;
        };
        if known.contains(&id) {
            continue;
        }
        if let Ok(Some(running)) = look(pid, namespace.into(), store) {
            known.push(id);
            // A copy of a namespace that is found already shows the same volume.
            if !found.iter().any(|it| it.site.is_same(&running.site)) {
                found.push(running);
            }
        }
    }
    found
}

/// Most processes are in our own namespace, and one look at it is enough.
fn own_namespace_without_files() -> Option<u64> {
    let mounts = mounts(File::open("/proc/thread-self/mountinfo").ok()?).ok()?;
    let namespace = fs::metadata("/proc/self/ns/mnt").ok()?;
    (!Site::is_possible(&mounts)).then(|| namespace.ino())
}

/// All processes, the oldest first as long as numbers do not start again.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    pids
}

fn look(pid: u32, namespace: OwnedFd, store: &Store) -> io::Result<Option<Running>> {
    let mounts = mounts(File::open(format!("/proc/{pid}/mountinfo"))?)?;
    if !Site::is_possible(&mounts) {
        return Ok(None);
    }
    let Some(entrance) = Entrance::find(namespace)? else {
        return Ok(None);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(format!("/proc/{pid}/root"), flags, Mode::empty())?;
    let uid = geteuid().as_raw();
    let Some(site) = Site::open(root.as_fd(), &mounts, uid)? else {
        return Ok(None);
    };
    if !Marker::is_of(store, site.marker.as_fd(), uid)? {
        return Ok(None);
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    Ok(Some(Running {
        pid,
        // A process can call itself anything, also what a terminal obeys.
        name: name.trim_end().escape_debug().to_string(),
        entrance,
        site,
    }))
}
