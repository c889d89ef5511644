//! Files that change while the command runs.

use std::{
    fs, iter,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::fixture::{PATIENCE, PROGRAM, Running, Volume, code, plain};

fn on(signal: &str) -> [String; 2] {
    ["--on-change".to_owned(), format!("signal:{signal}")]
}

/// Prints the file at each signal.
fn reader(volume: &Volume, signal: &str) -> Command {
    let script = format!(
        "trap 'echo $(cat {}/..data/token)' {signal}; echo ready; while :; do sleep 0.01; done",
        volume.text()
    );
    let [flag, value] = on(signal);
    volume.sh(&[&flag, &value], &script)
}

fn end(running: Running) {
    running.kill(15);
    assert_eq!(code(running.end()), 128 + 15);
}

#[test]
fn each_signal_tells_of_a_change_that_is_there_already() {
    for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"] {
        let mut volume = Volume::of(&[("token", b"t-1")]);
        let running = Running::ready(reader(&volume, signal));
        for value in ["t-2", "t-3"] {
            volume.swap(&[("token", value.as_bytes())]);
            assert_eq!(running.line(), value, "{signal}");
        }
        end(running);
    }
}

#[test]
fn a_change_may_end_the_command() {
    let mut volume = Volume::of(&[("token", b"t-1")]);
    let [flag, value] = on("TERM");
    let running = Running::ready(volume.sh(&[&flag, &value], "echo ready; exec sleep 60"));
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(code(running.end()), 128 + 15);
}

#[test]
fn a_thousand_swaps_are_few_signals_and_the_last_one_is_told() {
    let mut volume = Volume::of(&[("token", b"0")]);
    let running = Running::ready(reader(&volume, "HUP"));
    let start = Instant::now();
    for number in 1..=1000 {
        volume.swap(&[("token", number.to_string().as_bytes())]);
    }
    let took = start.elapsed();
    // What a signal tells of may be swapped once more before the command reads it. And a shell may
    // find the file gone in that moment: then its line is empty.
    let mut told = Vec::from([running.line()]);
    while told.last().is_none_or(|line| line != "1000") {
        told.push(running.line());
    }
    // On a busy machine the writer pauses: each pause may be the end of a burst.
    let most = usize::try_from(took.as_millis() / 20 + 2).unwrap();
    // And the shell is late: signals that came while it read the last value tell of it again.
    let again = iter::from_fn(|| running.line_within(Duration::from_secs(1)));
    told.extend(again.take(most));
    assert!(told.len() <= most, "{told:?} in {took:?}");
    let mut after = told.iter().skip_while(|line| *line != "1000");
    assert!(after.all(|line| line == "1000"), "{told:?}");
    end(running);
}

#[test]
fn swaps_far_apart_are_each_told() {
    let mut volume = Volume::of(&[("token", b"0")]);
    let running = Running::ready(reader(&volume, "USR1"));
    for number in 1..=30 {
        volume.swap(&[("token", number.to_string().as_bytes())]);
        assert_eq!(running.line(), number.to_string());
    }
    end(running);
}

#[test]
fn what_is_no_swap_is_not_told() {
    let volume = Volume::of(&[("token", b"t-1")]);
    let running = Running::ready(reader(&volume, "HUP"));
    fs::write(volume.path().join("stray"), "x").unwrap();
    fs::rename(volume.path().join("stray"), volume.path().join("moved")).unwrap();
    // The same generation once more.
    let data = fs::read_link(volume.path().join("..data")).unwrap();
    std::os::unix::fs::symlink(data, volume.path().join("..data_tmp")).unwrap();
    fs::rename(
        volume.path().join("..data_tmp"),
        volume.path().join("..data"),
    )
    .unwrap();
    assert_eq!(running.line_within(Duration::from_millis(400)), None);
    end(running);
}

#[test]
fn a_command_without_a_handler_is_not_ended_by_a_change_and_is_told_when_it_has_one() {
    let mut volume = Volume::of(&[("token", b"t-1")]);
    // It tells that it lives before it has a handler: after that, the signal could come first.
    let script =
        "echo ready; sleep 1; echo lives; trap 'echo got it' HUP; while :; do sleep 0.01; done";
    let [flag, value] = on("HUP");
    let running = Running::ready(volume.sh(&[&flag, &value], script));
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(running.line(), "lives");
    assert_eq!(running.line(), "got it");
    end(running);
}

#[test]
fn a_change_in_the_very_moment_of_the_start_does_not_end_the_command() {
    for round in 0..30 {
        let mut volume = Volume::of(&[("token", b"t-1")]);
        let [flag, value] = on("USR1");
        let flags = ["--env", &flag, &value];
        let running = Running::start(volume.sh(
            &flags,
            "trap 'exit 9' USR1; sleep 0.2; echo $TOKEN; while :; do sleep 0.01; done",
        ));
        sleep(Duration::from_micros(200 * round));
        volume.swap(&[("token", b"t-2")]);
        // Either it was started with the new value, or it is told of it, or both. With its end
        // its output ends too, so nothing waits for a line that never comes.
        let (line, ended) = (running.line_within(PATIENCE), running);
        if line.as_deref() == Some("t-2") {
            ended.kill(15);
            let code = code(ended.end());
            assert!([9, 143].contains(&code), "{code}");
        } else {
            assert_eq!(code(ended.end()), 9, "{line:?}");
        }
    }
}

#[test]
fn a_command_that_never_takes_the_signal_lives_and_somebody_is_told() {
    let mut volume = Volume::of(&[("token", b"t-1")]);
    let [flag, value] = on("USR2");
    let mut run = volume.sh(&[&flag, &value], "echo ready; exec sleep 600");
    run.stderr(Stdio::piped());
    let mut running = Running::ready(run);
    let complaints = running.complaints();
    volume.swap(&[("token", b"t-2")]);
    let complaint = complaints.recv_timeout(PATIENCE).unwrap();
    assert!(complaint.contains("does not take SIGUSR2"), "{complaint}");
    // It tries again meanwhile, but does not complain again.
    sleep(Duration::from_millis(1500));
    running.kill(15);
    assert_eq!(code(running.end()), 128 + 15);
    assert_eq!(complaints.recv().ok(), None);
}

#[test]
fn nobody_but_the_child_is_signalled() {
    let mut volume = Volume::of(&[("token", b"t-1")]);
    let inner = "trap \"echo grandchild\" HUP; while :; do sleep 0.01; done";
    let script = format!(
        "bash -c '{inner}' & grandchild=$!; trap 'echo child' HUP; \
         trap 'kill -9 $grandchild; exit 0' TERM; sleep 0.3; echo ready; while :; do sleep 0.01; done"
    );
    let [flag, value] = on("HUP");
    let running = Running::ready(volume.sh(&[&flag, &value], &script));
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(running.line(), "child");
    assert_eq!(running.line_within(Duration::from_millis(300)), None);
    running.kill(15);
    assert_eq!(code(running.end()), 0);
}

#[test]
fn a_volume_that_goes_is_no_change() {
    let volume = Volume::of(&[("token", b"t-1")]);
    let running = Running::ready(reader(&volume, "HUP"));
    fs::remove_dir_all(volume.path()).unwrap();
    assert_eq!(running.line_within(Duration::from_millis(300)), None);
    end(running);
}

#[test]
fn a_parent_with_nothing_to_do_does_nothing() {
    let volume = Volume::of(&[("token", b"t-1")]);
    let running = Running::ready(reader(&volume, "HUP"));
    let stat = || fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let switches = |status: String| {
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let before = switches(stat());
    sleep(Duration::from_secs(2));
    assert!(switches(stat()) - before <= 1);
    end(running);
}

#[test]
fn where_inotify_is_not_to_be_had_changes_are_found_within_a_second() {
    let mut volume = Volume::of(&[("token", b"t-1")]);
    let script = format!(
        "echo 0 > /proc/sys/user/max_inotify_instances && exec {PROGRAM} run --files {0} --on-change signal:HUP -- \
         bash -c 'trap \"cat {0}/..data/token; echo\" HUP; echo ready; while :; do sleep 0.01; done'",
        volume.text()
    );
    let mut run = Command::new("unshare");
    // The setting of a nested namespace: the machine's own stays as it is.
    run.args([
        "-U",
        "--map-current-user",
        "--keep-caps",
        "bash",
        "-c",
        &script,
    ]);
    plain(&mut run);
    run.stderr(Stdio::piped());
    let running = Running::start(run);
    let Some(first) = running.line_within(Duration::from_secs(20)) else {
        // This kernel gives ordinary users no user namespace.
        assert!(!rustix::process::geteuid().is_root());
        return;
    };
    assert_eq!(first, "ready");
    volume.swap(&[("token", b"t-2")]);
    assert_eq!(running.line(), "t-2");
    running.kill(15);
    let (status, complaint) = running.complaint();
    assert_eq!(code(status), 128 + 15);
    assert!(complaint.contains("max_user_instances"), "{complaint}");
}
