//! A value that is typed at a terminal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

use std::{
    fs::File,
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
};

use nix::pty::openpty;

const PROGRAM: &str = env!("CARGO_BIN_EXE_secretvault");

/// What came of typing these lines.
struct Answer {
    succeeded: bool,
    complaint: String,
    /// What the terminal showed of what was typed.
    echo: String,
    stored: String,
}

/// Sets an entry at a terminal. The next line is typed when the program has asked for it.
fn typed(lines: &[&str]) -> Answer {
    let directory = tempfile::tempdir().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let path = directory.path();
        let places = [
            ("--store", path.join("vaults")),
            ("--keyring", path.join("keyring")),
        ];
        for (option, place) in places {
            command.arg(option).arg(place);
        }
        command.args(arguments).stdout(Stdio::null());
        command
    };
    assert!(command(&["init"]).status().unwrap().success());
    let terminal = openpty(None, None).unwrap();
    let mut child = command(&["set", "app", "a"])
        .stdin(terminal.slave)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = File::from(terminal.master);
    let mut said = child.stderr.take().unwrap();
    let mut complaint = Vec::new();
    for line in lines {
        wait_for_question(&mut said, &mut complaint);
        keyboard.write_all(line.as_bytes()).unwrap();
    }
    said.read_to_end(&mut complaint).unwrap();
    let succeeded = child.wait().unwrap().success();
    // The terminal's other end is closed: what is left to read ends.
    let echo = thread::spawn(move || {
        let mut echo = Vec::new();
        let _ = keyboard.read_to_end(&mut echo);
        String::from_utf8_lossy(&echo).into_owned()
    });
    let revealed = command(&["get", "app", "a", "--reveal"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    Answer {
        succeeded,
        complaint: String::from_utf8_lossy(&complaint).into_owned(),
        echo: echo.join().unwrap(),
        stored: String::from_utf8_lossy(&revealed.stdout).into_owned(),
    }
}

/// Reads until the program asks, or ends.
fn wait_for_question(said: &mut impl Read, heard: &mut Vec<u8>) {
    let mut byte = [0];
    while said.read(&mut byte).unwrap() == 1 {
        heard.push(byte[0]);
        if byte == *b" " && heard.ends_with(b": ") {
            return;
        }
    }
}

#[test]
fn a_value_that_is_typed_twice_is_stored_and_never_shown() {
    let answer = typed(&["hunter2\n", "hunter2\n"]);
    assert!(answer.succeeded, "{}", answer.complaint);
    assert_eq!(answer.stored, "hunter2");
    for shown in [&answer.echo, &answer.complaint] {
        assert!(!shown.contains("hunter2"), "{shown:?}");
    }
}

#[test]
fn two_values_that_differ_store_nothing() {
    let answer = typed(&["hunter2\n", "hunter3\n"]);
    assert!(!answer.succeeded);
    assert!(
        answer.complaint.contains("the two values differ"),
        "{}",
        answer.complaint
    );
    assert_eq!(answer.stored, "");
}

#[test]
fn an_input_that_ends_before_its_line_stores_nothing() {
    let answer = typed(&["\u{4}"]);
    assert!(!answer.succeeded);
    assert!(
        answer.complaint.contains("nothing was changed"),
        "{}",
        answer.complaint
    );
    assert_eq!(answer.stored, "");
}
