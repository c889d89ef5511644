//! What `secretvault explain`, `who` and `doctor` say of the cluster, compared with what the cluster
//! does.

pub(crate) mod doctor;
mod pods;
mod who;

use std::{env, fs, path::PathBuf, process::Command};

use secretvault_e2e::{Namespace, kubectl};
use serde_json::{Value, json};

/// What the program said.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    /// Its output, as JSON.
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs the program, as whoever the cluster's kubeconfig names.
fn secretvault(arguments: &[&str]) -> Said {
    secretvault_with(None, arguments)
}

fn secretvault_with(kubeconfig: Option<&str>, arguments: &[&str]) -> Said {
    let mut command = Command::new(program());
    command.args(arguments);
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Beside the test's own directory, where `cargo build` has put it.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("secretvault")
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(namespace: &Namespace, name: &str, text: &str) -> Self {
        let path = env::temp_dir().join(format!("{}-{name}", namespace.name()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A kubeconfig of somebody else.
fn kubeconfig_of(user: &str, namespace: &Namespace) -> File {
    let view = ["config", "view", "--raw", "--flatten", "-o", "json"];
    let mut config: Value = serde_json::from_str(&kubectl(&view).expect_success()).unwrap();
    for entry in config["users"].as_array_mut().unwrap() {
        entry["user"]["as"] = json!(user);
    }
    File::new(namespace, "kubeconfig", &config.to_string())
}
