//! What the API server does by itself: with the webhook gone it refuses what is not sealed, and it
//! explains every field.

use secretvault_e2e::{Answer, Namespace, SYSTEM, Vault, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-schema";
const WEBHOOK: &str = "mutatingwebhookconfiguration/00-secretvault";

/// The cluster without the vault webhook. Drop brings it back, and waits until it seals again.
pub(crate) struct WithoutWebhook {
    manifest: Value,
    manager: String,
}

impl WithoutWebhook {
    pub(crate) fn new() -> Self {
        let stored = get(WEBHOOK);
        let manager = manager_of(&stored);
        let mut manifest = stored;
        let metadata = manifest["metadata"].as_object_mut().unwrap();
        metadata.retain(|field, _| ["name", "labels", "annotations"].contains(&field.as_str()));
        // The operator writes it, as after an install.
        for webhook in manifest["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"]
                .as_object_mut()
                .unwrap()
                .remove("caBundle");
        }
        let without = Self { manifest, manager };
        let _ = kubectl(&["delete", WEBHOOK]).expect_success();
        without
    }

    /// As Helm left it: with its name as the manager, so that the next upgrade finds no conflict.
    fn restore(&self) -> Result<String, String> {
        let manager = format!("--field-manager={}", self.manager);
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            &manager,
            "-f",
            "-",
        ];
        kubectl_with(&apply, &self.manifest.to_string()).into_result()
    }
}

impl Drop for WithoutWebhook {
    fn drop(&mut self) {
        eventually("the webhook is back", || self.restore());
        let probe = Namespace::create("schema-probe");
        eventually("the webhook seals", || {
            let dry_run = ["create", "--dry-run=server", "-f", "-"];
            let vault = Vault::named("probe").text("a", VALUE);
            probe
                .kubectl_with(&dry_run, &vault.manifest())
                .into_result()
        });
    }
}

fn get(object: &str) -> Value {
    let answer = kubectl(&["get", object, "-o", "json", "--show-managed-fields"]);
    serde_json::from_str(&answer.expect_success()).unwrap()
}

/// Who wrote it, but for the operator.
fn manager_of(object: &Value) -> String {
    let fields = object["metadata"]["managedFields"].as_array().unwrap();
    let mut managers = fields.iter().filter_map(|it| it["manager"].as_str());
    let manager = managers.find(|manager| *manager != "secretvault-operator");
    manager.unwrap().to_owned()
}

fn vault() -> Vault {
    Vault::named("app").text("db/password", VALUE)
}

const REFUSED: [&str; 3] = [
    "is invalid",
    "every value must be sealed",
    "admission webhook",
];

#[test]
#[ignore = "it needs the cluster for itself"]
fn with_the_webhook_gone_plain_values_are_refused_and_sealed_ones_stay() {
    let namespace = Namespace::create("schema");
    let _ = vault().apply(&namespace).expect_success();
    let before = vault().wait_ready(&namespace);
    let without = WithoutWebhook::new();
    eventually("the API server forgets the webhook", || {
        refused(vault().renamed("probe").create(&namespace))
    });

    assert_plain_is_refused(&namespace);
    assert_rules_hold(&namespace);
    let change = json!({"spec": {"data": {"db/password": VALUE}}}).to_string();
    namespace
        .kubectl(&["patch", "sv/app", "--type=merge", "-p", &change])
        .expect_refusal(&REFUSED, VALUE);
    assert_eq!(vault().stored(&namespace)["spec"], before["spec"]);

    let _ = namespace
        .kubectl(&["label", "sv/app", "team=shop"])
        .expect_success();
    let sealed = Vault::from_backup(&before);
    let _ = sealed.replace(&namespace).expect_success();
    let _ = sealed
        .text("db/password", "sv1:AAAA")
        .replace(&namespace)
        .expect_success();
    let damaged = vault().wait_condition(&namespace, "False");
    let ready = &damaged["status"]["conditions"][0];
    assert_eq!(ready["reason"], "Damaged");
    assert!(
        ready["message"].as_str().unwrap().contains("db/password"),
        "{ready}"
    );

    drop(without);
    let _ = vault().apply(&namespace).expect_success();
    vault().wait_ready(&namespace);
    assert!(vault().holds(&namespace, "db/password", VALUE));
}

/// An answer of the schema's, not of a webhook that is still called.
fn refused(answer: Answer) -> Result<(), String> {
    match answer.into_result() {
        Err(complaint) if complaint.contains(REFUSED[1]) => Ok(()),
        Err(other) => Err(other),
        Ok(stored) => Err(stored),
    }
}

fn assert_plain_is_refused(namespace: &Namespace) {
    let plain = [
        vault().renamed("text"),
        vault().renamed("beside-sealed").text("sealed", "sv1:AAAA"),
        Vault::named("binary").binary("key", "aHVudGVyMi1zY2hlbWE="),
    ];
    for vault in plain {
        vault.create(namespace).expect_refusal(&REFUSED, VALUE);
        vault
            .apply_server_side(namespace)
            .expect_refusal(&REFUSED, VALUE);
        assert!(!vault.is_stored(namespace), "{}", vault.object());
    }
    let values = [
        (json!(4_711_471_147_u64), "4711471147"),
        (json!({"nested": VALUE}), VALUE),
        (json!([VALUE]), VALUE),
    ];
    for (value, text) in values {
        let wrong = Vault::named("wrong").value("data", "a", value);
        wrong.create(namespace).expect_refusal(&["spec.data"], text);
        wrong
            .apply_server_side(namespace)
            .expect_refusal(&["spec.data"], text);
        assert!(!wrong.is_stored(namespace));
    }
}

/// The schema's own rules, on values that are sealed by their looks.
fn assert_rules_hold(namespace: &Namespace) {
    let sealed = || {
        Vault::named("rules")
            .text("a", "sv1:AAAA")
            .text("b", "sv1:AAAA")
    };
    let files = |rules: Value| sealed().spec("files", rules);
    let many = (0..500).map(|n| format!("e{n}"));
    let wrong = [
        (
            sealed().public("a", "v"),
            "an entry is in data and in publicData",
        ),
        (
            sealed().text("../a", "sv1:AAAA"),
            "an entry's name is made of segments",
        ),
        (
            sealed().text(&"n".repeat(254), "sv1:AAAA"),
            "at most 253 characters",
        ),
        (files(json!([{"entry": "c"}])), "not in the vault"),
        (files(json!([{"entry": "a", "path": "b"}])), "another path"),
        (
            files(json!([{"entry": "a", "mode": "0999"}])),
            "spec.files[0].mode",
        ),
        (
            files(json!([{"entry": "a", "uid": -1}])),
            "spec.files[0].uid",
        ),
        (
            many.fold(Vault::named("rules"), |vault, name| {
                vault.text(&name, "sv1:AAAA")
            })
            .public("501st", "v"),
            "more than 500 entries",
        ),
    ];
    for (vault, says) in wrong {
        vault.create(namespace).expect_refusal(&[says], VALUE);
        assert!(!vault.is_stored(namespace), "{says}");
    }
    let dry_run = ["create", "--dry-run=server", "-f", "-"];
    let right = files(json!([{"entry": "a", "path": "c"}])).manifest();
    let _ = namespace.kubectl_with(&dry_run, &right).expect_success();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn an_authority_that_somebody_takes_out_of_the_webhook_is_written_again() {
    let bundle = || get(WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let before = bundle();
    assert!(before.is_string(), "the operator wrote it");
    let wrong = json!([{
        "op": "replace",
        "path": "/webhooks/0/clientConfig/caBundle",
        "value": other_authority(),
    }]);
    let _ = kubectl(&["patch", WEBHOOK, "--type=json", "-p", &wrong.to_string()]).expect_success();
    eventually("the operator writes its authority", || {
        let now = bundle();
        if now == before { Ok(()) } else { Err(now) }
    });
}

/// Any valid certificate that is not the operator's: the API server's own authority.
pub(crate) fn other_authority() -> Value {
    let config = kubectl(&[
        "get",
        "configmap",
        "kube-root-ca.crt",
        "-n",
        SYSTEM,
        "-o",
        "json",
    ]);
    let config: Value = serde_json::from_str(&config.expect_success()).unwrap();
    let text = config["data"]["ca.crt"].as_str().unwrap();
    json!(base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        text
    ))
}

#[test]
fn every_field_is_explained() {
    for kind in ["secretvaults", "keyproviders"] {
        let definition = get(&format!("crd/{kind}.secretvault.dev"));
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut mute = Vec::new();
        let mut seen = 0;
        walk(kind, &schema["properties"], &mut |path, field| {
            seen += 1;
            let text = field["description"].as_str().unwrap_or_default();
            if text.len() < 4 {
                mute.push(path.to_owned());
            }
        });
        assert!(seen > 15, "{kind} has {seen} fields");
        assert_eq!(mute, [""; 0], "{kind}");
    }
    let mode = kubectl(&["explain", "sv.spec.files.mode"]).expect_success();
    assert!(mode.contains("octal digits in a string"), "{mode}");
}

/// Every property below, by its path as `kubectl explain` takes it.
fn walk(path: &str, properties: &Value, visit: &mut impl FnMut(&str, &Value)) {
    for (name, field) in properties.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, field);
        for inner in [field, &field["items"], &field["additionalProperties"]] {
            walk(&path, &inner["properties"], visit);
        }
    }
}

#[test]
fn vaults_and_key_providers_have_short_names_and_a_category() {
    let namespace = Namespace::create("schema");
    let _ = vault().apply(&namespace).expect_success();
    let names = &get("crd/secretvaults.secretvault.dev")["spec"]["names"];
    let category = names["categories"][0].as_str().unwrap().to_owned();
    for listed in ["sv", "secretvault", "secretvaults", &category] {
        let found = namespace
            .kubectl(&["get", listed, "-o", "name"])
            .expect_success();
        assert!(
            found.contains("secretvault.secretvault.dev/app"),
            "{listed}: {found}"
        );
    }
    for listed in ["kp", &category] {
        let found = kubectl(&["get", listed, "-o", "name"]).expect_success();
        assert!(
            found.contains("keyprovider.secretvault.dev/default"),
            "{listed}: {found}"
        );
    }
}
