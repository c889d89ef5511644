//! The command is the process that was started, and as free as it would be without us.

use std::{fs, os::unix::fs::MetadataExt, os::unix::process::ExitStatusExt};

use rustix::process::Signal;

use crate::machine::{Machine, Running, feed, text};

fn machine() -> Option<Machine> {
    let machine = Machine::of_ordinary_user()?;
    machine.set("app", "a", "x");
    Some(machine)
}

#[test]
fn the_command_has_the_pid_of_the_program_and_is_told_its_signals() {
    let Some(machine) = machine() else { return };
    let script = "trap 'echo got it; exit 7' USR1; echo $$; while :; do sleep 0.05; done";
    let command = machine.start(&[], script);
    assert_eq!(command.first_line, command.pid().to_string());
    assert_eq!(command.end(Signal::USR1).code(), Some(7));
    let command = machine.start_waiting();
    assert_eq!(
        command.end(Signal::TERM).signal(),
        Some(Signal::TERM.as_raw())
    );
}

#[test]
fn the_exit_status_is_the_command_s() {
    let Some(machine) = machine() else { return };
    for code in [0, 1, 42] {
        let output = machine.run(&[], &format!("exit {code}"));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn a_command_that_is_not_there_ends_with_127_and_one_that_cannot_be_run_with_126() {
    let Some(machine) = machine() else { return };
    let file = machine.write("no-program", "text");
    for (command, code) in [
        ("no-such-program-42", 127),
        ("/nowhere/at/all", 127),
        (&file, 126),
    ] {
        let mut run = machine.secretvault(["run", "--allow-swap", "--vault", "app", "--", command]);
        let output = run.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command}");
        assert!(text(&output.stderr).starts_with(&format!("secretvault: {command} ")));
    }
}

#[test]
fn standard_input_is_the_command_s_and_its_options_are_not_ours() {
    let Some(machine) = machine() else { return };
    let output = feed(machine.run_command(&[], "cat"), "through");
    assert_eq!(text(&output.stdout), "through");
    let mut run = machine.secretvault(["run", "--allow-swap", "--vault", "app"]);
    run.args(["echo", "--env", "-n", "--", "x"]);
    assert_eq!(text(&run.output().unwrap().stdout), "--env -n -- x\n");
}

/// What a process' `status` says about what it may do.
fn rights(process: &Running) -> Vec<String> {
    let fields = [
        "Umask:",
        "Uid:",
        "Gid:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
        "SigBlk:",
        "SigIgn:",
    ];
    let status = process.proc("status");
    let about = |line: &&str| fields.iter().any(|field| line.starts_with(field));
    status.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn the_command_is_as_free_as_it_would_be_without_us() {
    let Some(machine) = machine() else { return };
    let with_us = machine.start_waiting();
    let mut without_us = machine.command("sh");
    without_us.args(["-c", "echo ready; exec sleep 1000"]);
    let without_us = Running::start(without_us);
    assert_eq!(rights(&with_us), rights(&without_us));
    assert_eq!(rights(&with_us).len(), 11);
    assert_eq!(with_us.proc("limits"), without_us.proc("limits"));
    // What a process hides is root's.
    for process in [&with_us, &without_us] {
        let environment = format!("/proc/{}/environ", process.pid());
        assert_eq!(fs::metadata(environment).unwrap().uid(), machine.uid());
    }
}

#[test]
fn nothing_is_started_where_the_files_cannot_be_had() {
    let Some(machine) = machine() else { return };
    for (options, told) in [
        (["--items", "b"], "entry b is not in vault default/app"),
        (["--vault", "ap"], "vault default/ap does not exist"),
        (["--mode", "4755"], "--mode: "),
        (["--as", "web"], "NAMESPACE:ACCOUNT"),
    ] {
        let output = machine.run(&options, "echo started");
        assert_eq!(text(&output.stdout), "");
        assert!(
            text(&output.stderr).contains(told),
            "{}",
            text(&output.stderr)
        );
        assert!(matches!(output.status.code(), Some(1 | 2)));
    }
}
