//! As a container's process 1, and what only root can look at.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    fixture::{PROGRAM, Running, Volume, code, kill, output, plain, printed, reachable, text},
    signals::child_of,
};

/// The launcher as process 1 of a namespace.
fn first_process(volume: &Volume, script: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--pid",
        "--fork",
        "--mount-proc",
        PROGRAM,
        "run",
        "--files",
        volume.text(),
    ]);
    unshare.args([
        "--env",
        "--on-change",
        "signal:HUP",
        "--",
        "bash",
        "-c",
        script,
    ]);
    plain(&mut unshare);
    unshare
}

fn volume() -> Volume {
    Volume::of(&[("token", b"t-1")])
}

#[test]
#[ignore = "needs root"]
fn it_is_process_1_and_the_command_is_not() {
    let volume = volume();
    let script = "echo $PPID $$ $TOKEN; cat /proc/1/comm";
    let printed = printed(&mut first_process(&volume, script));
    assert_eq!(printed, "1 2 t-1\nsecretvault-lau\n");
}

#[test]
#[ignore = "needs root"]
fn orphans_are_reaped_while_the_command_runs() {
    let volume = volume();
    // Each inner shell ends before its child does, which then is process 1's. On a busy machine it
    // takes a while until they have ended; those that nobody reaps stay.
    let script = "for i in 1 2 3 4 5; do (sleep 0.1 & exec true); done; \
                  while ps -o pid= --ppid 1 | grep -qvw $$ && ((SECONDS < 60)); do sleep 0.1; done; \
                  grep -l '^State:.Z' /proc/[0-9]*/status; ps -e -o ppid= -o comm= | grep -c sleep; exit 6";
    let output = output(&mut first_process(&volume, script));
    assert_eq!(text(&output.stdout), "0\n");
    assert_eq!(code(output.status), 6);
}

#[test]
#[ignore = "needs root"]
fn an_orphan_that_ends_with_a_code_is_not_taken_for_the_command() {
    let volume = volume();
    let script = "(bash -c 'sleep 0.1; exit 77' &); sleep 0.4; exit 5";
    let output = output(&mut first_process(&volume, script));
    assert_eq!(code(output.status), 5);
}

#[test]
#[ignore = "needs root"]
fn when_the_command_ends_so_does_everything_else() {
    let volume = volume();
    let script = "setsid sleep 4242 & exit 0";
    let output = output(&mut first_process(&volume, script));
    assert_eq!(code(output.status), 0);
    let left = Command::new("pgrep").args(["-f", "^sleep 4242"]).status();
    assert_eq!(left.unwrap().code(), Some(1));
}

#[test]
#[ignore = "needs root"]
fn signals_and_changes_reach_the_command_of_process_1() {
    let mut volume = volume();
    let script = "trap 'echo changed' HUP; trap 'echo asked to end; exit 0' TERM; echo ready; \
                  while :; do sleep 0.01; done";
    let running = Running::ready(first_process(&volume, script));
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(running.line(), "changed");
    kill(&format!("-15 {}", child_of(running.pid())));
    assert_eq!(running.line(), "asked to end");
    assert_eq!(code(running.end()), 0);
}

#[test]
#[ignore = "needs root"]
fn a_command_without_handlers_ends_at_the_first_request() {
    let volume = volume();
    // As process 1 itself it would not, until it is killed.
    let running = Running::ready(first_process(&volume, "echo ready; exec sleep 60"));
    kill(&format!("-15 {}", child_of(running.pid())));
    assert_eq!(code(running.end()), 128 + 15);
}

#[test]
#[ignore = "needs root"]
fn in_a_shared_namespace_nobody_else_is_signalled() {
    // Of the same name, with the same handler, and started before.
    let mut volume = volume();
    let script = "trap 'echo changed' HUP; echo ready; while :; do sleep 0.01; done";
    let mut bystander = Command::new("bash");
    bystander.args(["-c", script]).stdin(Stdio::null());
    let bystander = Running::ready(bystander);
    let running = Running::ready(volume.sh(&["--on-change", "signal:HUP"], script));
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(running.line(), "changed");
    assert_eq!(bystander.line_within(Duration::from_millis(300)), None);
    for running in [running, bystander] {
        running.kill(15);
        running.end();
    }
}

#[test]
#[ignore = "needs root"]
fn an_arbitrary_user_without_any_right_installs_and_runs() {
    let volume = volume();
    let directory = tempfile::tempdir().unwrap();
    let shared = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), shared).unwrap();
    let original = directory.path().join("original");
    reachable(&original);
    let copy = directory.path().join("launcher");
    let user = |program: &std::path::Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1000680000", "--regid", "0", "--clear-groups"]);
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]);
        command.arg(program);
        plain(&mut command);
        command
    };
    for _ in 0..2 {
        assert_eq!(printed(user(&original).arg("install").arg(&copy)), "");
    }
    let mut run = user(&copy);
    run.args([
        "run",
        "--env",
        "--on-change",
        "signal:HUP",
        "--files",
        volume.text(),
    ]);
    run.args(["--", "sh", "-c", "echo $TOKEN $(id -u)"]);
    assert_eq!(printed(&mut run), "t-1 1000680000\n");
}
