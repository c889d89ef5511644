//! Variables that lead to files, and what is known of the files.

use secretvault_vault::VaultRef;
use serde_json::{Value, json};

use super::fixture::{Scene, pod, vault};

fn variables(pod: &Value) -> Vec<String> {
    let variables = pod["spec"]["containers"][0]["env"].as_array();
    let variables = variables.into_iter().flatten();
    variables
        .map(|it| {
            format!(
                "{}={}",
                it["name"].as_str().unwrap(),
                it["value"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn a_named_file_of_the_selection_has_its_variable() {
    let scene = Scene::with_a_vault();
    let asked = pod(&[("env-file", "PW=pw"), ("items", "db/password=pw")]);
    assert_eq!(
        variables(&scene.injected(&asked)),
        ["PW_FILE=/run/secrets/pw"]
    );
}

#[test]
fn a_path_that_the_selection_does_not_produce_is_refused_with_what_there_is() {
    let scene = Scene::with_a_vault();
    let refusal = scene.refusal(&pod(&[("env-file", "PW=db/pasword")]));
    for text in [
        "annotation secretvault.dev/env-file: PW=db/pasword",
        "did you mean db/password?",
        "there will be db/password, smtp/token",
    ] {
        assert!(refusal.contains(text), "{refusal}");
    }
    let other = pod(&[("env-file", "PW=db/password"), ("items", "smtp/*")]);
    assert!(scene.refusal(&other).contains("there will be smtp/token"));
    let empty = Scene::with([vault("shop", "app", &[])]);
    let refusal = empty.refusal(&pod(&[("env-file", "PW=db/password")]));
    assert!(refusal.contains("the volume will be empty"), "{refusal}");
    scene.injected(&pod(&[("env-file", "PW=db/password")]));
}

#[test]
fn a_path_of_a_vault_that_is_not_there_is_believed_and_the_pod_waits() {
    let scene = Scene::with([]);
    let asked = pod(&[("env-file", "PW=db/password")]);
    let (injected, warnings) = scene.admitted(&asked);
    assert_eq!(variables(&injected), ["PW_FILE=/run/secrets/db/password"]);
    let expected = "vault shop/app does not exist: create it, or correct vaults; the pod waits \
                    until then";
    assert_eq!(warnings, [expected]);
}

#[test]
fn a_vault_of_others_is_spoken_of_alike_whether_it_is_there_or_not() {
    let asked = pod(&[("vaults", "platform/shared"), ("env-file", "A=a")]);
    let there = Scene::with([vault("platform", "shared", &["b"])]);
    assert_eq!(there.admitted(&asked), Scene::with([]).admitted(&asked));
}

#[test]
fn a_file_that_may_come_later_is_believed() {
    let scene = Scene::with_a_vault();
    let items = "[{entry: db/password}, {entry: tls/key, optional: true}]";
    let asked = |path: &str| pod(&[("env-file", &format!("A={path}")), ("items", items)]);
    scene.injected(&asked("tls/key"));
    assert!(scene.refusal(&asked("tls/crt")).contains("no file tls/crt"));
    let vaults = "[{vault: app}, {vault: extra, optional: true}]";
    let lacking = pod(&[("vaults", vaults), ("env-file", "A=tls/key")]);
    scene.injected(&lacking);
    let extra = vault("shop", "extra", &["x"]);
    let there = Scene::with([vault("shop", "app", &["db/password"]), extra]);
    assert!(there.refusal(&lacking).contains("no file tls/key"));
}

#[test]
fn every_file_has_a_variable_if_the_files_are_known() {
    let asked = pod(&[("file-env", "true")]);
    let injected = Scene::with_a_vault().injected(&asked);
    let expected = [
        "DB_PASSWORD_FILE=/run/secrets/db/password",
        "SMTP_TOKEN_FILE=/run/secrets/smtp/token",
    ];
    assert_eq!(variables(&injected), expected);
    let refusal = Scene::with([]).refusal(&asked);
    assert!(
        refusal.contains("vault shop/app does not exist"),
        "{refusal}"
    );
    assert!(refusal.contains("apply the vault first"), "{refusal}");
}

#[test]
fn a_replica_that_cannot_tell_admits_what_does_not_depend_on_it() {
    let mut scene = Scene::with_a_vault();
    scene.vaults = None;
    scene.injected(&pod(&[("env-file", "PW=whatever")]));
    let every = scene.patched(&pod(&[("file-env", "true")])).unwrap_err();
    assert!(every.is_passing(), "{every}");
}

/// A scene in which the vault is for namespaces of the team `blue`.
fn selecting(labels: Option<&[(&str, &str)]>) -> Scene {
    let mut app = vault("shop", "app", &["db/password"]);
    let rule = json!([{"namespaces": {"selector": {"matchLabels": {"team": "blue"}}}}]);
    app.spec.access = serde_json::from_value(rule).unwrap();
    let mut scene = Scene::with([app]);
    scene.namespace_labels = labels.map(|labels| {
        let labels = labels.iter();
        let labels = labels.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        labels.collect()
    });
    scene
}

#[test]
fn rules_that_select_namespaces_are_judged_by_the_labels_of_the_pods_own() {
    let every = pod(&[("file-env", "true")]);
    let injected = selecting(Some(&[("team", "blue")])).injected(&every);
    assert_eq!(
        variables(&injected),
        ["DB_PASSWORD_FILE=/run/secrets/db/password"]
    );
    let refusal = selecting(Some(&[("team", "red")])).refusal(&every);
    assert!(refusal.contains("its access has no rule"), "{refusal}");
    let unknown = selecting(None);
    let every = unknown.patched(&every).unwrap_err();
    assert!(every.is_passing(), "{every}");
    let (_, warnings) = unknown.admitted(&pod(&[("env-file", "PW=whatever")]));
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_vault_that_cannot_be_read_is_not_said_to_be_missing() {
    let scene = Scene::with([]);
    let app = VaultRef::new("shop", "app");
    scene
        .vaults
        .as_ref()
        .unwrap()
        .arrive_unreadable(app, "u", 1);
    let (_, warnings) = scene.admitted(&pod(&[("env-file", "PW=whatever")]));
    assert_eq!(warnings, [""; 0]);
    let every = scene.patched(&pod(&[("file-env", "true")])).unwrap_err();
    assert!(every.is_passing(), "{every}");
}

#[test]
fn items_are_those_of_the_pods_name_account_and_labels() {
    let entries = ["users/web/key", "users/default/key", "users/blue/key"];
    let scene = Scene::with([vault("shop", "app", &entries)]);
    for (variable, file) in [
        ("${pod.name}", "users/web/key"),
        ("${pod.serviceAccountName}", "users/default/key"),
        ("${pod.labels['team']}", "users/blue/key"),
    ] {
        let items = format!("users/{variable}/key");
        let mut asked = pod(&[("env-file", &format!("A={file}")), ("items", &items)]);
        asked["metadata"]["labels"] = json!({"team": "blue"});
        scene.injected(&asked);
        asked["metadata"]["annotations"]["secretvault.dev/env-file"] = json!("A=users/other/key");
        assert!(
            scene
                .refusal(&asked)
                .contains(&format!("there will be {file}"))
        );
    }
    let unlabelled = pod(&[("items", "${pod.labels['team']}")]);
    assert!(scene.refusal(&unlabelled).contains("the pod has no label"));
}

#[test]
fn without_a_name_nothing_is_checked_that_depends_on_it() {
    let scene = Scene::with_a_vault();
    let unnamed = |annotations: &[(&str, &str)]| {
        let mut pod = pod(annotations);
        pod["metadata"]["generateName"] = json!("web-");
        pod["metadata"].as_object_mut().unwrap().remove("name");
        pod
    };
    let items = ("items", "users/${pod.name}/key, ${node.name}");
    scene.injected(&unnamed(&[items, ("env-file", "A=users/web-1/key")]));
    let refusal = scene.refusal(&unnamed(&[items, ("file-env", "true")]));
    assert!(refusal.contains("is not known yet"), "{refusal}");
    let wrong = unnamed(&[("items", "users/${pod.name}/../key")]);
    assert!(scene.refusal(&wrong).contains("items: "));
    // What does not depend on it is checked.
    assert!(
        scene
            .refusal(&unnamed(&[("env-file", "A=b")]))
            .contains("no file b")
    );
}
