//! Keys of a server, and new keys.

use secretvault_e2e::{Bao, eventually, kubectl, kubectl_with, now, root, wait_for_all_replicas};
use serde_json::json;

use super::Example;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The provider of an example, which is not of its namespace. Deleted when it drops.
struct Provider(&'static str);

impl Provider {
    fn wait(&self, condition: &str) {
        let wait = [&format!("--for={condition}"), self.0, "--timeout=5m"];
        let _ = kubectl(&[&["wait"], &wait[..]].concat()).expect_success();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", self.0, "--ignore-not-found"]);
    }
}

/// The file of either example.
const FILE: [(&str, &str); 1] = [("run/secrets/db/password", "0:0 r--r--r--")];

impl Example {
    fn data_key(&self) -> String {
        let path = "jsonpath={.spec.dataKey.provider} {.spec.dataKey.keyId}";
        self.kubectl(&["get", "sv", "app", "-o", path])
            .expect_success()
    }
}

#[test]
fn transit() {
    let bao = Bao::start();
    let _ = bao
        .sh(&read("examples/transit/server/setup"))
        .expect_success();
    let provider = read("examples/transit/provider/key-provider.yaml")
        .replace("https://vault.vault.svc:8200", &bao.address())
        .replace("Y2EuY3J0", &bao.ca_bundle());
    let _ = kubectl_with(&["apply", "-f", "-"], &provider).expect_success();
    let provider = Provider("keyprovider/transit");
    provider.wait("condition=Ready");
    // The condition tells what one replica found. The provider is for the example's namespace only.
    let example = Example::prepare("transit");
    let namespace = format!("{}/00-namespace.yaml", example.folder);
    let _ = kubectl(&["apply", "-f", &namespace]).expect_success();
    wait_for_all_replicas("transit", &example.namespace);
    let _ = example.try_apply(&[]).expect_success();
    let logs = example.wait_listing("app", &FILE);
    assert_eq!(example.data_key(), "transit v1");
    let rotate = "bao write -f transit/keys/secretvault/rotate";
    let _ = bao.sh(rotate).expect_success();
    provider.wait("jsonpath={.status.primaryKeyId}=v2");
    provider.wait("condition=KeyCurrent");
    eventually("the vault has the new version", || {
        match example.data_key().as_str() {
            "transit v2" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    assert_eq!(example.logs("app"), logs);
}

/// One policy, wherever it is written.
#[test]
fn the_least_policy_is_the_same_everywhere() {
    let policy = read("tests/bao/policy.hcl");
    let lines = policy.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<&str> = lines.collect();
    let docs = read("docs/keys.md");
    let setup = read("examples/transit/server/setup").replace("$key", "secretvault");
    for (place, text) in [("docs/keys.md", docs), ("setup", setup)] {
        let text: Vec<&str> = text
            .lines()
            .map(|line| line.trim_start_matches("   "))
            .collect();
        let text: Vec<&str> = text
            .into_iter()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let found = text.windows(lines.len()).any(|window| window == lines);
        assert!(found, "{place}: {lines:#?}");
    }
}

#[test]
fn key_rotation() {
    let example = Example::prepare("key-rotation");
    let provider = Provider("keyprovider/example-rotation");
    // The vault comes with its provider, and waits only some seconds for the keyring to be made.
    let applied = eventually("the keyring is made", || {
        let applied = example.try_apply(&[]);
        if applied.stderr.contains("no usable key: ") {
            Err(applied)
        } else {
            Ok(applied)
        }
    });
    let _ = applied.expect_success();
    let logs = example.wait_listing("app", &FILE);
    let before = example.data_key();
    let patch = json!({"spec": {"local": {"rotatedSince": now()}}}).to_string();
    let _ = kubectl(&["patch", provider.0, "--type=merge", "-p", &patch]).expect_success();
    eventually("the vault has the new key", || {
        let now = example.data_key();
        if now == before { Err(now) } else { Ok(()) }
    });
    // The condition may still be that of before.
    let list = "jsonpath={range .status.keys[*]}{.primary} {.vaults}{\"\\n\"}{end}";
    eventually("the status counts the vault at the new key", || {
        let keys = kubectl(&["get", provider.0, "-o", list]).expect_success();
        if keys == "true 1\nfalse 0\n" {
            Ok(())
        } else {
            Err(keys)
        }
    });
    provider.wait("condition=KeyCurrent");
    let envelope = [
        "get",
        "sv",
        "app",
        "-o",
        r"jsonpath={.spec.data.db/password}",
    ];
    let sealed = example.kubectl(&envelope).expect_success();
    let place = "readlink /run/secrets/..data";
    let swapped = example.sh("app", place);
    let patch = json!({"spec": {"dataKey": {"rekey": 1}}}).to_string();
    let patch = ["patch", "sv", "app", "--type=merge", "-p", &patch];
    let _ = example.kubectl(&patch).expect_success();
    assert_ne!(example.kubectl(&envelope).expect_success(), sealed);
    assert_eq!(example.sh("app", "cat /run/secrets/db/password"), "hunter2");
    assert_eq!(example.sh("app", place), swapped);
    assert_eq!(example.logs("app"), logs);
    let secret = "secret/example-rotation-keyring";
    let _ = kubectl(&["-n", secretvault_e2e::SYSTEM, "delete", secret]);
}
