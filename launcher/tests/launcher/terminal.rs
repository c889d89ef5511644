//! A container with `tty: true`: one terminal, one foreground group.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
};

use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
};

use crate::fixture::Volume;

/// A script at a terminal, as the first process of a session.
struct Session {
    _volume: Volume,
    session: Child,
    keyboard: File,
    screen: BufReader<File>,
}

impl Session {
    fn start(script: &str) -> Self {
        let volume = Volume::of(&[("token", b"t-1")]);
        let run = volume.sh(&["--on-change", "signal:USR1"], script);
        // No other test's process may keep it open.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let terminal = posix_openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname_r(&terminal).unwrap();
        let end = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--wait"])
            .arg(run.get_program())
            .args(run.get_args());
        session.stdin(end.try_clone().unwrap());
        session.stdout(Stdio::from(end.try_clone().unwrap()));
        let session = session.stderr(Stdio::from(end)).spawn().unwrap();
        let terminal = File::from(OwnedFd::from(terminal));
        Self {
            _volume: volume,
            session,
            keyboard: terminal.try_clone().unwrap(),
            screen: BufReader::new(terminal),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.screen.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits for its exit code, with the terminal open or already taken away.
    fn end(mut self, take_away: bool) -> Option<i32> {
        let screen = (!take_away).then_some((self.screen, self.keyboard));
        let status = self.session.wait().unwrap();
        drop(screen);
        status.code()
    }
}

#[test]
fn an_interrupt_that_is_typed_comes_once() {
    let mut session = Session::start(
        "stty -echo; trap 'n=$((n + 1)); echo got' INT; echo ready; \
         until [ \"$n\" ]; do sleep 0.02; done; sleep 0.3; exit $n",
    );
    assert_eq!(session.line(), "ready");
    session.types(b"\x03");
    assert_eq!(session.line(), "got");
    assert_eq!(session.end(false), Some(1));
}

#[test]
fn the_command_reads_what_is_typed_and_cannot_be_stopped_for_ever() {
    let mut session =
        Session::start("stty -echo; echo ready; read -r typed; echo \"read $typed\"; exit 5");
    assert_eq!(session.line(), "ready");
    session.types(b"\x1a");
    session.types(b"words\n");
    assert_eq!(session.line(), "read words");
    assert_eq!(session.end(false), Some(5));
}

#[test]
fn a_terminal_that_goes_away_hangs_up_on_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hung-up");
    let script = format!(
        "trap 'echo x >> {}; exit 0' HUP; echo ready; while :; do sleep 0.02; done",
        file.display()
    );
    let mut session = Session::start(&script);
    assert_eq!(session.line(), "ready");
    assert_eq!(session.end(true), Some(0));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "x\n");
}
