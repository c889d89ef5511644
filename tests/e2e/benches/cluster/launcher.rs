//! The launcher: what it costs to start a command through it, and what it holds while it waits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secretvault_e2e::root;

use crate::Failure;
use crate::report::Report;
use crate::times::{Millis, Times};

/// Measures the program that the image holds, on this machine and outside of any container: what a
/// container's start takes is the same with and without it.
pub(crate) fn measure(report: &mut Report) -> Result<(), Failure> {
    report.section(
        "Launcher",
        "A static program started by itself and through the launcher with ten variables, turn by turn; and the launcher that waits to pass on a signal.",
    );
    let volume = FakeVolume::new()?;
    let (mut alone, mut launched) = (Times::default(), Times::default());
    for _ in 0..STARTS {
        alone.add(taken(Command::new(BUSYBOX).arg("true"))?);
        launched.add(taken(volume.launcher(&["--env"]).args([BUSYBOX, "true"]))?);
    }
    report.table(&["start of", "starts", "median", "p95", "median ÷ by itself"]);
    for (what, times) in [
        ("`busybox true` by itself", &alone),
        ("`busybox true` through the launcher", &launched),
    ] {
        report.row(&[
            what.to_owned(),
            times.count().to_string(),
            Millis(times.median()).to_string(),
            Millis(times.percentile(95)).to_string(),
            format!("{:.2}", times.ratio_to(&alone)),
        ]);
    }
    report.table(&["process", "anonymous", "resident"]);
    let waiting = Waiting(
        volume
            .launcher(&["--on-change", "signal:HUP"])
            .args([BUSYBOX, "sleep", "60"])
            .spawn()?,
    );
    std::thread::sleep(SETTLE);
    let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", waiting.0.id()))?;
    report.row(&[
        "launcher that waits beside its command".to_owned(),
        crate::cost::mebibytes(&smaps, "Anonymous:"),
        crate::cost::mebibytes(&smaps, "Rss:"),
    ]);
    Ok(())
}

fn taken(command: &mut Command) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{command:?} failed").into());
    }
    Ok(begun.elapsed())
}

/// A directory that looks as a volume does.
struct FakeVolume(PathBuf);

impl FakeVolume {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("secretvault-bench-{}", std::process::id()));
        let generation = path.join("..generation");
        fs::create_dir_all(&generation)?;
        for entry in 0..10 {
            fs::write(generation.join(format!("entry_{entry}")), "a value")?;
        }
        std::os::unix::fs::symlink("..generation", path.join("..data"))?;
        Ok(Self(path))
    }

    fn launcher(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(root().join("target/images/launcher/secretvault-launcher"));
        let _ = command.arg("run").args(flags).arg("--files").arg(&self.0);
        let _ = command.arg("--");
        command
    }
}

impl Drop for FakeVolume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}

/// A process that ends when this drops.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        // SIGTERM, so that its command ends too.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

const BUSYBOX: &str = "/usr/bin/busybox";
const STARTS: usize = 300;
const SETTLE: Duration = Duration::from_millis(500);
