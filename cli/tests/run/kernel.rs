//! Kernels that do not give what is needed: nothing is started, and the way out is named.

use std::process::Output;

use crate::machine::{Machine, text};

fn machine() -> Option<Machine> {
    let machine = Machine::of_ordinary_user()?;
    machine.set("app", "a", "x");
    Some(machine)
}

/// Runs a command with secrets on a machine whose `/proc/swaps` says this.
fn with_swaps(machine: &Machine, swaps: &str, options: &str) -> Output {
    let swaps = machine.write(
        "swaps",
        &format!("Filename Type Size Used Priority\n{swaps}"),
    );
    let program = machine.program();
    let script = format!(
        "mount --bind {swaps} /proc/swaps && exec unshare -U --map-user=1000 --map-group=1000 \
         {program} run --vault app {options} -- echo started"
    );
    let mut command = machine.command("unshare");
    command.args(["-U", "-r", "-m", "sh", "-c", &script]);
    command.output().unwrap()
}

#[test]
fn where_secrets_could_be_swapped_to_a_disk_nothing_is_started_unless_that_is_allowed() {
    let Some(machine) = machine() else { return };
    let disk = "/dev/no-such-disk partition 8 0 -2\n";
    let refused = with_swaps(&machine, disk, "");
    let errors = text(&refused.stderr);
    assert_eq!(
        (refused.status.code(), text(&refused.stdout)),
        (Some(1), String::new())
    );
    assert!(
        errors.contains("/dev/no-such-disk") && errors.contains("--allow-swap"),
        "{errors}"
    );
    let allowed = with_swaps(&machine, disk, "--allow-swap");
    assert_eq!(
        text(&allowed.stdout),
        "started\n",
        "{}",
        text(&allowed.stderr)
    );
    let none = with_swaps(&machine, "", "");
    assert_eq!(text(&none.stdout), "started\n", "{}", text(&none.stderr));
}

#[test]
fn where_there_are_no_user_namespaces_the_setting_is_named_and_nothing_is_written() {
    let Some(machine) = machine() else { return };
    let program = machine.program();
    // The setting of a nested namespace: the machine's own stays as it is.
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {program} run --vault app -- echo started"
    );
    let mut command = machine.command("unshare");
    command.args([
        "-U",
        "--map-current-user",
        "--keep-caps",
        "sh",
        "-c",
        &script,
    ]);
    let output = command.output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), String::new())
    );
    assert!(
        errors.contains("user.max_user_namespaces is 0: root can run"),
        "{errors}"
    );
}
