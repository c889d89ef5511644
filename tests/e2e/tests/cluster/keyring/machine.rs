//! The vaults of one machine, applied to a cluster that has the same key, and back again.

use std::{env, fs, path::PathBuf};

use secretvault_e2e::{Namespace, Pod, eventually, kubectl, run, run_with};
use serde_json::{Value, json};

use super::{NEW, Provider, VALUE, command::Directory};

/// A store and a keyring, and the program that is there for them.
struct Machine(Directory);

impl Machine {
    fn new(namespace: &Namespace) -> Self {
        let machine = Self(Directory::create(namespace));
        let _ = machine.secretvault(&["init"], "");
        machine
    }

    fn secretvault(&self, arguments: &[&str], input: &str) -> String {
        let (store, keyring) = (self.0.join("vaults"), self.0.join("keyring"));
        let place = ["--store", &store, "--keyring", &keyring];
        let program = program();
        let program = program.to_str().unwrap();
        run_with(program, &[&place, arguments].concat(), input).expect_success()
    }
}

/// Beside the test's own directory, where `cargo build` has put it.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("secretvault")
}

#[test]
fn the_store_of_one_machine_is_applied_to_a_cluster_with_the_same_key_and_comes_back() {
    let namespace = Namespace::create("machine");
    let machine = Machine::new(&namespace);
    let provider = Provider::over_existing_keyring(&namespace);
    provider.put_keyring(&fs::read_to_string(machine.0.join("keyring")).unwrap());
    provider.apply();
    provider.wait("True", "KeyringReady");

    let mut manifest: Value = serde_json::from_str(&provider.vault().manifest()).unwrap();
    manifest["metadata"]["namespace"] = json!(namespace.name());
    let applied = machine.secretvault(&["apply", "-f", "-"], &manifest.to_string());
    assert!(applied.contains("created"), "{applied}");
    for apply in [
        &["apply"][..],
        &["apply", "--server-side", "--force-conflicts"],
    ] {
        let store = machine.0.join("vaults");
        let _ = kubectl(&[apply, &["-f", &store]].concat()).expect_success();
        let kept = namespace.field("sv/app", r"{.spec.data.db/password}");
        let file = fs::read_to_string(format!("{store}/{}.app.yaml", namespace.name())).unwrap();
        assert!(file.contains(&kept), "another envelope than {kept}");
    }
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "db/password"), VALUE);

    let patch = json!({"spec": {"data": {"db/password": NEW}}}).to_string();
    let patched = namespace.kubectl(&["patch", "sv/app", "--type=merge", "-p", &patch]);
    let _ = patched.expect_success();
    let object = namespace.kubectl(&["get", "sv/app", "-o", "yaml"]);
    let back = machine.secretvault(&["apply", "-f", "-"], &object.expect_success());
    assert!(back.contains("configured"), "{back}");
    let name = format!("{}/app", namespace.name());
    let value = machine.secretvault(&["get", &name, "db/password", "--reveal"], "");
    assert_eq!(value, NEW);
}

#[test]
fn the_example_of_one_machine_is_a_manifest_of_the_cluster_too() {
    let namespace = Namespace::create("machine-example");
    let file = secretvault_e2e::root().join("examples/one-machine/vault.yaml");
    let _ = namespace
        .kubectl(&["apply", "-f", file.to_str().unwrap()])
        .expect_success();
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "db_password"), "hunter2");
}

#[test]
fn the_tour_of_one_machine_shows_what_it_says() {
    let demo = secretvault_e2e::root().join("examples/one-machine/demo");
    let program = program();
    let shown = run(demo.to_str().unwrap(), &[program.to_str().unwrap()]).expect_success();
    for text in [
        "vault default/app created",
        "(grep -r hunter2 finds nothing)",
        "with the password hunter2",
        "with the password correct-horse",
    ] {
        assert!(shown.contains(text), "{text:?} is missing: {shown}");
    }
    eventually("nothing is left", || {
        let left = run("sh", &["-c", "findmnt --noheadings --source secretvault"]);
        if left.stdout.contains("/run/secrets") {
            Err(left.stdout)
        } else {
            Ok(())
        }
    });
}
