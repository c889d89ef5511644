//! Live update: what changed in the store comes into the commands that run.
//!
//! The running command is left alone. A child process enters its namespaces, changes the volume in
//! one step, as the node agent does in a pod, and notes what is there now.
//!
//! # Guarantees
//! * Values go only where nobody but the command's own user administers: see `entrance.rs` and
//!   `site.rs`.
//! * After a failure the command has all of its last files.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open, openat},
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, geteuid, pidfd_open, pidfd_send_signal,
        waitid,
    },
};
use secretvault_volume::{Change, GenerationName, Volume, mountinfo::Mount};
use thiserror::Error;

use super::{
    entrance::Entrance,
    found::{self, Running},
    generation_name,
    marker::Marker,
    say,
    site::{self, Site},
    sys, warn,
};
use crate::{
    keys::Keys,
    selection::{Owners, Selection, SelectionError, select, without_withdrawn},
    session::Session,
    store::Store,
};

/// Brings every running command of the store up to date, and says so on standard error. The keyring
/// is read if it is not given and a command runs.
pub fn refresh(session: &Session, store: &Store, keys: Option<&Keys>) {
    let running = found::running(store);
    if running.is_empty() {
        return;
    }
    let keys = match keys.cloned().map_or_else(|| session.keys(), Ok) {
        Ok(keys) => keys,
        Err(error) => {
            let count = running.len();
            return warn(format_args!(
                "{count} running commands keep their files: {error:#}"
            ));
        }
    };
    for running in running {
        let Running { pid, name, .. } = &running;
        match update(&running, session, store, &keys) {
            Ok(Change::Swapped) => say(format_args!("updated the running command {pid} ({name})")),
            Ok(Change::Unchanged) => {}
            Err(error) => warn(format_args!(
                "the running command {pid} ({name}) keeps its files: {:#}",
                anyhow::Error::from(error)
            )),
        }
    }
}

/// Why a running command was not brought up to date.
#[derive(Debug, Error)]
enum UpdateError {
    /// We are in the user namespace that it was given, where nobody may do anything.
    #[error(
        "this is inside of it, where nothing can be changed: the next change from outside reaches it"
    )]
    Inside,
    /// Its marker cannot be read.
    #[error(
        "what it was started with cannot be read, perhaps because of another version of this program: start it anew"
    )]
    Marker(#[source] io::Error),
    /// There is no name for the next generation.
    #[error("the operating system gives no randomness")]
    Random(#[from] getrandom::Error),
    /// What it is to have cannot be told.
    #[error(transparent)]
    Selection(#[from] Box<SelectionError>),
    /// Its namespace or its volume.
    #[error("they cannot be changed")]
    Write(#[source] io::Error),
}

fn update(
    running: &Running,
    session: &Session,
    store: &Store,
    keys: &Keys,
) -> Result<Change, UpdateError> {
    let uid = geteuid().as_raw();
    let site = &running.site;
    if running.entrance.is_around_us() {
        return Err(UpdateError::Inside);
    }
    // Until the next marker is written, so that no two updates start from the same one.
    site.lock().map_err(UpdateError::Write)?;
    let marker = Marker::read(site.marker.as_fd(), uid).map_err(UpdateError::Marker)?;
    let held = marker.held().map_err(UpdateError::Marker)?;
    let owners = if geteuid().is_root() {
        Owners::AsAsked
    } else {
        let gid = site.gid;
        Owners::Caller { uid, gid }
    };
    let selection = select(store, keys, marker.wish(), owners, &held).map_err(Box::new);
    let (mut selection, denied) = match selection {
        Ok(selection) => (selection, None),
        // A right that ended must not wait until all else is well.
        Err(error) => match without_withdrawn(store, marker.wish(), &held) {
            Some(left) => (left, Some(error)),
            None => return Err(error.into()),
        },
    };
    let notices = std::mem::take(&mut selection.notices);
    let marker = Marker::new(store, marker.wish().clone(), &selection.held);
    let next = Next {
        marker: marker.map_err(UpdateError::Marker)?,
        name: generation_name(session.now)?,
        selection,
    };
    let child = sys::in_child(|| code(carry_out(&running.entrance, site, next)));
    let change = child.and_then(wait).and_then(change);
    let change = change.map_err(UpdateError::Write)?;
    if change == Change::Swapped {
        for notice in notices {
            warn(notice);
        }
    }
    denied.map_or(Ok(change), |error| Err(error.into()))
}

/// What a command is to have.
struct Next {
    selection: Selection,
    marker: Marker,
    name: GenerationName,
}

/// Changes the volume. Only for a child process: it ends in the command's namespaces.
fn carry_out(entrance: &Entrance, seen: &Site, next: Next) -> io::Result<Change> {
    let proc = open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    entrance.enter(seen.gid)?;
    let site = Site::open(root()?.as_fd(), &own_mounts(&proc)?, geteuid().as_raw())?;
    // What was seen from outside was seen through a process, which may have moved since.
    let site = site.filter(|site| site.is_same(seen));
    let Site { marker, volume, .. } = site.ok_or(io::ErrorKind::PermissionDenied)?;
    let volume = Volume::attached(volume);
    let contents = next.selection.into_contents(volume.contents()?);
    let contents = contents.map_err(io::Error::other)?;
    let room = volume.room_to_change(&contents)?;
    // The marker first: after a failure the next update starts from what was to be, and makes it so.
    next.marker.write(marker.as_fd())?;
    volume.update(&contents, room, &next.name)
}

fn root() -> io::Result<OwnedFd> {
    Ok(open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// This process' mounts, from a `/proc` that is not the namespace's.
fn own_mounts(proc: &OwnedFd) -> io::Result<Vec<Mount>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mountinfo = openat(proc, "thread-self/mountinfo", flags, Mode::empty())?;
    site::mounts(mountinfo.into())
}

/// Waits for a child's code, and ends it if it takes too long.
fn wait(child: Pid) -> io::Result<i32> {
    let child = pidfd_open(child, PidfdFlags::empty())?;
    let limit = Timespec::try_from(LIMIT).map_err(io::Error::other)?;
    let ended = poll(&mut [PollFd::new(&child, PollFlags::IN)], Some(&limit));
    if !matches!(ended, Ok(count) if count > 0) {
        let _ = pidfd_send_signal(&child, Signal::KILL);
    }
    let status = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED)?;
    let code = status.and_then(|status| status.exit_status());
    code.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// An outcome as a process can end with it: one of ours, or the kernel's number.
fn code(outcome: io::Result<Change>) -> u8 {
    match outcome {
        Ok(Change::Swapped) => SWAPPED,
        Ok(Change::Unchanged) => UNCHANGED,
        Err(error) => {
            let number = error.raw_os_error().and_then(|it| u8::try_from(it).ok());
            let strange = error.kind() == io::ErrorKind::PermissionDenied;
            number.unwrap_or(if strange { STRANGE } else { OTHER })
        }
    }
}

fn change(code: i32) -> io::Result<Change> {
    match u8::try_from(code) {
        Ok(SWAPPED) => Ok(Change::Swapped),
        Ok(UNCHANGED) => Ok(Change::Unchanged),
        Ok(STRANGE) => Err(io::Error::other("its namespace is not as `run` made it")),
        Ok(OTHER) | Err(_) => Err(io::Error::other("what is there is not as `run` made it")),
        Ok(_) => Err(io::Error::from_raw_os_error(code)),
    }
}

const SWAPPED: u8 = 0;

// The kernel's numbers are less.
const UNCHANGED: u8 = 253;
const STRANGE: u8 = 254;
const OTHER: u8 = 255;

/// Longer than any volume takes.
const LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn through_a_process(outcome: io::Result<Change>) -> io::Result<Change> {
        change(code(outcome).into())
    }

    #[test]
    fn a_child_s_outcome_is_told_by_its_code() {
        for outcome in [Change::Swapped, Change::Unchanged] {
            assert_eq!(through_a_process(Ok(outcome)).unwrap(), outcome);
        }
        let full = io::Error::from_raw_os_error(nix::libc::ENOSPC);
        let told = through_a_process(Err(full)).unwrap_err();
        assert_eq!(told.raw_os_error(), Some(nix::libc::ENOSPC));
        for error in [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidData] {
            let told = through_a_process(Err(error.into())).unwrap_err();
            assert!(told.to_string().ends_with("not as `run` made it"), "{told}");
        }
    }
}
