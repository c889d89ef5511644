//! A store, a keyring and a user of their own, and commands that run with them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::geteuid;
use tempfile::TempDir;

/// Who an ordinary user is where root runs the tests.
pub(crate) const NOBODY: u32 = 65534;

/// A store and a keyring in a directory, and whose they are.
pub(crate) struct Machine {
    directory: TempDir,
    program: PathBuf,
    uid: u32,
}

impl Machine {
    /// An ordinary user's. `None`: this kernel gives ordinary users no user namespace, and whoever
    /// runs the tests is one. Root's tests are never left out.
    pub(crate) fn of_ordinary_user() -> Option<Self> {
        if geteuid().is_root() {
            return Some(Self::of(NOBODY));
        }
        let possible = Command::new("unshare")
            .args(["-U", "-r", "-m", "true"])
            .status();
        if possible.is_ok_and(|status| status.success()) {
            return Some(Self::of(geteuid().as_raw()));
        }
        eprintln!("left out: this kernel gives no user namespace");
        None
    }

    /// Root's.
    pub(crate) fn of_root() -> Self {
        assert!(geteuid().is_root(), "needs root");
        Self::of(0)
    }

    fn of(uid: u32) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("secretvault-run-")
            .tempdir()
            .unwrap();
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_secretvault"));
        if geteuid().as_raw() != uid {
            chown(directory.path(), Some(uid), Some(uid)).unwrap();
            program = reachable(&program, directory.path());
        }
        let machine = Self {
            directory,
            program,
            uid,
        };
        let made = machine.secretvault(["init"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        machine
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.path().join("vaults")
    }

    /// The program's file.
    pub(crate) fn program(&self) -> String {
        self.program.to_str().unwrap().to_owned()
    }

    /// A file or directory of the user.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Writes a file of the user.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// A command of the user, who has no other group.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = if geteuid().as_raw() == self.uid {
            Command::new(program)
        } else {
            let mut command = Command::new("setpriv");
            let uid = self.uid.to_string();
            command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", program]);
            command
        };
        command.env("SECRETVAULT_STORE", self.store());
        command.env("SECRETVAULT_KEYRING", self.directory.path().join("keyring"));
        command.env_remove("SECRETVAULT_NAMESPACE");
        command.current_dir("/");
        command
    }

    /// The program, as the user calls it.
    pub(crate) fn secretvault<'a>(&self, arguments: impl AsRef<[&'a str]>) -> Command {
        let mut command = self.command(&self.program());
        command.args(arguments.as_ref());
        command
    }

    /// Gives an entry a value, and tells what was said on standard error.
    pub(crate) fn set(&self, vault: &str, entry: &str, value: &str) -> String {
        self.feed(&["set", vault, entry], value)
    }

    /// Applies a manifest of one vault, given what is below `spec`.
    pub(crate) fn apply(&self, vault: &str, spec: &str) -> String {
        let head = "apiVersion: secretvault.dev/v1alpha1\nkind: SecretVault";
        let manifest = format!("{head}\nmetadata: {{name: {vault}}}\nspec: {spec}\n");
        self.feed(&["apply", "-f", "-"], &manifest)
    }

    fn feed(&self, arguments: &[&str], input: &str) -> String {
        let output = feed(self.secretvault(arguments), input);
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        errors
    }

    /// Runs a shell script with the files of a vault, and more options.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Output {
        self.run_command(options, script).output().unwrap()
    }

    /// The same, of which the output is all that counts.
    pub(crate) fn output_of(&self, options: &[&str], script: &str) -> String {
        let output = self.run(options, script);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn run_command(&self, options: &[&str], script: &str) -> Command {
        // Whether the machine that runs the tests has a swap is another test's matter.
        let mut command = self.secretvault(["run", "--allow-swap", "--vault", "app"]);
        command.args(options).args(["--", "sh", "-c", script]);
        command
    }

    /// Starts a script that goes on, and waits for its first line.
    pub(crate) fn start(&self, options: &[&str], script: &str) -> Running {
        Running::start(self.run_command(options, script))
    }

    /// Starts a command that waits with the files of a vault.
    pub(crate) fn start_waiting(&self) -> Running {
        self.start_waiting_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_waiting_with(&self, options: &[&str]) -> Running {
        let running = self.start(options, "echo ready; exec sleep 1000");
        // Its name is part of what is told about it, and for a moment that is still the shell's.
        eventually("the shell has become the command", || {
            running.proc("comm") == "sleep\n"
        });
        running
    }
}

/// The program where another user can reach it, who may not enter the build directory.
fn reachable(program: &Path, directory: &Path) -> PathBuf {
    let copy = directory.join("secretvault");
    if fs::hard_link(program, &copy).is_err() {
        // Not by ourselves: a test beside this one that forks meanwhile would keep the copy open
        // for writing, and nobody could execute it.
        assert!(
            Command::new("cp")
                .args([program, &copy])
                .status()
                .unwrap()
                .success()
        );
    }
    copy
}

/// A process that goes on. It ends when this drops.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) first_line: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            lines,
            first_line: String::new(),
        };
        running.first_line = running.line();
        assert!(!running.first_line.is_empty(), "it ended at once");
        running
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A path as the process sees it, from outside.
    pub(crate) fn sees(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.pid())).join(path.trim_start_matches('/'))
    }

    /// A secret's content, as the process would read it now.
    pub(crate) fn secret(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.sees("/run/secrets").join(path)).ok()
    }

    /// What the process' `/proc` entry says. While it executes a program, some say nothing.
    pub(crate) fn proc(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid());
        let mut said = String::new();
        eventually("the process has executed its program", || {
            said = text(&fs::read(&path).unwrap());
            !said.is_empty()
        });
        said
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn end(mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command with some input.
pub(crate) fn feed(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// Waits until something is true, which takes a moment.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(20));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
