//! Signals that arrive at the parent.

use std::{os::unix::process::CommandExt, process::Stdio, time::Duration};

use crate::fixture::{Running, Volume, code, kill};

const PARENT: &[&str] = &["--on-change", "signal:HUP"];

fn volume() -> Volume {
    Volume::of(&[("token", b"t-1")])
}

/// All that can be caught, but for news of children and the two that the C library keeps.
fn forwardable() -> impl Iterator<Item = i32> {
    let never = [9, 17, 19, 32, 33];
    (1..=64).filter(move |number| !never.contains(number))
}

#[test]
fn every_signal_that_can_be_caught_is_passed_on_but_for_that_of_children() {
    let volume = volume();
    let numbers: Vec<String> = forwardable().map(|number| number.to_string()).collect();
    // A shell would have children of its own. perl handles faults at once, in the middle of a print.
    let perl = format!(
        "$| = 1; use POSIX; for my $n ({}, 17) {{ POSIX::sigaction($n, POSIX::SigAction->new(sub {{ syswrite STDOUT, \"$n\\n\" }})); }} \
         print \"ready\\n\"; select(undef, undef, undef, 0.01) while 1;",
        numbers.join(", ")
    );
    let running = Running::ready(volume.run(PARENT, ["perl", "-e", &perl]));
    for number in forwardable() {
        running.kill(number);
        assert_eq!(running.line(), number.to_string());
    }
    running.kill(17);
    assert_eq!(running.line_within(Duration::from_millis(300)), None);
    running.kill(10);
    assert_eq!(running.line(), "10");
    kill(&format!("-9 -{}", child_of(running.pid())));
    assert_eq!(code(running.end()), 128 + 9);
}

#[test]
fn a_signal_that_arrives_before_the_command_runs_is_not_lost() {
    let volume = volume();
    for round in 0..50 {
        let running = Running::start(volume.run(PARENT, ["sleep", "60"]));
        // As soon as it has taken signals over, and at any moment after.
        while !blocks_signals(running.pid()) {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(round * 40));
        running.kill(15);
        assert_eq!(code(running.end()), 128 + 15);
    }
}

#[test]
fn a_group_signal_of_the_command_s_does_not_come_back_through_its_parent() {
    let volume = volume();
    let script = "trap 'echo got; n=$((n + 1))' USR1; kill -USR1 0; sleep 0.3; exit $n";
    let mut run = volume.sh(PARENT, script);
    // Not this test's own group, should it ever come out of the command's.
    run.process_group(0);
    let running = Running::start(run);
    assert_eq!(running.line(), "got");
    assert_eq!(code(running.end()), 1);
}

#[test]
fn a_command_that_stopped_can_go_on() {
    let volume = volume();
    let script = "trap 'echo went on; exit 3' CONT; echo ready; while :; do sleep 0.01; done";
    let running = Running::ready(volume.sh(PARENT, script));
    kill(&format!("-STOP {}", child_of(running.pid())));
    running.kill(18);
    assert_eq!(running.line(), "went on");
    assert_eq!(code(running.end()), 3);
}

#[test]
fn a_parent_that_was_stopped_goes_on_and_passes_on_what_came_meanwhile() {
    let volume = volume();
    let script = "trap 'echo got' USR2; echo ready; while :; do sleep 0.01; done";
    let running = Running::ready(volume.sh(PARENT, script));
    running.kill(19);
    running.kill(12);
    assert_eq!(running.line_within(Duration::from_millis(200)), None);
    running.kill(18);
    assert_eq!(running.line(), "got");
    running.kill(15);
    assert_eq!(code(running.end()), 128 + 15);
}

#[test]
fn children_that_the_command_leaves_behind_do_not_keep_the_parent() {
    let volume = volume();
    let mut run = volume.sh(PARENT, "sleep 1 & exit 4");
    run.stdout(Stdio::null());
    assert_eq!(code(run.status().unwrap()), 4);
}

/// The only child of a process.
pub(crate) fn child_of(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

fn blocks_signals(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let blocked = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:\t"))
        .unwrap();
    u64::from_str_radix(blocked, 16).unwrap() & (1 << 14) != 0
}
