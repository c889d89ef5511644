//! Changes of a volume, as inotify tells them.
//!
//! The volume in a container is a read-only bind mount of the file system that the node agent
//! writes to. inotify watches the directory itself and not the mount, so the swap of `..data` is
//! seen as it is with Kubernetes' own volumes.

use std::{mem::MaybeUninit, os::fd::OwnedFd, time::Duration};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};

use crate::{
    say,
    volume::{Generation, Volume, VolumeError},
};

/// A volume that is watched.
pub(super) struct Watch {
    volume: Volume,
    seen: Generation,
    events: Option<OwnedFd>,
}

impl Watch {
    /// Begins. Changes from here on are told.
    ///
    /// # Errors
    /// It is no volume.
    pub(super) fn start(volume: Volume) -> Result<Self, VolumeError> {
        let events = match events(&volume) {
            Ok(events) => Some(events),
            Err(error) => {
                say(format_args!(
                    "changes are looked for once a second: inotify is not to be had ({error}); \
                     the node's fs.inotify.max_user_instances may be too low"
                ));
                None
            }
        };
        // After the watch: what comes before this look is in it, what comes later is an event.
        let seen = volume.generation()?;
        Ok(Self {
            volume,
            seen,
            events,
        })
    }

    /// What becomes readable when something happens.
    pub(super) fn descriptor(&self) -> Option<&OwnedFd> {
        self.events.as_ref()
    }

    /// How long to wait at most before the next look.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self.events {
            Some(_) => None,
            None => Some(LOOK_EVERY),
        }
    }

    /// Whether another generation is in force than at the last look. A volume that is being taken
    /// away has not changed.
    pub(super) fn has_changed(&mut self) -> bool {
        let is_over = self.events.as_ref().is_some_and(drain);
        if is_over {
            self.events = None;
        }
        match self.volume.generation() {
            Ok(generation) if generation != self.seen => {
                self.seen = generation;
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

fn events(volume: &Volume) -> Result<OwnedFd, Errno> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let flags = WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, volume.path(), flags)?;
    Ok(events)
}

/// Reads all events away. How many there were does not matter, so none can be lost. True: there
/// will be no more.
fn drain(events: &OwnedFd) -> bool {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    loop {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => return true,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return false,
            Err(_) => return true,
        }
    }
}

/// Room for one event at least, whatever the name's length.
const BUFFER: usize = 1024;

/// Where inotify is not to be had.
const LOOK_EVERY: Duration = Duration::from_secs(1);
