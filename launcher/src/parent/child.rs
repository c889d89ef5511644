//! The command, as a child.

use std::{
    env,
    ffi::{CString, OsString},
    fs,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use rustix::{
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, wait,
    },
};
use thiserror::Error;

use super::signals::{Place, Signals, errno};
use crate::{arguments::Run, install::PROGRAM, say};

/// Why there is no child.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(
        "a process cannot be started: does this container have a /proc, and may it have one more process?"
    )]
    Spawn(#[source] Errno),
    #[error(
        "the command's process cannot be held on to: pidfd_open(2) needs Linux 5.3, and a seccomp profile that allows it"
    )]
    Hold(#[source] Errno),
    #[error("an argument or a variable holds a zero byte")]
    ZeroByte,
}

/// A child. It is reaped here and nowhere else.
pub(super) struct Child {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Child {
    /// Starts this same program again, which then becomes the command. So the values never are in
    /// the memory of the parent that stays, and reading and executing are done in one place.
    ///
    /// # Guarantees
    /// From its first instruction it has the signal mask that this program was given itself.
    ///
    /// # Errors
    /// As the kernel answers. That the command cannot be run is not an error here: the child says
    /// so and ends with 126 or 127.
    pub(super) fn start(run: &Run, signals: &Signals, place: &Place) -> Result<Self, StartError> {
        let spawn = |error| StartError::Spawn(errno(error));
        let mut attributes = PosixSpawnAttr::init().map_err(spawn)?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_sigmask(signals.before()).map_err(spawn)?;
        if !place.has_terminal {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            attributes
                .set_pgroup(nix::unistd::Pid::from_raw(0))
                .map_err(spawn)?;
        }
        attributes.set_flags(flags).map_err(spawn)?;
        let actions = PosixSpawnFileActions::init().map_err(spawn)?;
        let (words, variables) = (words(run)?, variables()?);
        let pid = posix_spawn(PROGRAM, &actions, &attributes, &words, &variables).map_err(spawn)?;
        let pid = Pid::from_raw(pid.as_raw()).ok_or(StartError::Spawn(Errno::INVAL))?;
        // Nobody has reaped it, so the number is still its own.
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(StartError::Hold)?;
        Ok(Self { pid, descriptor })
    }

    /// Sends a signal. One that has ended meanwhile gets none, and neither does anybody else.
    pub(super) fn send(&self, signal: Signal) {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => say(format_args!(
                "the command does not get signal {}: {error}",
                signal.as_raw()
            )),
        }
    }

    /// Reaps all children that have ended. The code to end with, if the command is among them.
    ///
    /// # Errors
    /// As the kernel answers.
    pub(super) fn reap(&self) -> Result<Option<u8>, Errno> {
        while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
            if pid == self.pid {
                return Ok(Some(code(status)));
            }
        }
        Ok(None)
    }

    /// Whether a signal would be handled, noted or ignored, and not end the command.
    pub(super) fn takes(&self, signal: Signal) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid));
        // Who may not look must believe.
        status.map_or(true, |status| takes(&status, signal))
    }
}

fn takes(status: &str, signal: Signal) -> bool {
    let bit = 1_u64 << (signal.as_raw() - 1);
    status.lines().any(|line| {
        let field = line.split_once(":\t");
        let mask = field.filter(|(name, _)| ["SigBlk", "SigIgn", "SigCgt"].contains(name));
        let mask = mask.and_then(|(_, mask)| u64::from_str_radix(mask, 16).ok());
        mask.is_some_and(|mask| mask & bit != 0)
    })
}

/// As shells do it.
fn code(status: WaitStatus) -> u8 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    let code = status.exit_status().or(signal);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// What this program is called with to become the command.
fn words(run: &Run) -> Result<Vec<CString>, StartError> {
    let mut words: Vec<OsString> = vec!["secretvault-launcher".into(), "run".into()];
    if run.env {
        words.extend(["--env".into(), "--files".into(), run.files.clone().into()]);
    }
    words.extend(["--".into(), run.command.program.clone()]);
    words.extend(run.command.arguments.iter().cloned());
    words.into_iter().map(terminated).collect()
}

fn variables() -> Result<Vec<CString>, StartError> {
    let variables = env::vars_os().map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        terminated(variable)
    });
    variables.collect()
}

fn terminated(text: OsString) -> Result<CString, StartError> {
    CString::new(text.into_vec()).map_err(|_| StartError::ZeroByte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{self, Task};

    fn status(blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tapp\nShdPnd:\t0000000000000001\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nCapInh:\t0000000000000001\n"
        )
    }

    #[test]
    fn a_signal_is_taken_if_it_is_caught_blocked_or_ignored() {
        assert!(!takes(&status(0, 0, 0), Signal::HUP));
        for status in [status(1, 0, 0), status(0, 1, 0), status(0, 0, 1)] {
            assert!(takes(&status, Signal::HUP), "{status}");
            assert!(!takes(&status, Signal::INT), "{status}");
        }
        let last = status(0, 0, 1 << 27);
        assert!(takes(&last, Signal::WINCH) && !takes(&last, Signal::VTALARM));
    }

    #[test]
    fn what_a_kernel_says_of_this_process_is_understood() {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        // The standard library ignores it, so that writing to a closed pipe is an error.
        assert!(takes(&status, Signal::PIPE));
        assert!(!takes(&status, Signal::USR2));
    }

    #[test]
    fn the_child_is_asked_for_the_same_without_the_signal() {
        for flags in ["", "--env --files /s"] {
            let words = |signal: &str| {
                let line = format!("run {flags} {signal} -- app --on-change x");
                let words = line.split_ascii_whitespace().map(OsString::from);
                let Ok(Task::Run(run)) = arguments::parse(words) else {
                    panic!("{line}");
                };
                run
            };
            let child = super::words(&words("--on-change signal:HUP")).unwrap();
            let child = child
                .into_iter()
                .skip(1)
                .map(|word| OsString::from_vec(word.into_bytes()));
            assert_eq!(arguments::parse(child), Ok(Task::Run(words(""))));
        }
    }
}
