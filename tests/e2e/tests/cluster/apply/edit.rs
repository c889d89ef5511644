//! The other ways to change a vault: edit, patch, replace, dry runs, and several field managers.

use std::process::Command;

use secretvault_e2e::{Answer, Namespace, Vault};
use serde_json::{Value, json};

const OLD: &str = "hunter2-edited";
const NEW: &str = "correct-horse-edited";

fn vault() -> Vault {
    Vault::named("app").text("db/password", OLD)
}

fn stored_vault(namespace: &Namespace) -> Value {
    let _ = vault().apply(namespace).expect_success();
    vault().wait_ready(namespace)
}

fn patch(namespace: &Namespace, kind: &str, patch: &Value) -> Answer {
    let patch = patch.to_string();
    namespace.kubectl(&["patch", "sv/app", "--type", kind, "-p", &patch])
}

#[test]
fn a_value_typed_into_kubectl_edit_is_sealed() {
    let namespace = Namespace::create("edit");
    stored_vault(&namespace);
    let editor = format!("sed -i 's|db/password: sv1:.*|db/password: {NEW}|'");
    let edited = Command::new("kubectl")
        .args(["--namespace", namespace.name(), "edit", "sv/app"])
        .env("KUBE_EDITOR", editor)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&edited.stdout);
    assert!(said.contains("edited"), "{edited:?}");
    assert_sealed(&namespace);
}

#[test]
fn a_value_in_a_merge_patch_is_sealed() {
    let namespace = Namespace::create("edit");
    stored_vault(&namespace);
    let change = json!({"spec": {"data": {"db/password": NEW}}});
    let _ = patch(&namespace, "merge", &change).expect_success();
    assert_sealed(&namespace);
}

#[test]
fn a_value_in_a_json_patch_is_sealed() {
    let namespace = Namespace::create("edit");
    stored_vault(&namespace);
    let path = "/spec/data/db~1password";
    let change = json!([{"op": "replace", "path": path, "value": NEW}]);
    let _ = patch(&namespace, "json", &change).expect_success();
    assert_sealed(&namespace);
}

#[test]
fn a_value_in_a_replacement_is_sealed() {
    let namespace = Namespace::create("edit");
    let before = stored_vault(&namespace);
    let _ = vault()
        .text("db/password", NEW)
        .replace(&namespace)
        .expect_success();
    assert_sealed(&namespace);
    let after = vault().stored(&namespace);
    assert_eq!(after["spec"]["dataKey"], before["spec"]["dataKey"]);
}

fn assert_sealed(namespace: &Namespace) {
    let stored = vault().stored(namespace);
    assert!(!stored.to_string().contains(NEW), "{stored}");
    assert!(vault().holds(namespace, "db/password", NEW));
    assert!(!vault().holds(namespace, "db/password", OLD));
}

#[test]
fn a_dry_run_of_a_new_vault_seals_in_its_answer_and_stores_nothing() {
    let namespace = Namespace::create("edit");
    for way in [&["apply"][..], &["apply", "--server-side"], &["create"]] {
        let dry_run = ["--dry-run=server", "-o", "json", "-f", "-"];
        let answer = namespace.kubectl_with(&[way, &dry_run].concat(), &vault().manifest());
        assert_answer_is_sealed(&answer.expect_success(), OLD);
        assert!(!vault().is_stored(&namespace), "{way:?}");
    }
}

#[test]
fn a_dry_run_of_a_change_seals_in_its_answer_and_changes_nothing() {
    let namespace = Namespace::create("edit");
    let before = stored_vault(&namespace);
    let changed = vault().text("db/password", NEW).manifest();
    for way in [
        &["apply"][..],
        &["apply", "--server-side", "--force-conflicts"],
        &["replace"],
    ] {
        let dry_run = ["--dry-run=server", "-o", "json", "-f", "-"];
        let answer = namespace.kubectl_with(&[way, &dry_run].concat(), &changed);
        let envelope = assert_answer_is_sealed(&answer.expect_success(), NEW);
        assert_ne!(before["spec"]["data"]["db/password"], envelope);
        let after = vault().stored(&namespace);
        assert_eq!(after, before, "{way:?}");
    }
}

fn assert_answer_is_sealed(answer: &str, value: &str) -> String {
    assert!(!answer.contains(value), "{answer}");
    let object: Value = serde_json::from_str(answer).unwrap();
    let envelope = object["spec"]["data"]["db/password"].as_str().unwrap();
    assert!(envelope.starts_with("sv1:"), "{envelope}");
    envelope.to_owned()
}

#[test]
fn the_next_server_side_apply_conflicts_neither_with_status_nor_with_another_managers_label() {
    let namespace = Namespace::create("edit");
    let _ = vault().apply_server_side(&namespace).expect_success();
    vault().wait_ready(&namespace);
    let label = json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": "app", "labels": {"team": "shop"}},
    });
    let labeller = [
        "apply",
        "--server-side",
        "--field-manager=labeller",
        "-f",
        "-",
    ];
    let _ = namespace
        .kubectl_with(&labeller, &label.to_string())
        .expect_success();
    let changed = vault().text("db/password", NEW);
    let _ = changed.apply_server_side(&namespace).expect_success();
    let stored = changed.wait_ready(&namespace);
    assert_eq!(stored["metadata"]["labels"]["team"], "shop");
    assert!(changed.holds(&namespace, "db/password", NEW));
}

#[test]
fn another_managers_value_for_the_same_entry_conflicts_until_it_is_forced() {
    let namespace = Namespace::create("edit");
    let _ = vault().apply_server_side(&namespace).expect_success();
    let before = vault().stored(&namespace);
    let changed = vault().text("db/password", NEW).manifest();
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let conflict = namespace
        .kubectl_with(&other, &changed)
        .expect_refusal(&["conflict", ".spec.data.db/password"], NEW);
    assert!(conflict.contains("kubectl"), "{conflict}");
    assert_eq!(vault().stored(&namespace)["spec"], before["spec"]);
    let forced = [&other[..], &["--force-conflicts"]].concat();
    let _ = namespace.kubectl_with(&forced, &changed).expect_success();
    assert!(vault().holds(&namespace, "db/password", NEW));
}

#[test]
fn two_managers_share_a_vault_entry_by_entry() {
    let namespace = Namespace::create("edit");
    let _ = vault().apply_server_side(&namespace).expect_success();
    let theirs = Vault::named("app").text("smtp/token", NEW);
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let _ = namespace
        .kubectl_with(&other, &theirs.manifest())
        .expect_success();
    assert!(vault().holds(&namespace, "db/password", OLD));
    assert!(vault().holds(&namespace, "smtp/token", NEW));
    let empty = Vault::named("app").manifest();
    let _ = namespace.kubectl_with(&other, &empty).expect_success();
    let data = &vault().stored(&namespace)["spec"]["data"];
    assert_eq!(data["smtp/token"], Value::Null, "its manager gave it up");
    assert!(vault().holds(&namespace, "db/password", OLD));
}
