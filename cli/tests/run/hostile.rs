//! Namespaces that somebody else administers, or could, and that look like a running command's: no
//! value ever gets there. Beside each a real command gets the value, and each kind of forgery has a
//! twin that gets it too: without it a mistake in the forgery would look like safety.

use std::{fs, process::Command};

use crate::machine::{Machine, NOBODY, Running, feed, text};

/// Sets a value, which a real command gets: whether the other one got it too, and what was told.
fn set_a_value(machine: &Machine, real: &Running, other: &Running) -> (bool, String) {
    let told = machine.set("app", "a", "new");
    assert_eq!(real.secret("a").as_deref(), Some("new"), "{told}");
    (other.secret("a").as_deref() == Some("new"), told)
}

fn with_real_command(machine: Machine) -> (Machine, Running) {
    machine.set("app", "a", "old");
    let real = machine.start_waiting();
    (machine, real)
}

/// Starts a real command in namespaces that these words make.
fn start_within(words: &str, machine: &Machine, options: &[&str]) -> Running {
    let run = machine.run_command(options, "echo ready; exec sleep 1000");
    let mut words = words.split(' ');
    let mut command = machine.command(words.next().unwrap());
    command.args(words).arg(machine.program());
    command.args(run.get_args().skip_while(|word| *word != "run"));
    Running::start(command)
}

/// Whether a value gets to a real command in namespaces that these words make, and what is told.
fn set_a_value_beside(words: &str, machine: Machine, options: &[&str]) -> (bool, String) {
    let (machine, real) = with_real_command(machine);
    let other = start_within(words, &machine, options);
    assert_eq!(other.secret("a").as_deref(), Some("old"));
    set_a_value(&machine, &real, &other)
}

#[test]
fn no_value_gets_to_where_the_user_is_root_as_in_a_container() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let (gets_it, _) = set_a_value_beside("unshare -U -r -m", machine, &[]);
    assert!(!gets_it);
}

#[test]
fn no_value_gets_to_where_the_user_is_root_and_only_the_group_is_the_same() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let group = machine.command("id").arg("-g").output().unwrap();
    let group = text(&group.stdout).trim().to_owned();
    let words = format!("unshare -U --map-user=0 --map-group={group} -m");
    let (gets_it, told) = set_a_value_beside(&words, machine, &["--gid", &group]);
    // Not because files could not be given to their owner there: then it would have been written.
    assert!(
        !gets_it && told.contains("its namespace is not as `run` made it"),
        "{told}"
    );
}

#[test]
fn no_value_gets_into_a_sandbox_within_a_sandbox() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let words = "unshare -U --map-current-user";
    let (gets_it, _) = set_a_value_beside(words, machine, &[]);
    assert!(!gets_it);
}

#[test]
fn a_value_gets_to_a_command_behind_a_program_that_makes_no_namespace() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let (gets_it, _) = set_a_value_beside("env --", machine, &[]);
    assert!(gets_it);
}

#[test]
#[ignore = "needs root: make test"]
fn no_value_of_root_gets_into_a_user_namespace_even_if_its_root_is_root() {
    let (gets_it, _) = set_a_value_beside("unshare -U -r -m", Machine::of_root(), &[]);
    assert!(!gets_it);
}

/// A namespace that looks like that of a command of root's.
struct Forgery {
    /// Who makes the namespace, and with which words of `unshare`.
    namespaces: (u32, &'static str),
    /// Whose the marker's directory, the marker and the volume are.
    owners: [u32; 3],
    /// What the mount on `/run` is called.
    run: &'static str,
    /// What the mounts on `/run/secrets` are called, of which the last is seen.
    volumes: &'static [&'static str],
}

/// Right in everything.
const TWIN: Forgery = Forgery {
    namespaces: (0, "-m"),
    owners: [0; 3],
    run: "secretvault-run",
    volumes: &["secretvault"],
};

impl Forgery {
    /// Makes it, with the marker of a command that really runs. The mounts are made by root from
    /// outside, who can make them in every namespace, so that only what is under test differs.
    fn make(&self, marker: &str) -> Running {
        let (maker, words) = (self.namespaces.0.to_string(), self.namespaces.1);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &maker, "--regid", &maker, "--clear-groups"]);
        command.arg("unshare").args(words.split(' '));
        command.args(["sh", "-c", "echo ready; exec sleep 1000"]);
        let forged = Running::start(command);
        let [of_directory, of_marker, of_volume] = self.owners;
        let (run, volumes) = (self.run, self.volumes.join(" "));
        let script = format!(
            "set -e
            mount -t tmpfs -o mode=755 {run} /run
            mkdir -m 700 /run/secretvault
            mkdir /run/secrets
            cat > /run/secretvault/run.json
            chmod 600 /run/secretvault/run.json
            for volume in {volumes}; do
                mount -t tmpfs -o mode=755 $volume /run/secrets
            done
            chown {of_directory} /run/secretvault
            chown {of_marker} /run/secretvault/run.json
            chown {of_volume} /run/secrets"
        );
        let mut enter = Command::new("nsenter");
        enter.args(["-m", "-t", &forged.pid().to_string(), "sh", "-c", &script]);
        let made = feed(enter, marker);
        assert!(made.status.success(), "{}", text(&made.stderr));
        forged
    }

    /// Whether a value that root sets gets there.
    fn gets_a_value(&self) -> bool {
        let (machine, real) = with_real_command(Machine::of_root());
        let marker = fs::read_to_string(real.sees("/run/secretvault/run.json")).unwrap();
        let forged = self.make(&marker);
        let (got, _) = set_a_value(&machine, &real, &forged);
        let there = fs::read_dir(forged.sees("/run/secrets")).unwrap().count();
        assert_eq!(got, there > 0, "nothing else is written either");
        got
    }
}

#[test]
#[ignore = "needs root: make test"]
fn what_is_right_in_everything_gets_a_value() {
    assert!(TWIN.gets_a_value());
}

#[test]
#[ignore = "needs root: make test"]
fn what_somebody_else_owns_a_part_of_gets_nothing() {
    for owners in [[NOBODY, 0, 0], [0, NOBODY, 0], [0, 0, NOBODY]] {
        assert!(!Forgery { owners, ..TWIN }.gets_a_value(), "{owners:?}");
    }
}

#[test]
#[ignore = "needs root: make test"]
fn what_another_user_administers_gets_nothing_whoever_owns_it() {
    for namespaces in ["-U -r -m", "-U --map-current-user -m"] {
        for owners in [[0; 3], [NOBODY; 3]] {
            let namespaces = (NOBODY, namespaces);
            let forgery = Forgery {
                namespaces,
                owners,
                ..TWIN
            };
            assert!(!forgery.gets_a_value(), "{namespaces:?} {owners:?}");
        }
    }
}

/// As in a pod that has one of the node agent's volumes: whoever is root there writes into `/run`.
#[test]
#[ignore = "needs root: make test"]
fn what_is_on_mounts_that_are_not_ours_gets_nothing() {
    for run in ["tmpfs", "secretvault"] {
        assert!(!Forgery { run, ..TWIN }.gets_a_value(), "{run}");
    }
    for volumes in [&["tmpfs"][..], &["secretvault", "tmpfs"]] {
        assert!(!Forgery { volumes, ..TWIN }.gets_a_value(), "{volumes:?}");
    }
}
