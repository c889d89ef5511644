//! The command is what it would be without the launcher.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::Command,
};

use crate::fixture::{Running, Volume, code, output, plain, printed, text};

const ENV: &[&str] = &["--env"];
const SIGNAL: &[&str] = &["--on-change", "signal:HUP"];
const BOTH: &[&str] = &["--env", "--on-change", "signal:HUP"];

fn volume() -> Volume {
    Volume::of(&[("token", b"t-1")])
}

#[test]
fn without_a_signal_the_command_is_the_launcher_s_own_process() {
    let volume = volume();
    for flags in [&[][..], ENV] {
        let running = Running::start(volume.sh(flags, "echo $$"));
        assert_eq!(running.line(), running.pid().to_string());
    }
}

#[test]
fn with_a_signal_the_command_is_its_child_and_leads_a_group_of_its_own() {
    let volume = volume();
    for flags in [SIGNAL, BOTH] {
        let running = Running::start(volume.sh(flags, "echo $PPID; echo $$; ps -o pgid= -p $$"));
        assert_eq!(running.line(), running.pid().to_string());
        assert_eq!(running.line(), running.line().trim());
    }
}

#[test]
fn the_exit_code_is_the_command_s() {
    let volume = volume();
    for flags in [&[][..], ENV, SIGNAL, BOTH] {
        for wanted in [0, 1, 42, 125, 255] {
            let output = output(&mut volume.sh(flags, &format!("exit {wanted}")));
            assert_eq!(code(output.status), wanted, "{flags:?}");
            assert_eq!(text(&output.stderr), "");
        }
    }
}

#[test]
fn a_command_that_a_signal_ends_gives_128_and_its_number_or_ends_so_itself() {
    let volume = volume();
    for signal in [6, 9, 11, 15] {
        let script = format!("ulimit -c 0; kill -{signal} $$; sleep 60");
        for flags in [SIGNAL, BOTH] {
            let output = output(&mut volume.sh(flags, &script));
            assert_eq!(code(output.status), 128 + signal);
        }
        let output = output(&mut volume.sh(ENV, &script));
        assert_eq!(output.status.signal(), Some(signal));
    }
}

#[test]
fn a_command_that_is_not_there_gives_127_and_one_that_cannot_be_run_126() {
    let volume = volume();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("no-program");
    fs::write(&file, "text").unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for flags in [&[][..], ENV, SIGNAL, BOTH] {
        for (command, wanted) in [
            ("no-such-program-42", 127),
            ("/nowhere/at/all", 127),
            (script.to_str().unwrap(), 127),
            (file.to_str().unwrap(), 126),
            ("/", 126),
        ] {
            let output = output(&mut volume.run(flags, [command]));
            assert_eq!(code(output.status), wanted, "{command} {flags:?}");
            let complaint = text(&output.stderr);
            let start = format!("secretvault-launcher: {command} ");
            assert!(complaint.starts_with(&start), "{complaint}");
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
        }
    }
}

#[test]
fn arguments_input_and_directory_are_the_command_s() {
    let volume = volume();
    for flags in [&[][..], ENV, SIGNAL, BOTH] {
        let words = ["printf", "%s|", "--env", "--", "", "a b", "*"];
        assert_eq!(printed(&mut volume.run(flags, words)), "--env|--||a b|*|");
        let file = volume.in_force().join("token");
        let mut cat = volume.run(flags, ["cat"]);
        assert_eq!(printed(cat.stdin(fs::File::open(file).unwrap())), "t-1");
        let mut pwd = volume.run(flags, ["pwd"]);
        assert_eq!(printed(pwd.current_dir("/usr")), "/usr\n");
    }
}

#[test]
fn signals_are_handled_ignored_and_blocked_as_without_the_launcher() {
    let volume = volume();
    let fields = [
        "grep",
        "-E",
        "Sig(Blk|Ign|Cgt)|NoNewPrivs|CapEff",
        "/proc/self/status",
    ];
    let mut direct = Command::new(fields[0]);
    direct.args(&fields[1..]);
    plain(&mut direct);
    let seen = |command: &mut Command| {
        let fields = printed(command);
        let fields: Vec<&str> = fields.lines().collect();
        let (ignored, others): (Vec<&str>, Vec<&str>) = fields
            .into_iter()
            .partition(|line| line.starts_with("SigIgn:"));
        let ignored = ignored[0].trim_start_matches("SigIgn:").trim();
        let ignored = u64::from_str_radix(ignored, 16).unwrap() & !OF_THE_C_LIBRARY;
        (ignored, others.join("\n"))
    };
    let direct = seen(&mut direct);
    for flags in [&[][..], ENV, SIGNAL, BOTH] {
        assert_eq!(seen(&mut volume.run(flags, fields)), direct, "{flags:?}");
    }
}

#[test]
fn no_descriptor_of_the_launcher_s_is_left_open() {
    let volume = volume();
    let fields = ["sh", "-c", "echo /proc/self/fd/*"];
    let mut direct = Command::new(fields[0]);
    direct.args(&fields[1..]);
    plain(&mut direct);
    let direct = printed(&mut direct);
    for flags in [ENV, SIGNAL, BOTH] {
        assert_eq!(printed(&mut volume.run(flags, fields)), direct, "{flags:?}");
    }
}

#[test]
fn without_a_volume_a_command_is_run_as_long_as_nothing_is_wanted_of_it() {
    let mut run = Command::new(crate::fixture::PROGRAM);
    run.args(["run", "--files", "/no/such/directory", "--", "echo", "x"]);
    assert_eq!(printed(&mut run), "x\n");
}

/// The two signals that the C library keeps for itself. posix_spawn(3) and env(1) let a child ignore
/// one or both of them.
const OF_THE_C_LIBRARY: u64 = 0b11 << 31;
