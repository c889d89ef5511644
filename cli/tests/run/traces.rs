//! What is left of a command, and where its values are while it runs.

use std::{fs, path::Path};

use rustix::process::Signal;

use crate::machine::{Machine, Running};

const CANARY: &str = "canary-5f1d3c";

fn machine() -> Option<Machine> {
    let machine = Machine::of_ordinary_user()?;
    machine.set("app", "a", CANARY);
    Some(machine)
}

/// Which of our names are in `/run`: others come and go there at any time.
fn ours_in_run() -> [bool; 2] {
    ["/run/secrets", "/run/secretvault"].map(|path| Path::new(path).exists())
}

#[test]
fn nothing_is_left_of_a_command_however_it_ends() {
    let Some(machine) = machine() else { return };
    let before = ours_in_run();
    for signal in [Signal::TERM, Signal::KILL] {
        let command = machine.start_waiting();
        let during = fs::read_to_string("/proc/self/mountinfo").unwrap();
        command.end(signal);
        let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for mounts in [during, after] {
            let ours = mounts
                .lines()
                .find(|line| line.contains("tmpfs secretvault-run"));
            assert_eq!(ours, None);
        }
        assert_eq!(ours_in_run(), before);
    }
}

/// All files below a directory.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

fn holds_canary(bytes: &[u8]) -> bool {
    bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes())
}

fn environment_of(command: &Running) -> String {
    command.proc("environ")
}

#[test]
fn a_value_is_in_the_command_s_files_and_nowhere_else() {
    let Some(machine) = machine() else { return };
    let command = machine.start_waiting();
    assert_eq!(command.secret("a").as_deref(), Some(CANARY));
    assert!(!holds_canary(environment_of(&command).as_bytes()));
    assert!(!holds_canary(command.proc("cmdline").as_bytes()));
    let marker = fs::read(command.sees("/run/secretvault/run.json")).unwrap();
    assert!(!marker.is_empty() && !holds_canary(&marker));
    let stored = contents(&machine.store());
    assert!(
        stored
            .iter()
            .any(|(path, _)| path.ends_with("default.app.yaml"))
    );
    for (path, content) in stored {
        assert!(!holds_canary(&content), "{path}");
    }
}

#[test]
fn with_env_a_value_is_in_the_environment_and_the_marker_has_none_still() {
    let Some(machine) = machine() else { return };
    let command = machine.start(&["--env"], "echo ready; exec sleep 1000");
    assert!(holds_canary(environment_of(&command).as_bytes()));
    let marker = fs::read(command.sees("/run/secretvault/run.json")).unwrap();
    assert!(!marker.is_empty() && !holds_canary(&marker));
}
