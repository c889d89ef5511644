//! What changes in the store comes into the commands that run.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

use crate::machine::{Machine, NOBODY, Running, eventually, text};

fn with(spec: &str) -> Option<(Machine, Running)> {
    let machine = Machine::of_ordinary_user()?;
    machine.apply("app", spec);
    let command = machine.start_waiting();
    Some((machine, command))
}

fn is_told(told: &str, command: &Running) {
    let line = format!("updated the running command {} (sleep)", command.pid());
    assert!(told.contains(&line), "{told}");
}

#[test]
fn a_value_that_is_set_is_in_the_file_when_set_returns() {
    let Some((machine, command)) = with("{data: {a: old, b: stays}}") else {
        return;
    };
    is_told(&machine.set("app", "a", "new"), &command);
    assert_eq!(command.secret("a").as_deref(), Some("new"));
    assert_eq!(command.secret("b").as_deref(), Some("stays"));
    assert_eq!(machine.set("app", "a", "new"), "", "nothing has changed");
}

#[test]
#[ignore = "needs root: make test"]
fn root_s_commands_are_updated_also_when_they_run_as_somebody_else() {
    let machine = Machine::of_root();
    machine.apply(
        "app",
        "{data: {a: old}, fileDefaults: {uid: 65534, mode: '0400'}}",
    );
    let script = "echo ready; exec setpriv --reuid 65534 --regid 65534 --clear-groups \
                  sh -c 'while ! grep -q new /run/secrets/a; do sleep 0.05; done; echo seen; exec sleep 1000'";
    let mut command = machine.start(&[], script);
    eventually("it runs as somebody else", || {
        command.proc("status").contains("Uid:\t65534")
    });
    let told = machine.set("app", "a", "new");
    assert!(
        told.contains(&format!("updated the running command {}", command.pid())),
        "{told}"
    );
    assert_eq!(command.line(), "seen");
    let mount = command.proc("mountinfo");
    let mount = mount
        .lines()
        .find(|line| line.contains(" /run/secrets "))
        .unwrap();
    assert!(
        mount.contains(" ro,") && mount.ends_with(",noswap"),
        "{mount}"
    );
}

#[test]
fn an_entry_that_is_new_is_a_file_that_is_new() {
    let Some((machine, command)) = with("{data: {a: x}}") else {
        return;
    };
    is_told(&machine.set("app", "deep/b", "y"), &command);
    assert_eq!(command.secret("deep/b").as_deref(), Some("y"));
    let link = fs::read_link(command.sees("/run/secrets/deep")).unwrap();
    assert_eq!(link.to_str(), Some("..data/deep"));
}

/// Reads both files of one generation again and again, and tells of every two that differ.
const READER: &str = "echo ready
while :; do
  generation=$(readlink /run/secrets/..data)
  cd \"/run/secrets/$generation\" 2>/dev/null || continue
  a=$(cat a 2>/dev/null) && b=$(cat b 2>/dev/null) || continue
  [ -n \"$a\" ] && [ \"$a\" = \"$b\" ] || echo \"mixed $a $b\"
  echo \"$a\"
  [ \"$a\" != last ] || exit 0
done";

#[test]
fn a_reader_sees_all_of_one_change_or_nothing_of_it() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let apply =
        |value: &str| machine.apply("app", &format!("{{data: {{a: {value}, b: {value}}}}}"));
    apply("first");
    let mut reader = machine.start(&[], READER);
    for change in 0..10 {
        apply(&format!("change{change}"));
    }
    apply("last");
    let mut seen = Vec::new();
    loop {
        let line = reader.line();
        if seen.last() != Some(&line) {
            seen.push(line.clone());
        }
        if line == "last" || line.is_empty() {
            break;
        }
    }
    assert!(
        seen.iter().all(|line| !line.starts_with("mixed")),
        "{seen:?}"
    );
    assert!(seen.len() > 3 && seen.last().unwrap() == "last", "{seen:?}");
}

#[test]
fn a_right_that_is_withdrawn_takes_the_file_away_whatever_on_delete_says() {
    let spec = "data: {a: x, b: y}, onDelete: Retain";
    let Some((machine, command)) = with(&format!("{{{spec}}}")) else {
        return;
    };
    let told = machine.apply("app", &format!("{{{spec}, access: [{{entries: [b]}}]}}"));
    is_told(&told, &command);
    assert!(
        told.contains("a goes: vault default/app no longer allows it"),
        "{told}"
    );
    assert_eq!(command.secret("a"), None);
    assert_eq!(command.secret("b").as_deref(), Some("y"));
    // And it stays away: what is held is noted anew.
    assert_eq!(machine.set("app", "a", "z").matches(" a ").count(), 0);
    assert_eq!(command.secret("a"), None);
}

#[test]
fn a_right_that_is_withdrawn_takes_the_file_away_also_while_another_vault_is_damaged() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.apply("app", "{data: {a: withdrawn}}");
    machine.apply("other", "{data: {b: kept}}");
    let command = machine.start_waiting_with(&["--vault", "other"]);
    assert_eq!(command.secret("a").as_deref(), Some("withdrawn"));
    let path = machine.store().join("default.other.yaml");
    let object = fs::read_to_string(&path).unwrap();
    fs::write(&path, object.replace("b: sv1:", "b: sv1:A")).unwrap();
    let told = machine.apply(
        "app",
        "{data: {a: withdrawn}, access: [{serviceAccounts: [x]}]}",
    );
    assert_eq!(command.secret("a"), None, "{told}");
    assert_eq!(command.secret("b").as_deref(), Some("kept"));
    assert!(told.contains("does not open"), "{told}");
}

#[test]
fn an_entry_that_is_removed_stays_or_goes_as_on_delete_says() {
    for (on_delete, left) in [("Retain", Some("x")), ("Remove", None)] {
        let spec = format!("{{data: {{a: x, b: y}}, onDelete: {on_delete}}}");
        let Some((machine, command)) = with(&spec) else {
            return;
        };
        let removed = machine
            .secretvault(["remove", "app", "a"])
            .output()
            .unwrap();
        assert!(removed.status.success(), "{}", text(&removed.stderr));
        assert_eq!(command.secret("a").as_deref(), left, "{on_delete}");
        // What is held is noted: a later change leaves it as it is.
        machine.set("app", "b", "z");
        assert_eq!(command.secret("a").as_deref(), left, "{on_delete}");
        assert_eq!(command.secret("b").as_deref(), Some("z"));
    }
}

#[test]
fn a_vault_that_is_deleted_leaves_its_files_if_it_says_so() {
    let Some((machine, command)) = with("{data: {a: x}, onDelete: Retain}") else {
        return;
    };
    let deleted = machine.secretvault(["delete", "app"]).output().unwrap();
    assert!(deleted.status.success(), "{}", text(&deleted.stderr));
    assert_eq!(command.secret("a").as_deref(), Some("x"));
}

#[test]
fn two_changes_at_once_are_both_there_in_the_end() {
    let Some((machine, command)) = with("{data: {a: x}}") else {
        return;
    };
    let names: Vec<String> = (0..6).map(|number| format!("entry{number}")).collect();
    let mut changes: Vec<_> = names
        .iter()
        .map(|name| {
            let value = machine.write(name, name);
            let mut set = machine.secretvault(["set", "app", name, "--file", &value]);
            set.stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    assert!(
        changes
            .iter_mut()
            .all(|change| change.wait().unwrap().success())
    );
    for name in &names {
        assert_eq!(command.secret(name).as_ref(), Some(name));
    }
    let marker = fs::read_to_string(command.sees("/run/secretvault/run.json")).unwrap();
    assert!(names.iter().all(|name| marker.contains(name)), "{marker}");
}

#[test]
#[ignore = "needs root: make test"]
fn a_change_by_the_same_user_with_another_group_arrives() {
    let Some((machine, command)) = with("{data: {a: old}}") else {
        return;
    };
    let value = machine.write("value", "new");
    let set = machine.secretvault(["set", "app", "a", "--file", &value]);
    let mut other = Command::new("setpriv");
    other.args([
        "--reuid",
        &NOBODY.to_string(),
        "--regid",
        "7",
        "--clear-groups",
    ]);
    other
        .arg(machine.program())
        .args(set.get_args().skip_while(|word| *word != "set"));
    other.envs(
        set.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    is_told(&text(&other.output().unwrap().stderr), &command);
    assert_eq!(command.secret("a").as_deref(), Some("new"));
}

#[test]
fn an_update_waits_for_another_one_of_the_same_command() {
    let Some((machine, command)) = with("{data: {a: old}}") else {
        return;
    };
    let other = fs::File::open(command.sees("/run/secretvault")).unwrap();
    let other = Flock::lock(other, FlockArg::LockExclusive).unwrap();
    let value = machine.write("value", "new");
    let mut set = machine.secretvault(["set", "app", "a", "--file", &value]);
    let mut set = set
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(500));
    assert_eq!(set.try_wait().unwrap(), None);
    assert_eq!(command.secret("a").as_deref(), Some("old"));
    drop(other);
    assert!(set.wait().unwrap().success());
    assert_eq!(command.secret("a").as_deref(), Some("new"));
}

#[test]
fn a_command_that_starts_during_a_change_does_not_miss_it() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "a", "x");
    let writer = fs::File::open(machine.store().join(".lock")).unwrap();
    let writer = Flock::lock(writer, FlockArg::LockExclusive).unwrap();
    let mut command = machine.run_command(&[], "true").spawn().unwrap();
    let proc = format!("/proc/{}", command.id());
    let name = || fs::read_to_string(format!("{proc}/comm")).unwrap();
    let owner = || fs::metadata(format!("{proc}/environ")).unwrap().uid();
    // What a process hides, as one must that opens values, is root's. So is what starts ours.
    eventually("it hides what it has", || {
        name() == "secretvault\n" && owner() == 0
    });
    sleep(Duration::from_millis(500));
    let waits = command.try_wait().unwrap().is_none();
    assert!(waits, "until the change is there");
    assert_eq!((name().as_str(), owner()), ("secretvault\n", 0));
    drop(writer);
    assert!(command.wait().unwrap().success());
}

#[test]
fn every_command_of_a_store_is_updated_and_none_of_another() {
    let Some((machine, first)) = with("{data: {a: old}}") else {
        return;
    };
    let second = machine.start_waiting();
    let Some((_other_machine, other)) = with("{data: {a: old}}") else {
        return;
    };
    let told = machine.set("app", "a", "new");
    is_told(&told, &first);
    is_told(&told, &second);
    assert!(!told.contains(&other.pid().to_string()), "{told}");
    for (command, value) in [(&first, "new"), (&second, "new"), (&other, "old")] {
        assert_eq!(command.secret("a").as_deref(), Some(value));
    }
}

#[test]
fn a_command_keeps_its_files_where_their_successors_cannot_be_had_and_that_is_told() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "a", "old");
    machine.set("damaged", "b", "x");
    let options = ["--vault", "damaged"];
    let command = machine.start_waiting_with(&options);
    fs::write(machine.store().join("default.damaged.yaml"), "hunter2: [").unwrap();
    let told = machine.set("app", "a", "new");
    let warning = format!(
        "the running command {} (sleep) keeps its files: ",
        command.pid()
    );
    assert!(
        told.contains(&warning) && told.contains("default.damaged.yaml"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(command.secret("a").as_deref(), Some("old"));
    assert_eq!(command.secret("b").as_deref(), Some("x"));
}

#[test]
fn a_command_of_another_version_of_this_program_keeps_its_files_and_that_is_told() {
    let Some((machine, command)) = with("{data: {a: old}}") else {
        return;
    };
    let path = command.sees("/run/secretvault/run.json");
    let marker = fs::read_to_string(&path).unwrap();
    fs::write(&path, marker.replace("\"files\"", "\"documents\"")).unwrap();
    let told = machine.set("app", "a", "new");
    assert!(told.contains("start it anew"), "{told}");
    assert_eq!(command.secret("a").as_deref(), Some("old"));
}

#[test]
fn from_inside_a_command_its_own_files_stay_and_that_is_told() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "a", "old");
    let program = machine.program();
    let script = format!("printf new | {program} set app a 2>&1 >/dev/null; cat /run/secrets/a");
    let output = machine.output_of(&[], &script);
    assert!(
        output.contains("this is inside of it") && output.ends_with("old"),
        "{output}"
    );
}

#[test]
fn no_warning_or_message_shows_a_value() {
    let Some((machine, command)) = with("{data: {a: canary-one, b: canary-two}}") else {
        return;
    };
    let told = machine.set("app", "a", "canary-three");
    is_told(&told, &command);
    assert!(!told.contains("canary"), "{told}");
}
