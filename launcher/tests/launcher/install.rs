//! The copy that the pod's containers execute.

use std::process::Command;

use crate::fixture::{PROGRAM, Volume, output, printed, text};

#[test]
fn what_was_installed_runs_commands_and_can_be_installed_again() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("launcher");
    for _ in 0..2 {
        let mut install = Command::new(PROGRAM);
        assert_eq!(printed(install.arg("install").arg(&copy)), "");
        let mut run = Command::new(&copy);
        assert_eq!(printed(run.args(["run", "--", "echo", "x"])), "x\n");
    }
    let volume = Volume::of(&[("token", b"t-1")]);
    let mut run = Command::new(&copy);
    run.args(["run", "--env", "--on-change", "signal:HUP", "--files"]);
    run.arg(volume.path())
        .args(["--", "sh", "-c", "echo $TOKEN"]);
    assert_eq!(printed(&mut run), "t-1\n");
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let mut install = Command::new(PROGRAM);
    let output = output(install.args(["install", "/proc/launcher"]));
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output.stderr).contains("/proc/launcher"),
        "{output:?}"
    );
}
