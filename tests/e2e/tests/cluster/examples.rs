//! Each example is applied as its README says, and does what its README says.

mod access;
mod annotations;
mod editors;
mod files;
pub(crate) mod key_provider;
mod keys;
mod quickstart;
mod software;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use secretvault_e2e::{Answer, eventually, kubectl, root};

#[test]
fn every_example_has_a_test() {
    let folders = std::fs::read_dir(root().join("examples")).unwrap();
    let folders: BTreeSet<String> = folders
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, BTreeSet::from(TESTED.map(str::to_owned)));
    let readme = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
    for folder in folders {
        assert!(
            readme.contains(&format!("]({folder}/)")),
            "{folder} is not listed"
        );
    }
}

/// The examples of this module's tests, and that of `keyring::machine`.
const TESTED: [&str; 22] = [
    "access-rules",
    "annotations",
    "binary-and-files",
    "editors",
    "immutable",
    "items",
    "key-provider-file",
    "key-rotation",
    "mariadb",
    "merge",
    "nginx",
    "non-root",
    "on-delete",
    "one-machine",
    "openssh",
    "path-variables",
    "pod-security-restricted",
    "postgresql",
    "python-web",
    "quickstart",
    "transit",
    "user-namespace",
];

/// An example that is applied, in its own namespaces. Deleted when it drops.
struct Example {
    folder: String,
    namespace: String,
}

impl Example {
    /// `kubectl apply -f examples/FOLDER/`, as soon as nothing is left of an earlier run.
    fn apply(folder: &str) -> Self {
        Self::apply_with(folder, &[])
    }

    /// The same with further arguments.
    fn apply_with(folder: &str, arguments: &[&str]) -> Self {
        let example = Self::prepare(folder);
        let _ = example.try_apply(arguments).expect_success();
        example
    }

    /// One that is not applied yet, and nothing is left of an earlier run.
    fn prepare(folder: &str) -> Self {
        let example = Self {
            folder: root()
                .join("examples")
                .join(folder)
                .to_str()
                .unwrap()
                .to_owned(),
            namespace: format!("example-{folder}"),
        };
        eventually("the last run's namespaces are gone", || {
            let left = kubectl(&["get", "namespaces", "-o", "name"]).expect_success();
            let left: Vec<String> = left
                .lines()
                .filter(|line| line.contains(&example.namespace))
                .map(str::to_owned)
                .collect();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        example
    }

    fn try_apply(&self, arguments: &[&str]) -> Answer {
        let apply = ["apply", "-f", &self.folder];
        kubectl(&[&apply, arguments].concat())
    }

    /// Runs kubectl in the example's namespace.
    fn kubectl(&self, arguments: &[&str]) -> Answer {
        kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// What a pod logs now.
    fn logs(&self, pod: &str) -> String {
        self.kubectl(&["logs", pod]).expect_success()
    }

    /// What a pod logs, once it is ready and this is in its log: the container logs while it is already
    /// ready, and by one program after the other.
    fn wait_logs(&self, pod: &str, what: &str, has: impl Fn(&str) -> bool) -> String {
        self.wait_ready(pod);
        eventually(&format!("pod {pod} logs {what}"), || {
            let logs = self.kubectl(&["logs", pod]).into_result()?;
            if has(&logs) { Ok(logs) } else { Err(logs) }
        })
    }

    /// The same, once these files are listed and no others.
    fn wait_listing(&self, pod: &str, expected: &[(&str, &str)]) -> String {
        let expected = files(expected);
        self.wait_logs(pod, &format!("{expected:?}"), |logs| {
            listing(logs) == expected
        })
    }

    /// The same, once there is a text.
    fn wait_logged(&self, pod: &str, text: &str) -> String {
        self.wait_logs(pod, &format!("{text:?}"), |logs| logs.contains(text))
    }

    fn wait_ready(&self, pod: &str) {
        let pod = format!("pod/{pod}");
        let ready = self.kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=5m"]);
        let _ = ready.expect_success();
    }

    /// Waits until `kubectl describe` of a pod, which shows its Events, has a text.
    fn wait_described(&self, pod: &str, text: &str) {
        eventually(&format!("an Event of {pod} says {text:?}"), || {
            let described = self.kubectl(&["describe", "pod", pod]).into_result()?;
            if described.contains(text) {
                Ok(())
            } else {
                Err(described)
            }
        });
    }

    fn sh(&self, pod: &str, script: &str) -> String {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
            .expect_success()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = kubectl(&[
            "delete",
            "-f",
            &self.folder,
            "--ignore-not-found",
            "--wait=false",
        ]);
    }
}

/// The files that `ls -lnL` or `ls -lnLR` shows, by path: `owner:group mode`, the mode as in `r--r-----`.
fn listing(log: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut directory = "";
    for line in log.lines() {
        if let Some(name) = line.strip_suffix(':') {
            directory = name;
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [mode, _, uid, gid, .., name] = fields.as_slice()
            && let Some(mode) = mode.strip_prefix('-')
        {
            let path = format!("{directory}/{name}");
            let path = path.trim_start_matches("./").trim_start_matches('/');
            files.insert(path.to_owned(), format!("{uid}:{gid} {mode}"));
        }
    }
    files
}

/// The same from pairs.
fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(path, is): &(&str, &str)| ((*path).to_owned(), (*is).to_owned());
    pairs.iter().map(owned).collect()
}
