//! Signals that arrive here and are meant for the command.
//!
//! | signal | what becomes of it |
//! |---|---|
//! | `KILL`, `STOP` | no program can receive them: they end or stop this one |
//! | `CHLD` | not passed on: it is how this program learns of its own children |
//! | all others, the real-time ones too | passed on; the value that `sigqueue` attaches is lost |
//!
//! Where there is a controlling terminal, command and parent are one process group, as a shell and
//! the terminal see it: the terminal signals both at once, so what the kernel itself sends is not
//! passed on a second time, but for a hangup and its `CONT`, which only the session's leader gets.
//! The three of job control (`TSTP`, `TTIN`, `TTOU`) are left to the kernel there. In a group of
//! its own the command could be stopped by Ctrl-Z for ever, which as a container's first process it
//! cannot.
//!
//! Without a terminal the command leads a process group of its own, as the container's first
//! process does without us: its `kill 0` reaches what it always has, and not its parent, which
//! would pass it on once more.

use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    libc,
    sys::{
        signal::{SigSet, Signal as Named},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{getpid, getsid},
};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    process::Signal,
};

/// A signal that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Its number.
    pub(super) number: i32,
    /// Whether the kernel sent it, and no process did.
    pub(super) by_kernel: bool,
}

/// What this process is to its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether there is a controlling terminal.
    pub(super) has_terminal: bool,
    /// Whether it is the first of its session.
    pub(super) leads_session: bool,
}

impl Place {
    /// That of this process.
    pub(super) fn here() -> Self {
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        Self {
            // It opens for those who have one.
            has_terminal: open("/dev/tty", flags, Mode::empty()).is_ok(),
            // Of a session that began outside of this process namespace the leader is 0.
            leads_session: getsid(None).is_ok_and(|leader| leader == getpid()),
        }
    }

    /// What the command gets of a signal that has arrived here.
    pub(super) fn passed_on(self, received: Received) -> Option<Signal> {
        let signal = signal(received.number)?;
        let is_hangup = [Signal::HUP, Signal::CONT].contains(&signal);
        let is_elsewhere = self.has_terminal && received.by_kernel;
        if signal == Signal::CHILD || is_elsewhere && !(is_hangup && self.leads_session) {
            return None;
        }
        Some(signal)
    }

    /// The signals that are taken over.
    fn taken(self) -> SigSet {
        let mut signals = SigSet::all();
        if self.has_terminal {
            for job_control in [Named::SIGTSTP, Named::SIGTTIN, Named::SIGTTOU] {
                signals.remove(job_control);
            }
        }
        signals
    }
}

/// All signals of this process, to be read instead of suffered. A fault of its own ends it as ever.
pub(super) struct Signals {
    descriptor: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// As the kernel answers.
    pub(super) fn take_over(place: &Place) -> Result<Self, Errno> {
        let taken = place.taken();
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let before = SigSet::thread_get_mask().map_err(errno)?;
        taken.thread_block().map_err(errno)?;
        let descriptor = SignalFd::with_flags(&taken, flags).map_err(errno)?;
        Ok(Self { descriptor, before })
    }

    /// What was blocked before: the command must not find more.
    pub(super) fn before(&self) -> &SigSet {
        &self.before
    }

    /// The next one that has arrived. `None`: no more for now.
    ///
    /// # Errors
    /// As the kernel answers.
    pub(super) fn next(&self) -> Result<Option<Received>, Errno> {
        let read = self.descriptor.read_signal().map_err(errno)?;
        Ok(read.and_then(|signal| {
            Some(Received {
                number: i32::try_from(signal.ssi_signo).ok()?,
                // `SI_USER`, `SI_QUEUE`, `SI_TKILL`: a process' doing is 0 or less.
                by_kernel: signal.ssi_code > 0,
            })
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A signal by its number.
#[expect(unsafe_code, reason = "rustix has names for the first 31 signals only")]
fn signal(number: i32) -> Option<Signal> {
    let real_time = (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number);
    // SAFETY: the number is valid, and none of the two that the C library keeps for itself.
    let real_time = real_time.then(|| unsafe { Signal::from_raw_unchecked(number) });
    Signal::from_named_raw(number).or(real_time)
}

pub(super) fn errno(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: Place = Place {
        has_terminal: false,
        leads_session: true,
    };
    const TERMINAL: Place = Place {
        has_terminal: true,
        leads_session: true,
    };
    const BELOW_A_SHELL: Place = Place {
        has_terminal: true,
        leads_session: false,
    };

    fn numbers(place: Place, by_kernel: bool) -> Vec<i32> {
        let all = (1..=libc::SIGRTMAX()).filter_map(|number| {
            let passed_on = place.passed_on(Received { number, by_kernel })?;
            assert_eq!(passed_on.as_raw(), number);
            Some(number)
        });
        all.collect()
    }

    fn all_but_children() -> Vec<i32> {
        let named = (1..=31).filter(|number| *number != libc::SIGCHLD);
        named.chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).collect()
    }

    #[test]
    fn what_a_process_sends_is_passed_on_everywhere_but_for_news_of_children() {
        for place in [CONTAINER, TERMINAL, BELOW_A_SHELL] {
            assert_eq!(numbers(place, false), all_but_children(), "{place:?}");
        }
    }

    #[test]
    fn without_a_terminal_what_the_kernel_sends_is_passed_on_too() {
        assert_eq!(numbers(CONTAINER, true), all_but_children());
    }

    #[test]
    fn what_a_terminal_sends_to_both_is_not_passed_on_again() {
        assert_eq!(numbers(TERMINAL, true), [libc::SIGHUP, libc::SIGCONT]);
        assert_eq!(numbers(BELOW_A_SHELL, true), [0; 0]);
    }

    #[test]
    fn a_number_that_is_no_signal_is_none() {
        for number in [-1, 0, 32, 33, 65, 1000] {
            assert_eq!(signal(number), None, "{number}");
        }
    }

    #[test]
    fn job_control_is_left_to_the_kernel_only_where_there_is_a_terminal() {
        for job_control in [Named::SIGTSTP, Named::SIGTTIN, Named::SIGTTOU] {
            assert!(CONTAINER.taken().contains(job_control));
            assert!(!TERMINAL.taken().contains(job_control));
        }
        assert!(TERMINAL.taken().contains(Named::SIGINT));
    }
}
