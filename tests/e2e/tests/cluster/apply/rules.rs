//! Manifests that no pod could use: refused by a message that says what is wrong where. (Most of it
//! the schema refuses too, without the webhook: see `schema`.)

use secretvault_e2e::{Answer, Namespace, Vault};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-rules";

fn vault() -> Vault {
    Vault::named("app").text("a", VALUE).text("b", "of-b")
}

/// The first is refused with these words, and the second, which differs in that one thing, is not:
/// a dry run goes through all that a real one does.
fn assert_rule(namespace: &Namespace, wrong: &Vault, says: &[&str], right: &Vault) {
    wrong.create(namespace).expect_refusal(says, VALUE);
    assert!(!wrong.is_stored(namespace));
    let dry_run = ["create", "--dry-run=server", "-f", "-"];
    let _ = namespace
        .kubectl_with(&dry_run, &right.manifest())
        .expect_success();
}

#[test]
fn an_entry_in_two_maps_is_refused() {
    let namespace = Namespace::create("rules");
    for map in ["binaryData", "publicData", "publicBinaryData"] {
        let says = [map, "entry a is also in data", "keep one of the two"];
        let wrong = vault().value(map, "a", json!("AAEC"));
        assert_rule(
            &namespace,
            &wrong,
            &says,
            &vault().value(map, "c", json!("AAEC")),
        );
    }
}

#[test]
fn a_name_that_leaves_the_volume_is_refused() {
    let namespace = Namespace::create("rules");
    for name in [
        "../a",
        "/a",
        "a/../b",
        "a//b",
        "..data",
        "kubernetes.io/a",
        "a b",
    ] {
        let wrong = Vault::named("app").text(name, VALUE);
        assert_rule(
            &namespace,
            &wrong,
            &["spec.data", name],
            &Vault::named("app").text("a", VALUE),
        );
    }
}

fn files(rules: Value) -> Vault {
    vault().spec("files", rules)
}

#[test]
fn two_entries_at_one_path_are_refused() {
    let namespace = Namespace::create("rules");
    let wrong = files(json!([{"entry": "a", "path": "p"}, {"entry": "b", "path": "p"}]));
    let right = files(json!([{"entry": "a", "path": "p"}, {"entry": "b", "path": "q"}]));
    assert_rule(
        &namespace,
        &wrong,
        &["entries a and b", "p would be two files", "another path"],
        &right,
    );
}

#[test]
fn an_entry_at_the_path_of_another_is_refused() {
    let namespace = Namespace::create("rules");
    let wrong = files(json!([{"entry": "a", "path": "b"}]));
    let right = files(json!([{"entry": "a", "path": "b"}, {"entry": "b", "path": "a"}]));
    assert_rule(
        &namespace,
        &wrong,
        &["entries a and b", "another path"],
        &right,
    );
}

#[test]
fn one_path_below_another_is_refused() {
    let namespace = Namespace::create("rules");
    let wrong = vault().text("a/below", "below");
    let right = vault().text("a.d/below", "below");
    assert_rule(
        &namespace,
        &wrong,
        &["entries a and a/below", "another path"],
        &right,
    );
}

#[test]
fn two_entries_at_one_path_are_refused_among_many_rules_too() {
    let namespace = Namespace::create("rules");
    let count = 200;
    let many = |last_path: &str| {
        let rules: Vec<Value> = (0..count)
            .map(|n| json!({"entry": format!("e{n}"), "path": format!("p{n}")}))
            .chain([json!({"entry": "a", "path": last_path})])
            .collect();
        (0..count)
            .fold(vault(), |vault, n| vault.text(&format!("e{n}"), "v"))
            .spec("files", json!(rules))
    };
    assert_rule(
        &namespace,
        &many("p7"),
        &["p7", "another path"],
        &many("another"),
    );
}

#[test]
fn a_rule_for_an_entry_that_is_not_there_is_refused() {
    let namespace = Namespace::create("rules");
    let wrong = files(json!([{"entry": "absent"}]));
    let says = ["spec.files[0].entry", "absent", "not in the vault"];
    assert_rule(&namespace, &wrong, &says, &files(json!([{"entry": "a"}])));
}

#[test]
fn a_mode_is_three_octal_digits_in_quotes() {
    let namespace = Namespace::create("rules");
    let right = files(json!([{"entry": "a", "mode": "0400"}]));
    for mode in ["0999", "4755", "07777", "rw", ""] {
        let wrong = files(json!([{"entry": "a", "mode": mode}]));
        assert_rule(&namespace, &wrong, &["spec.files[0].mode"], &right);
        let wrong = vault().spec("fileDefaults", json!({"mode": mode}));
        assert_rule(&namespace, &wrong, &["spec.fileDefaults.mode"], &right);
    }
}

#[test]
fn an_unquoted_mode_is_refused() {
    let namespace = Namespace::create("rules");
    let apply = |mode: &str| -> Answer {
        namespace.apply(&format!(
            "apiVersion: secretvault.dev/v1alpha1\n\
             kind: SecretVault\n\
             metadata: {{name: app}}\n\
             spec:\n\
             \x20 data: {{a: {VALUE}}}\n\
             \x20 files: [{{entry: a, mode: {mode}}}]\n"
        ))
    };
    for mode in ["0400", "400", "0o400"] {
        apply(mode).expect_refusal(&["spec.files[0].mode"], VALUE);
        assert!(!vault().is_stored(&namespace), "{mode}");
    }
    let _ = apply("\"0400\"").expect_success();
}

#[test]
fn an_owner_is_a_number_that_is_a_user() {
    let namespace = Namespace::create("rules");
    let owned = |field: &str, id: Value| files(json!([{"entry": "a", field: id}]));
    for field in ["uid", "gid"] {
        let path = format!("spec.files[0].{field}");
        for id in [json!(-1), json!(4_294_967_295_u64), json!("root")] {
            let right = owned(field, json!(4_294_967_294_u64));
            assert_rule(&namespace, &owned(field, id), &[&path], &right);
        }
    }
}

#[test]
fn a_misspelt_field_is_refused() {
    let namespace = Namespace::create("rules");
    let says = ["unknown field", "spec.stringData"];
    assert_rule(
        &namespace,
        &vault().value("stringData", "c", json!("v")),
        &says,
        &vault(),
    );
}

#[test]
fn an_immutable_vault_changes_neither_values_nor_files_nor_back_but_labels_and_access() {
    let namespace = Namespace::create("rules");
    let vault = vault().spec("immutable", json!(true));
    let _ = vault.apply(&namespace).expect_success();
    let before = vault.stored(&namespace);
    let changes = [
        json!({"data": {"a": "changed"}}),
        json!({"data": {"a": null}}),
        json!({"publicData": {"new": "v"}}),
        json!({"files": [{"entry": "a", "mode": "0400"}]}),
        json!({"fileDefaults": {"uid": 7}}),
        json!({"immutable": false}),
        json!({"immutable": null}),
    ];
    let patch = |spec: &Value| {
        let patch = json!({"spec": spec}).to_string();
        namespace.kubectl(&["patch", "sv/app", "--type=merge", "-p", &patch])
    };
    for change in &changes {
        patch(change).expect_refusal(&["immutable", "create another vault"], VALUE);
    }
    assert_eq!(vault.stored(&namespace)["spec"], before["spec"]);
    let _ = vault.apply(&namespace).expect_success();
    assert_eq!(
        vault.stored(&namespace)["spec"],
        before["spec"],
        "applied again"
    );
    let _ = patch(&json!({"access": [{"serviceAccounts": ["web"]}]})).expect_success();
    let _ = namespace
        .kubectl(&["label", "sv/app", "team=shop"])
        .expect_success();
}
