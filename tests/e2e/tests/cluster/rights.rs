//! What a person's role allows, beyond create and update: `restore` and `manage`. The roles are the
//! cluster's own (view, edit, admin), into which the chart's aggregate.

use secretvault_e2e::{Answer, Namespace, Vault, eventually, kubectl_with, unless_modified};
use serde_json::{Value, json};

const OLD: &str = "hunter2-rights";
const NEW: &str = "correct-horse-rights";

/// Somebody with one of the cluster's roles in one namespace.
struct Person<'a> {
    name: String,
    namespace: &'a Namespace,
}

impl<'a> Person<'a> {
    /// Binds the role, and waits until the API server knows.
    fn with_role(role: &str, namespace: &'a Namespace) -> Self {
        let name = format!("{role}-of-{}", namespace.name());
        let binding = [
            "create",
            "rolebinding",
            role,
            "--clusterrole",
            role,
            "--user",
            &name,
        ];
        let _ = namespace.kubectl(&binding).expect_success();
        let person = Self { name, namespace };
        eventually("the role is bound", || {
            let answer = person.kubectl(&["auth", "can-i", "list", "secretvaults"], "");
            answer.into_result()
        });
        person
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Answer {
        let who = ["--as", &self.name, "--namespace", self.namespace.name()];
        kubectl_with(&[&who, arguments].concat(), input)
    }

    fn create(&self, vault: &Vault) -> Answer {
        self.kubectl(&["create", "-f", "-"], &vault.manifest())
    }

    fn apply(&self, vault: &Vault) -> Answer {
        self.kubectl(&["apply", "-f", "-"], &vault.manifest())
    }

    fn replace(&self, vault: &Vault) -> Answer {
        self.replace_with(&[], vault)
    }

    fn replace_with(&self, arguments: &[&str], vault: &Vault) -> Answer {
        let replace = [&["replace", "-f", "-"], arguments].concat();
        unless_modified(|| self.kubectl(&replace, &vault.manifest()))
    }

    fn patch(&self, spec: &Value) -> Answer {
        let patch = json!({"spec": spec}).to_string();
        self.kubectl(&["patch", "sv/app", "--type=merge", "-p", &patch], "")
    }

    fn may(&self, verb: &str, resource: &str) -> bool {
        let answer = self.kubectl(&["auth", "can-i", verb, resource], "");
        answer.stdout.trim() == "yes"
    }
}

fn vault() -> Vault {
    Vault::named("app").text("db/password", OLD)
}

fn store(namespace: &Namespace) -> Value {
    let _ = vault().apply(namespace).expect_success();
    vault().stored(namespace)
}

const NEEDS_RESTORE: [&str; 4] = [
    "Forbidden",
    "an envelope or data key that is not the stored one",
    "\"restore\"",
    "ClusterRole admin",
];
const NEEDS_MANAGE: [&str; 4] = [
    "Forbidden",
    "spec.access",
    "\"manage\"",
    "ClusterRole admin",
];

#[test]
fn an_editor_creates_changes_and_deletes_vaults_of_plain_values() {
    let namespace = Namespace::create("rights");
    let editor = Person::with_role("edit", &namespace);
    let guarded = vault().spec("access", json!([{"serviceAccounts": ["web"]}]));
    let _ = editor.apply(&guarded).expect_success();
    assert!(vault().holds(&namespace, "db/password", OLD));
    let _ = editor
        .apply(&guarded.clone().text("db/password", NEW))
        .expect_success();
    assert!(vault().holds(&namespace, "db/password", NEW));
    // What is printed has a version. Where the status is written meanwhile, one prints it again.
    eventually("what was printed is applied", || {
        let printed = editor.kubectl(&["get", "sv/app", "-o", "yaml"], "");
        let applied = editor.kubectl(&["apply", "-f", "-"], &printed.expect_success());
        applied.into_result()
    });
    assert!(vault().holds(&namespace, "db/password", NEW));
    let _ = editor.kubectl(&["delete", "sv/app"], "").expect_success();
    assert!(!vault().is_stored(&namespace));
}

#[test]
fn an_editor_may_not_roll_a_value_back_to_an_old_envelope_and_an_admin_may() {
    let namespace = Namespace::create("rights");
    let old = store(&namespace);
    let _ = vault()
        .text("db/password", NEW)
        .apply(&namespace)
        .expect_success();
    let rollback = Vault::from_backup(&old);
    let editor = Person::with_role("edit", &namespace);
    editor
        .replace(&rollback)
        .expect_refusal(&NEEDS_RESTORE, OLD);
    assert!(vault().holds(&namespace, "db/password", NEW));
    let admin = Person::with_role("admin", &namespace);
    let _ = admin.replace(&rollback).expect_success();
    assert!(vault().holds(&namespace, "db/password", OLD));
}

#[test]
fn an_editor_may_not_bring_in_an_old_envelope_by_patch_or_server_side_apply() {
    let namespace = Namespace::create("rights");
    let old = store(&namespace);
    let _ = vault()
        .text("db/password", NEW)
        .apply(&namespace)
        .expect_success();
    let editor = Person::with_role("edit", &namespace);
    let data = &old["spec"]["data"];
    editor
        .patch(&json!({"data": data}))
        .expect_refusal(&NEEDS_RESTORE, OLD);
    let envelope = Vault::named("app").value("data", "db/password", data["db/password"].clone());
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    editor
        .kubectl(&apply, &envelope.manifest())
        .expect_refusal(&NEEDS_RESTORE, OLD);
    editor
        .patch(&json!({"data": null, "binaryData": data}))
        .expect_refusal(&NEEDS_RESTORE, OLD);
    assert!(vault().holds(&namespace, "db/password", NEW));
    let _ = editor.kubectl(&apply, &vault().manifest()).expect_success();
}

#[test]
fn an_editor_may_not_recreate_a_vault_from_a_backup_and_an_admin_may() {
    let namespace = Namespace::create("rights");
    let backup = Vault::from_backup(&store(&namespace));
    let editor = Person::with_role("edit", &namespace);
    let _ = editor.kubectl(&["delete", "sv/app"], "").expect_success();
    editor.create(&backup).expect_refusal(&NEEDS_RESTORE, OLD);
    let empty = Vault::from_backup(&json!({
        "metadata": {"name": "app"},
        "spec": {"dataKey": serde_json::from_str::<Value>(&backup.manifest()).unwrap()["spec"]["dataKey"]},
    }));
    editor.create(&empty).expect_refusal(&NEEDS_RESTORE, OLD);
    assert!(!backup.is_stored(&namespace));
    let admin = Person::with_role("admin", &namespace);
    let _ = admin.create(&backup).expect_success();
    backup.wait_ready(&namespace);
    assert!(backup.holds(&namespace, "db/password", OLD));
}

#[test]
fn an_editor_may_not_change_who_may_have_what_and_an_admin_may() {
    let namespace = Namespace::create("rights");
    let before = store(&namespace);
    let access = json!({"access": [{"serviceAccounts": ["web"]}]});
    let editor = Person::with_role("edit", &namespace);
    editor.patch(&access).expect_refusal(&NEEDS_MANAGE, OLD);
    assert_eq!(vault().stored(&namespace)["spec"], before["spec"]);
    let _ = editor
        .patch(&json!({"description": "the control", "data": {"db/password": NEW}}))
        .expect_success();
    let admin = Person::with_role("admin", &namespace);
    let _ = admin.patch(&access).expect_success();
    editor
        .patch(&json!({"access": null}))
        .expect_refusal(&NEEDS_MANAGE, OLD);
    editor.replace(&vault()).expect_refusal(&NEEDS_MANAGE, OLD);
    let stored = vault().stored(&namespace);
    assert_eq!(stored["spec"]["access"], access["access"]);
    let _ = admin.patch(&json!({"access": null})).expect_success();
}

#[test]
fn a_dry_run_asks_for_the_same_rights() {
    let namespace = Namespace::create("rights");
    let old = store(&namespace);
    let _ = vault()
        .text("db/password", NEW)
        .apply(&namespace)
        .expect_success();
    let editor = Person::with_role("edit", &namespace);
    let rollback = Vault::from_backup(&old);
    let dry_run = ["--dry-run=server"];
    editor
        .replace_with(&dry_run, &rollback)
        .expect_refusal(&NEEDS_RESTORE, OLD);
    let admin = Person::with_role("admin", &namespace);
    let _ = admin.replace_with(&dry_run, &rollback).expect_success();
}

#[test]
fn a_viewer_sees_envelopes_and_changes_nothing() {
    let namespace = Namespace::create("rights");
    store(&namespace);
    let viewer = Person::with_role("view", &namespace);
    let seen = viewer
        .kubectl(&["get", "sv/app", "-o", "yaml"], "")
        .expect_success();
    assert!(seen.contains("db/password: sv1:"), "{seen}");
    assert!(!seen.contains(OLD), "{seen}");
    for verb in ["create", "update", "patch", "delete"] {
        assert!(!viewer.may(verb, "secretvaults"), "{verb}");
    }
    viewer
        .patch(&json!({"data": {"db/password": NEW}}))
        .expect_refusal(&["Forbidden"], NEW);
    assert!(vault().holds(&namespace, "db/password", OLD));
}

#[test]
fn nobody_but_the_operator_writes_status_and_key_providers_are_in_no_role() {
    let namespace = Namespace::create("rights");
    for role in ["view", "edit", "admin"] {
        let person = Person::with_role(role, &namespace);
        for verb in ["update", "patch"] {
            let can_i = [
                "auth",
                "can-i",
                verb,
                "secretvaults",
                "--subresource=status",
            ];
            let answer = person.kubectl(&can_i, "");
            assert_eq!(answer.stdout.trim(), "no", "{role} {verb}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            assert!(!person.may(verb, "keyproviders"), "{role} {verb}");
        }
        let expected = role == "admin";
        assert_eq!(person.may("restore", "secretvaults"), expected, "{role}");
        assert_eq!(person.may("manage", "secretvaults"), expected, "{role}");
    }
}

#[test]
fn a_right_in_one_namespace_is_none_in_another() {
    let (home, elsewhere) = (Namespace::create("rights"), Namespace::create("rights"));
    let old = store(&elsewhere);
    let _ = vault()
        .text("db/password", NEW)
        .apply(&elsewhere)
        .expect_success();
    let rollback = Vault::from_backup(&old);
    let admin_at_home = Person::with_role("admin", &home);
    let guest = Person {
        name: admin_at_home.name.clone(),
        namespace: &elsewhere,
    };
    let binding = [
        "create",
        "rolebinding",
        "guest",
        "--clusterrole=edit",
        "--user",
        &guest.name,
    ];
    let _ = elsewhere.kubectl(&binding).expect_success();
    eventually("the role is bound", || {
        guest
            .kubectl(&["auth", "can-i", "update", "secretvaults"], "")
            .into_result()
    });
    guest.replace(&rollback).expect_refusal(&NEEDS_RESTORE, OLD);
    let _ = guest.replace(&vault()).expect_success();
}
