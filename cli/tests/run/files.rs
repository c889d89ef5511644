//! What a command finds: its files, their variables, and the rest of `/run`.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, process::Command};

use crate::machine::{Machine, text};

#[test]
fn a_command_finds_its_files_and_a_variable_that_leads_to_each() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "db/password", "hunter2");
    machine.set("app", "tls/key.pem", "a\nb\n");
    let script = "cat \"$DB_PASSWORD_FILE\" /run/secrets/tls/key.pem; echo \"$TLS_KEY_PEM_FILE\"";
    let output = machine.output_of(&[], script);
    assert_eq!(output, "hunter2a\nb\n/run/secrets/tls/key.pem\n");
}

#[test]
fn a_variable_of_the_caller_with_the_same_name_is_replaced_and_others_stay() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "db", "hunter2");
    let mut command = machine.run_command(&[], "echo \"$DB_FILE $OTHER\"");
    let output = command
        .env("DB_FILE", "/elsewhere")
        .env("OTHER", "stays")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "/run/secrets/db stays\n");
}

#[test]
fn values_are_variables_only_on_demand() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "db", "hunter2");
    assert_eq!(machine.output_of(&[], "echo \"${DB-none}\""), "none\n");
    assert_eq!(
        machine.output_of(&["--env"], "echo \"$DB $DB_FILE\""),
        "hunter2 /run/secrets/db\n"
    );
}

#[test]
fn a_value_that_can_be_no_variable_is_refused_by_name() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "key.bin", "hunter2\0");
    let output = machine.run(&["--env"], "echo started");
    let errors = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), String::new())
    );
    assert!(
        errors.contains("key.bin") && !errors.contains("hunter2"),
        "{errors}"
    );
}

#[test]
fn two_files_with_one_variable_are_refused() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.apply("app", "{data: {db-user: a, db/user: b}}");
    let output = machine.run(&[], "echo started");
    assert_eq!(text(&output.stdout), "");
    assert!(
        text(&output.stderr).contains("DB_USER"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn only_what_is_asked_for_is_there_and_a_later_vault_overrides_an_earlier_one() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.apply(
        "shared",
        "{data: {a: of shared, b: of shared, c: of shared}}",
    );
    machine.apply("app", "{data: {b: of app, d: of app}}");
    let mut command = machine.secretvault(["run", "--allow-swap"]);
    let script = "cd /run/secrets; echo *; cat a renamed";
    command.args([
        "--vault",
        "shared",
        "--vault",
        "default/app",
        "--items",
        "a, b=renamed",
    ]);
    command.args(["--", "sh", "-c", script]);
    let output = text(&command.output().unwrap().stdout);
    assert_eq!(output, "a kubernetes.io renamed\nof sharedof app");
}

#[test]
fn access_rules_see_the_account_that_is_stood_for() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.apply(
        "app",
        "{data: {a: x, b: y}, access: [{serviceAccounts: [web], entries: [b]}]}",
    );
    let refused = machine.run(&[], "echo started");
    assert_eq!(
        (refused.status.code(), text(&refused.stdout)),
        (Some(1), String::new())
    );
    let listed = machine.output_of(&["--as", "default:web"], "cd /run/secrets; echo *");
    assert_eq!(listed, "b kubernetes.io\n");
    let foreign = machine.run(&["--as", "shop:web"], "echo started");
    assert!(
        text(&foreign.stderr).contains("shop/app"),
        "{}",
        text(&foreign.stderr)
    );
}

#[test]
fn a_placeholder_is_the_user_whom_the_system_knows_and_not_the_environment() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let user = machine.command("id").arg("-un").output().unwrap();
    if !user.status.success() {
        eprintln!("left out: the user who runs the tests has no name");
        return;
    }
    let user = text(&user.stdout);
    machine.set("app", &format!("users/{}/token", user.trim()), "mine");
    machine.set("app", "users/evil/token", "not mine");
    let options = ["--items", "users/${user.name}/token=token"];
    let mut command = machine.run_command(&options, "cat /run/secrets/token");
    let output = command
        .env("USER", "evil")
        .env("LOGNAME", "evil")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "mine", "{}", text(&output.stderr));
}

#[test]
fn the_files_are_in_memory_and_nobody_can_change_them() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "a", "x");
    let command = machine.start_waiting();
    let mounts = command.proc("mountinfo");
    let mount = mounts
        .lines()
        .find(|line| line.contains(" /run/secrets "))
        .unwrap();
    assert!(mount.contains(" ro,nosuid,nodev,noexec,"), "{mount}");
    assert!(mount.contains(" - tmpfs secretvault "), "{mount}");
    let script = "cd /run/secrets; (echo y > new) 2>&1; (echo y > a) 2>&1; rm -f a 2>&1; cat a";
    let output = machine.output_of(&[], script);
    assert_eq!(
        output.matches("Read-only file system").count(),
        3,
        "{output}"
    );
    assert!(output.ends_with('x'), "{output}");
}

#[test]
fn without_root_the_files_are_the_caller_s_and_another_owner_is_a_warning() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    let files = "files: [{entry: a, uid: 4321, gid: 4322, mode: '0440'}]";
    machine.apply("app", &format!("{{data: {{a: x, b: y}}, {files}}}"));
    let output = machine.run(&["--mode", "0400"], "echo started");
    let (warnings, uid) = (text(&output.stderr), machine.uid());
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.contains("warning: a belongs to you") && warnings.contains("4321:4322"));
    let command = machine.start(&["--mode", "0400"], "echo ready; exec sleep 1000");
    for (file, mode) in [("a", 0o440), ("b", 0o400)] {
        let status = fs::metadata(command.sees("/run/secrets/..data").join(file)).unwrap();
        assert_eq!(
            (status.uid(), status.mode() & 0o7777),
            (uid, mode),
            "{file}"
        );
    }
}

#[test]
#[ignore = "needs root: make test"]
fn root_gives_files_away_and_keeps_them_out_of_swap() {
    let machine = Machine::of_root();
    let files = "files: [{entry: a, uid: 4321, gid: 4322, mode: '0440'}]";
    machine.apply("app", &format!("{{data: {{a: x, b: y}}, {files}}}"));
    let options = ["--uid", "7", "--gid", "8", "--mode", "0400"];
    let script = "stat -c '%n %u:%g %a' a b; grep ' /run/secrets ' /proc/self/mountinfo";
    let output = machine.run(&options, &format!("cd /run/secrets/..data; {script}"));
    assert_eq!(text(&output.stderr), "");
    let output = text(&output.stdout);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["a 4321:4322 440", "b 7:8 400"]);
    assert!(lines[2].ends_with(",noswap"), "{output}");
}

#[test]
fn what_was_in_run_is_there_and_nothing_can_be_added() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "a", "x");
    let list = "find /run -maxdepth 1 -printf '%p %y %m %l\\n'";
    let names = |text: &str| -> BTreeSet<String> {
        let ours = |line: &&str| !line.starts_with("/run ") && !line.contains("/run/secret");
        text.lines().filter(ours).map(str::to_owned).collect()
    };
    let outside = || {
        let output = machine.command("sh").args(["-c", list]).output().unwrap();
        names(&text(&output.stdout))
    };
    // Others write to `/run` too: what came or went meanwhile may be there or not.
    let before = outside();
    let inside = names(&text(&machine.run(&[], list).stdout));
    let after = outside();
    let missing = &(&before & &after) - &inside;
    let added = &inside - &(&before | &after);
    assert!(
        missing.is_empty() && added.is_empty(),
        "missing: {missing:?}, added: {added:?}"
    );
    let output = machine.output_of(&[], "touch /run/new 2>&1 || echo refused");
    assert!(output.ends_with("refused\n"), "{output}");
}

/// A `/run` with everything that may be in one, also what stands where we put our own.
const FULL_RUN: &str = "set -e
mount --make-rshared /
mount -t tmpfs -o mode=755 host-run /run
mkdir -p /run/user/7 /run/secrets /run/secretvault /run/private
chmod 700 /run/private
mount -t tmpfs user /run/user/7
touch /run/user/7/inside
echo of the host > /run/file; echo of the host > /run/secrets/host
mkfifo /run/fifo; ln -s user/7 /run/link; ln -s nowhere /run/dangling
touch /run/bound; mount --bind /etc/passwd /run/bound
chmod 777 /run/user/7
cd /run
";

/// Looks at all of it.
const LOOK: &str = "ls secrets; pwd
cat /run/file; test -p /run/fifo && readlink /run/link /run/dangling
cmp /run/bound /etc/passwd && ls /run/link
mountpoint -q /run/user/7 && touch /run/user/7/from-within";

#[test]
#[ignore = "needs root: make test"]
fn files_directories_links_sockets_and_mounts_in_run_stay() {
    for machine in [Machine::of_root(), Machine::of_ordinary_user().unwrap()] {
        machine.set("app", "a", "x");
        let mut run = machine.run_command(&[], LOOK);
        run.current_dir("/");
        let words: Vec<String> = std::iter::once(run.get_program())
            .chain(run.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let after = "ls /run/user/7; cat /run/secrets/host; ls -A /run/secretvault";
        let script = format!("{FULL_RUN}{}; {after}", words.join(" "));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        command.envs(
            run.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let output = command.output().unwrap();
        let expected = "a\nkubernetes.io\n/run\nof the host\nuser/7\nnowhere\ninside\n\
                        from-within\ninside\nof the host\n";
        assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    }
}

#[test]
fn a_vaults_files_land_below_its_prefix_and_an_optional_vault_may_be_missing() {
    let Some(machine) = Machine::of_ordinary_user() else {
        return;
    };
    machine.set("app", "a", "of-app");
    machine.set("shared", "a", "of-shared");
    let run = |vaults: &str| {
        let script = "cd /run/secrets; cat a shared/a";
        let command = [
            "run",
            "--allow-swap",
            "--vault",
            vaults,
            "--",
            "sh",
            "-c",
            script,
        ];
        machine.secretvault(command).output().unwrap()
    };
    let output =
        run("[{vault: shared, prefix: shared}, {vault: gone, optional: true}, {vault: app}]");
    let errors = text(&output.stderr);
    assert_eq!(text(&output.stdout), "of-appof-shared", "{errors}");
    assert!(
        errors.contains("optional vault default/gone does not exist"),
        "{errors}"
    );
    let output = run("[{vault: shared, prefix: shared}, {vault: gone}, {vault: app}]");
    assert!(!output.status.success());
    let output = run("[{vault: shared, prefix: ../shared}, {vault: app}]");
    let errors = text(&output.stderr);
    assert!(
        errors.contains("prefix \"../shared\" has a segment"),
        "{errors}"
    );
}
