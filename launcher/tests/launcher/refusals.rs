//! What is refused: by name, with a remedy, without a value, and before the command runs.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, fs::symlink, process::CommandExt},
    process::Command,
};

use rustix::process::geteuid;

use crate::fixture::{PROGRAM, Volume, code, output, plain, reachable, text};

type Files<'a> = &'a [(&'a str, &'a [u8])];

const CANARY: &[u8] = b"canary-hunter2";

/// Runs a command that would print something, and returns the complaint.
fn refused(mut run: Command) -> String {
    let output = output(&mut run);
    let complaint = text(&output.stderr);
    assert_eq!(code(output.status), 125, "{complaint}");
    assert_eq!(text(&output.stdout), "", "the command ran");
    assert!(
        !complaint.contains("hunter2"),
        "a value is shown: {complaint}"
    );
    assert!(
        complaint.starts_with("secretvault-launcher: "),
        "{complaint}"
    );
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    complaint
}

/// With and without a parent that stays.
fn both(volume: &Volume, says: &[&str], change: impl Fn(&mut Command)) {
    for flags in [&["--env"][..], &["--env", "--on-change", "signal:HUP"]] {
        let mut run = volume.run(flags, ["echo", "it runs"]);
        change(&mut run);
        let complaint = refused(run);
        for text in says {
            assert!(
                complaint.contains(text),
                "does not say {text:?}: {complaint}"
            );
        }
    }
}

#[test]
fn no_refusal_shows_a_value_and_each_names_the_file() {
    let long = CANARY.repeat(20_000);
    let table: &[(Files, &[&str])] = &[
        (
            &[("a", CANARY), ("key.bin", b"hunter2\0")],
            &["file key.bin", "zero byte"],
        ),
        (&[("a.b", CANARY), ("a-b", CANARY)], &["a.b", "a-b", "A_B"]),
        (
            &[("ld/preload", CANARY)],
            &["file ld/preload", "LD_PRELOAD"],
        ),
        (&[("taken", CANARY)], &["file taken", "TAKEN", "already"]),
        (&[("long", &long)], &["file long", "280000 bytes"]),
        (&[("with space", CANARY)], &["\"with space\""]),
    ];
    for (files, says) in table {
        both(&Volume::of(files), says, |run| {
            run.env("TAKEN", "by the pod");
        });
    }
}

#[test]
fn variables_that_are_too_much_together_are_refused_by_the_file_that_is_too_much() {
    let value = CANARY.repeat(5000);
    let files: Vec<(String, &[u8])> = (0..120)
        .map(|number| (format!("n{number}"), &value[..]))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, value)| (path.as_str(), *value))
        .collect();
    both(
        &Volume::of(&files),
        &["with file n", "more than the"],
        |_| (),
    );
}

#[test]
fn what_is_no_file_is_refused() {
    let volume = Volume::of(&[("a", CANARY)]);
    symlink("a", volume.in_force().join("link")).unwrap();
    both(&volume, &["\"link\""], |_| ());
}

#[test]
fn a_file_that_the_user_may_not_read_is_refused_with_the_way_out() {
    let volume = Volume::of(&[("a", CANARY)]);
    let file = volume.in_force().join("a");
    fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut copy = None;
    if geteuid().is_root() {
        // Where a user that is not root reaches it.
        let path = volume.path().join("launcher");
        reachable(&path);
        copy = Some(path);
    }
    let program = copy.unwrap_or_else(|| PROGRAM.into());
    for flags in [&[][..], &["--on-change", "signal:HUP"]] {
        let mut run = Command::new(&program);
        run.args(["run", "--env", "--files", volume.text()]);
        run.args(flags).args(["--", "echo", "it runs"]);
        plain(&mut run);
        if geteuid().is_root() {
            run.uid(65534);
        }
        let complaint = refused(run);
        assert!(
            complaint.contains("file a ") && complaint.contains("mode"),
            "{complaint}"
        );
    }
}

#[test]
fn a_directory_that_is_not_there_or_no_volume_is_refused_where_it_is_needed() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let stray = tempfile::tempdir().unwrap();
    fs::write(stray.path().join("token"), CANARY).unwrap();
    let stray = stray.path().to_str().unwrap();
    for flags in [&["--env"][..], &["--on-change", "signal:HUP"]] {
        for directory in ["/no/such/directory", empty, stray] {
            let mut run = Command::new(PROGRAM);
            run.args(["run", "--files", directory]).args(flags);
            run.args(["--", "echo", "it runs"]);
            let complaint = refused(run);
            for text in [directory, "mount-path"] {
                assert!(complaint.contains(text), "{complaint}");
            }
        }
    }
}

#[test]
fn signals_that_no_program_can_take_as_a_change_are_refused() {
    for signal in ["KILL", "STOP", "SEGV", "SIGHUP", "hup", "1", ""] {
        let mut run = Command::new(PROGRAM);
        run.args([
            "run",
            "--on-change",
            &format!("signal:{signal}"),
            "--",
            "echo",
            "it runs",
        ]);
        let complaint = refused(run);
        assert!(
            complaint.contains("HUP, INT, QUIT, TERM, USR1, USR2, WINCH"),
            "{complaint}"
        );
    }
}

#[test]
fn a_command_line_that_is_not_understood_runs_nothing() {
    for words in [
        &["run", "echo", "it runs"][..],
        &["run", "--evn", "--", "echo"],
        &["exec"],
        &[],
    ] {
        let mut run = Command::new(PROGRAM);
        run.args(words);
        refused(run);
    }
}
