//! `secretvault audit verify` on the logs of the real replicas.

use std::{env, fs, path::PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_e2e::{Answer, Namespace, SYSTEM, Vault, eventually, kubectl, run_with};
use serde_json::Value;

/// The program, beside the test's own directory, where `cargo build` has put it.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("secretvault")
}

fn system(object: &str) -> Result<Value, String> {
    let get = ["--namespace", SYSTEM, "get", object, "-o", "json"];
    let text = kubectl(&get).into_result()?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// What is kept of a log, in files.
pub(super) struct Kept {
    directory: PathBuf,
    /// The checkpoints, each a line.
    pub(super) lines: Vec<String>,
}

impl Kept {
    /// The checkpoints that are in the cluster now, and the key. Before a log is read: it must have
    /// them all. An error in the operator's first minute, which has none yet.
    pub(super) fn now(namespace: &Namespace) -> Result<Self, String> {
        let map = system("configmap/secretvault-audit-checkpoints")?;
        let key = system("secret/secretvault-audit")?["data"]["public.pem"].clone();
        let key = BASE64_STANDARD.decode(key.as_str().unwrap()).unwrap();
        let lines = map["data"].as_object().into_iter().flatten();
        let lines = lines.filter(|(name, _)| !name.ends_with(".pem"));
        let lines = lines.map(|(_, line)| line.as_str().unwrap().to_owned());
        let kept = Self {
            directory: env::temp_dir().join(namespace.name()),
            lines: lines.collect(),
        };
        fs::create_dir_all(&kept.directory).unwrap();
        fs::write(kept.directory.join("audit.pem"), key).unwrap();
        Ok(kept)
    }

    /// Keeps only the checkpoints of chains that a log has lines of: logs of replicas that are gone
    /// are not there any more. An error in a replica's first minute, which has none yet.
    pub(super) fn of(mut self, log: &str) -> Result<Self, String> {
        self.lines.retain(|line| log.contains(&chain(line)));
        if self.lines.is_empty() {
            return Err("no checkpoint of this log's chains is kept".to_owned());
        }
        Ok(self)
    }

    pub(super) fn verify(&self, log: &str) -> Answer {
        let checkpoints = self.directory.join("checkpoints");
        fs::write(&checkpoints, self.lines.join("\n")).unwrap();
        let key = self.directory.join("audit.pem");
        let arguments = [
            "audit",
            "verify",
            "--rotated",
            "--key",
            key.to_str().unwrap(),
            "--checkpoints",
            checkpoints.to_str().unwrap(),
        ];
        run_with(program().to_str().unwrap(), &arguments, log)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The name of a line's chain.
fn chain(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["chain"].as_str().unwrap().to_owned()
}

/// All that the replicas of now have written.
fn log() -> String {
    let selector = "--selector=app.kubernetes.io/component=operator";
    let logs = ["--namespace", SYSTEM, "logs", selector, "--tail=-1"];
    kubectl(&logs).expect_success()
}

/// The first line of the audit log that names a namespace.
fn line_about<'a>(log: &'a str, namespace: &Namespace) -> Option<&'a str> {
    let mut lines = log.lines().filter(|line| line.starts_with("{\"v\":1"));
    lines.find(|line| line.contains(namespace.name()))
}

/// The log without a line.
fn without(log: &str, gone: &str) -> String {
    let lines = log.lines().filter(|line| *line != gone);
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_log_of_the_replicas_is_whole_and_what_is_done_to_it_is_found() {
    let namespace = Namespace::create("audit-verify");
    let vault = Vault::named("app").text("a", "1");
    vault.store(&namespace);
    // A checkpoint is kept once its line is in the pipe; the container runtime may be behind with the file.
    let (log, kept, whole) = eventually("the vault's line is signed, kept and in the log", || {
        let kept = Kept::now(&namespace)?;
        let log = log();
        let kept = kept.of(&log)?;
        let ours = line_about(&log, &namespace).ok_or("the log has no line about it")?;
        let signed = |line: &String| chain(line) == chain(ours) && seq(line) > seq(ours);
        if !kept.lines.iter().any(signed) {
            return Err(kept.lines.join("\n"));
        }
        let whole = kept.verify(&log).into_result()?;
        Ok((log, kept, whole))
    });
    assert!(whole.contains("signed"), "{whole}");
    let ours = line_about(&log, &namespace).unwrap();
    let name = format!("{}: line {} ", chain(ours), seq(ours));
    let removed = kept.verify(&without(&log, ours)).expect_failure();
    assert!(removed.contains(&format!("{name}is missing")), "{removed}");
    let changed = log.replace(ours, &ours.replace(namespace.name(), "another"));
    let changed = kept.verify(&changed).expect_failure();
    assert!(changed.contains(&format!("{name}was changed")), "{changed}");
    let cut = log.replace(ours, &ours[..ours.len() - 9]);
    let cut = kept.verify(&cut).expect_failure();
    assert!(cut.contains("the line was cut or changed"), "{cut}");
    // The end of that chain, from our line on.
    let end = |line: &&str| {
        let audit = line.starts_with("{\"v\":1");
        !audit || chain(line) != chain(ours) || seq(line) < seq(ours)
    };
    let lost: String = log
        .lines()
        .filter(end)
        .map(|line| format!("{line}\n"))
        .collect();
    let lost = kept.verify(&lost).expect_failure();
    let expected = format!("{}: the end is missing", chain(ours));
    assert!(lost.contains(&expected), "{lost}");
}

fn seq(line: &str) -> u64 {
    let line: Value = serde_json::from_str(line).unwrap();
    line["seq"].as_u64().unwrap()
}
