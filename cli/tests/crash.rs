//! The power goes: a command is killed before each of its system calls that change a file, one after
//! the other, and whatever it leaves must be the vaults from before or those from after.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    libc,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use secretvault_cli::{keys, keys::Keys, opened::OpenVault, store::Store};
use secretvault_vault::VaultRef;

const PROGRAM: &str = env!("CARGO_BIN_EXE_secretvault");
const OLD: &str = "hunter2-before";
const NEW: &str = "hunter2-after";

/// A store and a keyring in a directory of their own.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn bare() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// With a vault `default/app` that holds the old value.
    fn with_a_vault() -> Self {
        let machine = Self::bare();
        machine.must(&["init"], "");
        machine.must(&["set", "app", "db/password"], OLD);
        machine.must(&["set", "other", "token"], OLD);
        machine
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("vaults")
    }

    fn keyring(&self) -> PathBuf {
        self.directory.path().join("keyring")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--store")
            .arg(self.store())
            .arg("--keyring")
            .arg(self.keyring())
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn must(&self, arguments: &[&str], input: &str) {
        let mut child = self.command(arguments).spawn().unwrap();
        feed(&mut child, input);
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }

    /// The value of an entry, if all is whole.
    fn value(&self, vault: &str, entry: &str) -> Option<String> {
        let store = Store::open(&self.store()).unwrap();
        let keys = Keys::new(keys::load(&self.keyring()).unwrap());
        let stored = store.read(&VaultRef::new("default", vault)).unwrap()?;
        let open = OpenVault::open(&stored.object, &keys).unwrap();
        let value = open.value(entry).unwrap()?;
        Some(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    /// Nothing of a value is in any file, finished or not.
    fn holds_no_plain_value(&self) {
        for path in files_below(self.directory.path()) {
            let content = fs::read(&path).unwrap();
            let found = content.windows(7).any(|window| window == b"hunter2");
            assert!(!found, "{} holds a value", path.display());
        }
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn feed(child: &mut Child, input: &str) {
    // One that died before it read has closed its end.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
}

/// Runs a command and kills it before its `number`th system call that changes a file. False: it
/// ended before that.
#[expect(
    unsafe_code,
    reason = "between fork and exec the child only asks to be traced"
)]
fn killed_before(machine: &Machine, arguments: &[&str], input: &str, number: usize) -> bool {
    let mut command = machine.command(arguments);
    // SAFETY: ptrace(PTRACE_TRACEME) is one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(ptrace::traceme()?));
    }
    let mut child = command.spawn().unwrap();
    feed(&mut child, input);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // It stops at its exec.
    assert!(matches!(
        waitpid(pid, None).unwrap(),
        WaitStatus::Stopped(_, Signal::SIGTRAP)
    ));
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(pid, options).unwrap();
    let mut changes = 0;
    let mut signal = None;
    loop {
        ptrace::syscall(pid, signal.take()).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                changes += usize::from(is_change(pid));
                if changes == number {
                    ptrace::kill(pid).unwrap();
                    let _ = waitpid(pid, None);
                    return true;
                }
            }
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "{arguments:?}");
                return false;
            }
            other @ (WaitStatus::Continued(_)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::Signaled(..)
            | WaitStatus::StillAlive) => panic!("{other:?}"),
        }
    }
}

/// Whether the process has stopped at the start of a call that can change a file or a directory.
#[expect(
    unsafe_code,
    reason = "the kernel says which part of a union it filled"
)]
fn is_change(pid: Pid) -> bool {
    let info = ptrace::syscall_info(pid).unwrap();
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return false;
    }
    // SAFETY: at the start of a call the kernel fills `entry`.
    let entry = unsafe { info.u.entry };
    let [call, flags] = [entry.nr, entry.args[2]].map(|it| i64::try_from(it).unwrap_or(-1));
    match call {
        libc::SYS_openat => flags & i64::from(libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY) != 0,
        // Through `openat2` nothing is made here.
        other => CHANGES.contains(&other) || OLD_CHANGES.contains(&other),
    }
}

/// What else the programs of this file change things with.
const CHANGES: [i64; 6] = [
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_mkdirat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_write,
];

/// Calls that newer processors do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CHANGES: [i64; 3] = [libc::SYS_mkdir, libc::SYS_rename, libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CHANGES: [i64; 0] = [];

/// Kills a command before each of its changes, each time on a machine of its own, and looks
/// at what is left. Returns how often it was killed.
fn kill_everywhere(
    prepare: impl Fn() -> Machine,
    arguments: &[&str],
    input: &str,
    check: impl Fn(&Machine, usize),
) -> usize {
    let mut number = 1;
    loop {
        let machine = prepare();
        let killed = killed_before(&machine, arguments, input, number);
        machine.holds_no_plain_value();
        check(&machine, number);
        if !killed {
            return number - 1;
        }
        number += 1;
    }
}

/// A machine that others are copied from: making one takes longer than the test itself.
fn copies_of(original: &Machine) -> impl Fn() -> Machine {
    let from = original.directory.path().to_owned();
    move || {
        let machine = Machine::bare();
        copy(&from, machine.directory.path());
        machine
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

#[test]
fn a_set_that_is_killed_leaves_the_old_value_or_the_new_one() {
    let original = Machine::with_a_vault();
    let seen = std::cell::RefCell::new(Vec::new());
    let command = ["set", "app", "db/password"];
    let kills = kill_everywhere(copies_of(&original), &command, NEW, |machine, _| {
        let value = machine.value("app", "db/password").unwrap();
        assert!([OLD, NEW].contains(&value.as_str()), "{value}");
        assert_eq!(machine.value("other", "token").as_deref(), Some(OLD));
        seen.borrow_mut().push(value);
        // What it left is in nobody's way.
        machine.must(&["set", "app", "db/password"], "third");
        assert_eq!(
            machine.value("app", "db/password").as_deref(),
            Some("third")
        );
    });
    let seen = seen.into_inner();
    assert!(kills > 4, "it was killed {kills} times");
    assert_eq!(
        (seen[0].as_str(), seen.last().unwrap().as_str()),
        (OLD, NEW)
    );
}

#[test]
fn a_delete_that_is_killed_leaves_the_vault_or_no_trace_of_it() {
    let original = Machine::with_a_vault();
    kill_everywhere(
        copies_of(&original),
        &["delete", "app"],
        "",
        |machine, _| {
            let value = machine.value("app", "db/password");
            assert!(value.is_none() || value.as_deref() == Some(OLD));
            assert_eq!(machine.value("other", "token").as_deref(), Some(OLD));
        },
    );
}

#[test]
fn a_rotation_that_is_killed_loses_nothing_and_the_next_one_finishes_it() {
    let original = Machine::with_a_vault();
    let command = ["rotate", "--data-keys", "--retire"];
    let kills = kill_everywhere(copies_of(&original), &command, "", |machine, number| {
        for (vault, entry) in [("app", "db/password"), ("other", "token")] {
            assert_eq!(machine.value(vault, entry).as_deref(), Some(OLD));
        }
        if number % 3 == 0 {
            machine.must(&command, "");
            let keyring = keys::load(&machine.keyring()).unwrap();
            assert_eq!(keyring.key_ids().count(), 1);
            assert_eq!(machine.value("app", "db/password").as_deref(), Some(OLD));
        }
    });
    assert!(kills > 12, "it was killed {kills} times");
}

#[test]
fn an_init_that_is_killed_leaves_no_half_a_keyring() {
    kill_everywhere(Machine::bare, &["init"], "", |machine, _| {
        let keyring = machine.keyring();
        assert!(!keyring.exists() || keys::load(&keyring).is_ok());
        machine.must(&["init"], "");
        machine.must(&["set", "app", "a"], OLD);
        assert_eq!(machine.value("app", "a").as_deref(), Some(OLD));
    });
}
