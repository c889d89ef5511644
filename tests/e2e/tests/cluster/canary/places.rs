//! Where a value could have been left: every byte on the cluster's disks, and every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use secretvault_e2e::{STATE, SYSTEM, kubectl};
use serde_json::Value;

use super::scanner::{Found, Scanner};

/// What was found, and how much was looked at.
#[derive(Default)]
pub(crate) struct Findings {
    found: BTreeSet<Finding>,
    scanned: BTreeMap<String, u64>,
}

/// One form of one canary in one file or answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The canary's name.
    pub(crate) canary: String,
    /// The form's name.
    pub(crate) form: &'static str,
    /// The kind of place.
    pub(crate) place: String,
    /// The file, or the place again.
    pub(crate) file: String,
}

impl Findings {
    /// Looks everywhere.
    #[must_use]
    pub(crate) fn everywhere(scanner: &Scanner) -> Self {
        let mut findings = Self::default();
        findings.walk(scanner, &STATE.path());
        findings.answers(scanner);
        findings
    }

    /// Looks through an answer.
    pub(crate) fn answer(&mut self, scanner: &Scanner, place: &str, answer: &[u8]) {
        let found = scanner.search(answer);
        self.add(place, answer.len() as u64, found, place);
    }

    /// What was found of a canary.
    pub(crate) fn of(&self, canary: &str) -> impl Iterator<Item = &Finding> {
        self.found.iter().filter(move |it| it.canary == canary)
    }

    /// The bytes that were looked at, by place.
    #[must_use]
    pub(crate) fn scanned(&self) -> &BTreeMap<String, u64> {
        &self.scanned
    }

    fn add(&mut self, place: &str, bytes: u64, found: BTreeSet<Found>, file: &str) {
        *self.scanned.entry(place.to_owned()).or_default() += bytes;
        self.found
            .extend(found.into_iter().map(|(canary, form)| Finding {
                canary,
                form,
                place: place.to_owned(),
                file: file.to_owned(),
            }));
    }

    /// Every regular file, by its name and its content. Links lead to what is walked anyway.
    fn walk(&mut self, scanner: &Scanner, directory: &Path) {
        let Some(entries) = unless_gone(fs::read_dir(directory)) else {
            return;
        };
        for entry in entries {
            let path = entry.expect("a directory's entry").path();
            let Some(metadata) = unless_gone(fs::symlink_metadata(&path)) else {
                continue;
            };
            let name = path.to_string_lossy();
            let place = place_of(&path);
            self.add(&place, 0, scanner.search(name.as_bytes()), &name);
            if metadata.is_dir() {
                self.walk(scanner, &path);
            } else if metadata.is_file() {
                let found = File::open(&path).and_then(|file| scanner.search_file(file));
                if let Some(found) = unless_gone(found) {
                    self.add(&place, metadata.len(), found, &name);
                }
            }
        }
    }

    fn answers(&mut self, scanner: &Scanner) {
        for resource in ["events", "events.events.k8s.io"] {
            let all = ["get", resource, "--all-namespaces", "-o", "yaml"];
            let events = kubectl(&all).expect_success();
            self.answer(scanner, "Events", events.as_bytes());
        }
        let everything = everything();
        self.answer(scanner, "all objects", everything.as_bytes());
        for (name, address) in parts() {
            for previous in ["--previous=false", "--previous=true"] {
                let logs = ["--namespace", SYSTEM, "logs", &name, previous];
                let logs = kubectl(&logs);
                self.answer(scanner, &log_of(&name), logs.stdout.as_bytes());
            }
            let metrics = metrics(&address).expect("metrics are served");
            let text = String::from_utf8_lossy(&metrics);
            assert!(text.contains("\nsecretvault_"), "no metrics: {text}");
            self.answer(scanner, "metrics", &metrics);
        }
    }
}

/// The part of the disk that a path is in: `etcd`, `audit`, `logs`, or `node-a/kubelet`.
fn place_of(path: &Path) -> String {
    let relative = path.strip_prefix(STATE.path()).unwrap_or(path);
    let mut parts = relative.iter().map(|part| part.to_string_lossy());
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        Some(second) if first.starts_with("node-") => format!("{first}/{second}"),
        _ => first.into_owned(),
    }
}

fn log_of(pod: &str) -> String {
    let part = if pod.contains("operator") {
        "operator"
    } else {
        "node agent"
    };
    format!("log of {part}")
}

fn unless_gone<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        result => Some(result.expect("the cluster's state can be read")),
    }
}

/// Every object of every kind, with what the API server usually hides.
fn everything() -> String {
    let kinds = ["api-resources", "--verbs=list", "--output=name"];
    let kinds = kubectl(&kinds)
        .expect_success()
        .lines()
        .collect::<Vec<_>>()
        .join(",");
    let get = [
        "get",
        &kinds,
        "--all-namespaces",
        "--show-managed-fields",
        "-o",
        "yaml",
    ];
    kubectl(&get).expect_success()
}

/// The pods of SecretVault, and their addresses.
fn parts() -> Vec<(String, String)> {
    let pods = kubectl(&["--namespace", SYSTEM, "get", "pods", "-o", "json"]).expect_success();
    let pods: Value = serde_json::from_str(&pods).expect("JSON");
    let pods = pods["items"].as_array().expect("pods");
    let running = pods
        .iter()
        .filter(|pod| pod["status"]["phase"] == "Running");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    running
        .map(|pod| {
            (
                text(&pod["metadata"]["name"]),
                text(&pod["status"]["podIP"]),
            )
        })
        .collect()
}

/// Over the pods' network, as a Prometheus in the cluster would.
fn metrics(address: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((address, 8080))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
