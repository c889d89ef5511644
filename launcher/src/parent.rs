//! The command's parent: it waits, passes signals on, and sends one of its own when the files
//! change.
//!
//! # Guarantees
//! * The command is a child that nobody else can reap, so its process id is its own until this
//!   program ends. No process is ever looked up, by name, by file or by number: a shared process
//!   namespace makes no difference, and no right to signal others is needed.
//! * A swap of the files is followed by a signal: what is watched is looked at once more after the
//!   watch began, and each event leads to a look at what is in force, not to a count of events.
//! * Between a signal's arrival here and the command nothing is dropped but what [`signals`] names.
//! * It ends when its child does, with its code.
//!
//! # As process 1 and otherwise
//! As process 1 it inherits the orphans of its namespace, and reaps them. Otherwise somebody else
//! is process 1 and does: it does not become a "subreaper", because daemons would then have another
//! parent than without it. It reaps whatever is its child all the same.

mod child;

mod schedule;

mod signals;

mod watch;

use std::time::{Duration, Instant};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use thiserror::Error;

use crate::{
    arguments::{ChangeSignal, Run},
    say,
    volume::{Volume, VolumeError},
};
use child::{Child, StartError};
use schedule::Schedule;
use signals::{Place, Signals};
use watch::Watch;

/// Why there is no command to wait for, or no more waiting for it.
#[derive(Debug, Error)]
pub(crate) enum ParentError {
    #[error("signals cannot be received")]
    Signals(#[source] Errno),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("the command cannot be waited for")]
    Wait(#[source] Errno),
}

/// Starts the command, and returns its exit code when it has ended.
///
/// # Errors
/// It was not started. Or the kernel answers what it never should: then this program ends, and the
/// container with it.
pub(crate) fn run(run: &Run, signal: ChangeSignal) -> Result<u8, ParentError> {
    // Before the command starts, so that no change is missed; before signals are taken over, so
    // that a refusal can be interrupted.
    let watch = Watch::start(Volume::open(&run.files)?)?;
    let place = Place::here();
    let signals = Signals::take_over(&place).map_err(ParentError::Signals)?;
    let child = Child::start(run, &signals, &place)?;
    let mut parent = Parent {
        child,
        place,
        schedule: Schedule::default(),
        signal,
        signals,
        watch,
    };
    parent.wait()
}

struct Parent {
    child: Child,
    place: Place,
    schedule: Schedule,
    signal: ChangeSignal,
    signals: Signals,
    watch: Watch,
}

impl Parent {
    fn wait(&mut self) -> Result<u8, ParentError> {
        loop {
            if let Some(code) = self.child.reap().map_err(ParentError::Wait)? {
                return Ok(code);
            }
            self.pause().map_err(ParentError::Wait)?;
            self.pass_signals_on().map_err(ParentError::Signals)?;
            if self.watch.has_changed() {
                self.schedule.changed(Instant::now());
            }
            if self.schedule.is_due(Instant::now()) {
                self.announce(Instant::now());
            }
        }
    }

    /// Waits until there is something to do.
    fn pause(&self) -> Result<(), Errno> {
        let limit = [self.schedule.pause(Instant::now()), self.watch.pause()];
        let limit = limit.into_iter().flatten().min();
        let limit = limit.map(timespec);
        let signals = PollFd::new(&self.signals, PollFlags::IN);
        let answer = match self.watch.descriptor() {
            Some(watch) => poll(
                &mut [signals, PollFd::new(watch, PollFlags::IN)],
                limit.as_ref(),
            ),
            None => poll(&mut [signals], limit.as_ref()),
        };
        match answer {
            // It was stopped and goes on.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn pass_signals_on(&self) -> Result<(), Errno> {
        while let Some(received) = self.signals.next()? {
            if let Some(signal) = self.place.passed_on(received) {
                self.child.send(signal);
            }
        }
        Ok(())
    }

    /// Tells the command that its files have changed, unless that would end it: one that has just
    /// started and has no handler yet reads the new files anyway, or is told when it has one.
    fn announce(&mut self, now: Instant) {
        let signal = self.signal.signal();
        if self.signal.is_to_end() || self.child.takes(signal) {
            self.child.send(signal);
            self.schedule.announced();
        } else if self.schedule.put_off(now) {
            let name = self.signal.name();
            say(format_args!(
                "the files have changed, but the command does not take SIG{name}: it gets it when it does; \
                 let it handle the signal, or choose another one with secretvault.dev/on-change"
            ));
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    // At least a millisecond, and not less than asked for: no turn of the loop is for nothing.
    let duration = duration + Duration::from_millis(1);
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
