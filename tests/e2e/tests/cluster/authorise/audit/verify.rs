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

fn system(object: &str) -> Value {
    let get = ["--namespace", SYSTEM, "get", object, "-o", "json"];
    serde_json::from_str(&kubectl(&get).expect_success()).unwrap()
}

/// What is kept of a log, in files.
pub(super) struct Kept {
    directory: PathBuf,
    /// The checkpoints, each a line.
    pub(super) lines: Vec<String>,
}

impl Kept {
    /// The checkpoints that are in the cluster now, and the key.
    pub(super) fn now(namespace: &Namespace) -> Self {
        let directory = env::temp_dir().join(namespace.name());
        fs::create_dir_all(&directory).unwrap();
        let key = system("secret/secretvault-audit")["data"]["public.pem"].clone();
        let key = BASE64_STANDARD.decode(key.as_str().unwrap()).unwrap();
        fs::write(directory.join("audit.pem"), key).unwrap();
        let map = system("configmap/secretvault-audit-checkpoints");
        let lines = map["data"].as_object().unwrap().iter();
        let lines = lines.filter(|(name, _)| !name.ends_with(".pem"));
        let lines = lines.map(|(_, line)| line.as_str().unwrap().to_owned());
        Self {
            directory,
            lines: lines.collect(),
        }
    }

    /// Keeps only the checkpoints of chains that a log has lines of: logs of replicas that are gone
    /// are not there any more.
    pub(super) fn of(mut self, log: &str) -> Self {
        self.lines.retain(|line| log.contains(&chain(line)));
        assert!(!self.lines.is_empty(), "no chain of this log is kept");
        self
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

/// The log without a line.
fn without(log: &str, gone: &str) -> String {
    let lines = log.lines().filter(|line| *line != gone);
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_log_of_the_replicas_is_whole_and_what_is_done_to_it_is_found() {
    let namespace = Namespace::create("audit-verify");
    let vault = Vault::named("app").text("a", "1");
    let _ = vault.apply(&namespace).expect_success();
    let (log, kept) = eventually("the vault's line is signed and kept", || {
        let kept = Kept::now(&namespace);
        let log = log();
        let mut lines = log.lines();
        let ours = lines.find(|line| line.contains(namespace.name()) && line.contains("\"v\":1"));
        let kept = kept.of(&log);
        let signed = |line: &&String| {
            let ours = ours.unwrap_or_default();
            !ours.is_empty() && chain(line) == chain(ours) && seq(line) > seq(ours)
        };
        if kept.lines.iter().any(|line| signed(&line)) {
            Ok((log.clone(), kept))
        } else {
            Err(kept.lines.clone())
        }
    });
    let whole = kept.verify(&log).expect_success();
    assert!(whole.contains("signed"), "{whole}");
    let ours = log
        .lines()
        .find(|line| line.contains(namespace.name()))
        .unwrap();
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
