//! A volume, the program, and a command that runs under it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_secretvault-launcher");

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory laid out as the node agent does it.
pub(crate) struct Volume {
    directory: TempDir,
    generation: u32,
}

impl Volume {
    pub(crate) fn of(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("secretvault-launcher-")
            .tempdir()
            .unwrap();
        // Of a test that is run by root, for users that are not.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), everybody).unwrap();
        let mut volume = Self {
            directory,
            generation: 0,
        };
        volume.swap(files);
        volume
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn text(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// Where the files in force are.
    pub(crate) fn in_force(&self) -> PathBuf {
        self.path().join(format!("..{}", self.generation))
    }

    /// Puts other files in the place of those that are there, all at once.
    pub(crate) fn swap(&mut self, files: &[(&str, &[u8])]) {
        let last = self.in_force();
        self.generation += 1;
        fs::create_dir(self.in_force()).unwrap();
        for (path, value) in files {
            let path = self.in_force().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        let next = self.path().join("..data_tmp");
        symlink(self.in_force().file_name().unwrap(), &next).unwrap();
        fs::rename(next, self.path().join("..data")).unwrap();
        if last.exists() {
            fs::remove_dir_all(last).unwrap();
        }
    }

    /// `run` with these flags on this volume.
    pub(crate) fn run<'a>(
        &self,
        flags: &[&str],
        command: impl IntoIterator<Item = &'a str>,
    ) -> Command {
        let mut run = Command::new(PROGRAM);
        run.args(["run", "--files", self.text()]);
        run.args(flags).arg("--").args(command);
        plain(&mut run);
        run
    }

    /// The same with a shell's script.
    pub(crate) fn sh(&self, flags: &[&str], script: &str) -> Command {
        self.run(flags, ["bash", "-c", script])
    }
}

/// With an environment of its own, and nothing to read.
pub(crate) fn plain(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap();
    command.env_clear().env("PATH", path).stdin(Stdio::null());
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Puts the program where another user can reach it, who may not enter the build directory.
pub(crate) fn reachable(path: &Path) {
    if fs::hard_link(PROGRAM, path).is_err() {
        // Not by ourselves: a test beside this one that forks meanwhile would keep the copy open
        // for writing, and nobody could execute it.
        let status = Command::new("cp").arg(PROGRAM).arg(path).status();
        assert!(status.unwrap().success());
    }
}

/// What a command printed that must have succeeded.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// Whether no signal ended the launcher itself, and with what code it ended.
pub(crate) fn code(status: ExitStatus) -> i32 {
    assert_eq!(status.signal(), None);
    status.code().unwrap()
}

/// A command that runs, line by line.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// With its first line, which must be `ready`.
    pub(crate) fn ready(command: Command) -> Self {
        let running = Self::start(command);
        assert_eq!(running.line(), "ready");
        running
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// A line, if one comes within this time.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Sends it a signal, by number.
    pub(crate) fn kill(&self, number: i32) {
        kill(&format!("-{number} {}", self.pid()));
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Its complaints as they come, if its standard error was piped.
    pub(crate) fn complaints(&mut self) -> Receiver<String> {
        lines(self.child.stderr.take().unwrap())
    }

    /// Its complaint, if its standard error was piped.
    pub(crate) fn complaint(mut self) -> (ExitStatus, String) {
        let mut complaint = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut complaint).unwrap();
        (self.child.wait().unwrap(), complaint)
    }
}

/// What a test that failed has left running.
impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = self.pid();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let _ = self.child.kill();
            let _ = Command::new("kill")
                .arg("-9")
                .args(children.unwrap_or_default().split_ascii_whitespace())
                .status();
            let _ = self.child.wait();
        }
    }
}

/// Any signal, also those that have no name.
pub(crate) fn kill(what: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill {what}")])
        .status();
    assert!(status.unwrap().success(), "kill {what}");
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}
