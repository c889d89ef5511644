use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::api;
use crate::wait::eventually;

/// What kubectl, or another program, said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether it exited with 0.
    pub succeeded: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Answer {
    /// Its output, if it succeeded.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn expect_success(self) -> String {
        match self.into_result() {
            Ok(stdout) => stdout,
            Err(stderr) => panic!("it failed: {stderr}"),
        }
    }

    /// Its complaint, if it failed.
    #[must_use]
    pub fn expect_failure(self) -> String {
        assert!(!self.succeeded, "it succeeded: {}", self.stdout);
        self.stderr
    }

    /// Its complaint, if it failed with one that says all of this and holds the value neither in
    /// plain nor in base64.
    #[expect(clippy::must_use_candidate, reason = "it is an assertion")]
    pub fn expect_refusal(self, says: &[&str], value: &str) -> String {
        let complaint = self.expect_failure();
        for text in says {
            assert!(
                complaint.contains(text),
                "does not say {text:?}: {complaint}"
            );
        }
        let encoded = BASE64_STANDARD.encode(value);
        for form in [value, encoded.trim_end_matches('=')] {
            assert!(
                !complaint.contains(form),
                "the complaint holds the value {form:?}: {complaint}"
            );
        }
        complaint
    }

    /// Its output or its complaint.
    ///
    /// # Errors
    /// Its standard error, if it failed.
    pub fn into_result(self) -> Result<String, String> {
        if self.succeeded {
            Ok(self.stdout)
        } else {
            Err(self.stderr)
        }
    }
}

/// What the API server said, as if kubectl told it.
impl From<Result<Value, String>> for Answer {
    fn from(said: Result<Value, String>) -> Self {
        let (succeeded, stdout, stderr) = match said {
            Ok(object) => (true, object.to_string(), String::new()),
            Err(complaint) => (false, String::new(), complaint),
        };
        Self {
            succeeded,
            stdout,
            stderr,
        }
    }
}

/// Runs kubectl.
#[must_use]
pub fn kubectl(arguments: &[&str]) -> Answer {
    kubectl_with(arguments, "")
}

/// Runs kubectl with a text on its standard input.
#[must_use]
pub fn kubectl_with(arguments: &[&str], input: &str) -> Answer {
    let mut kubectl = Command::new("kubectl");
    // It does one thing after the other; with threads of its own it takes a fifth more of both processors.
    kubectl.args(arguments).env("GOMAXPROCS", "1");
    feed(kubectl, input)
}

/// Runs a program.
#[must_use]
pub fn run(program: &str, arguments: &[&str]) -> Answer {
    run_with(program, arguments, "")
}

/// Runs a program with a text on its standard input.
#[must_use]
pub fn run_with(program: &str, arguments: &[&str], input: &str) -> Answer {
    let mut command = Command::new(program);
    command.args(arguments);
    feed(command, input)
}

#[expect(
    clippy::expect_used,
    reason = "without the cluster's programs there is no test"
)]
fn feed(mut command: Command, input: &str) -> Answer {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is there: are the tests started by tests/cluster-tests?");
    // Beside the reading: neither side waits for the other, however long the texts are.
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the program ends");
    // It may end without having read everything.
    let _ = writer.join();
    Answer {
        succeeded: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A namespace of a test's own. Deleted when it drops.
pub struct Namespace(String);

impl Namespace {
    /// Makes `prefix-RANDOM`.
    #[must_use]
    #[expect(clippy::expect_used, reason = "without these a test cannot run")]
    pub fn create(prefix: &str) -> Self {
        let mut random = [0; 4];
        getrandom::fill(&mut random).expect("randomness");
        let name = format!("{prefix}-{:08x}", u32::from_be_bytes(random));
        let namespace = json!({"metadata": {"name": name}});
        let _ = api::create("", "namespace", &namespace).expect("a namespace is made");
        // No pod is admitted without it, and the API server waits for it a moment only.
        eventually("the namespace has its account", || {
            api::get(&name, "serviceaccount/default")
        });
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Runs kubectl in this namespace.
    #[must_use]
    pub fn kubectl(&self, arguments: &[&str]) -> Answer {
        self.kubectl_with(arguments, "")
    }

    /// Runs kubectl in this namespace with a text on its standard input.
    #[must_use]
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Answer {
        kubectl_with(&[&["--namespace", &self.0], arguments].concat(), input)
    }

    /// Applies manifests in this namespace, as `kubectl apply -f -`.
    #[must_use]
    pub fn apply(&self, manifests: &str) -> Answer {
        self.kubectl_with(&["apply", "-f", "-"], manifests)
    }

    /// An object as JSON, by kubectl's name of it: `pod/app`.
    ///
    /// # Errors
    /// Why the API server does not show it.
    pub fn try_get(&self, object: &str) -> Result<Value, String> {
        api::get(&self.0, object)
    }

    /// An object as JSON.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn get(&self, object: &str) -> Value {
        self.try_get(object)
            .unwrap_or_else(|error| panic!("get {object}: {error}"))
    }

    /// The reasons and messages of all Events about an object, joined by lines.
    #[must_use]
    pub fn events(&self, object_name: &str) -> String {
        let of = format!("/api/v1/namespaces/{}", self.0);
        api::events(&of, &format!("involvedObject.name={object_name}"))
    }

    /// A field of an object, by its JSONPath.
    #[must_use]
    pub fn field(&self, object: &str, path: &str) -> String {
        let path = format!("jsonpath={path}");
        self.kubectl(&["get", object, "-o", &path]).expect_success()
    }

    /// Runs a shell command in a pod.
    #[must_use]
    pub fn sh(&self, pod: &str, script: &str) -> Answer {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("SECRETVAULT_KEEP_FAILED").is_some() {
            eprintln_namespace(&self.0);
            return;
        }
        let path = format!("/api/v1/namespaces/{}", self.0);
        let _ = api::ask(&Method::DELETE, &path, None);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "for the person who looks at a failed test"
)]
fn eprintln_namespace(name: &str) {
    eprintln!("namespace {name} is kept for you to look at");
}
