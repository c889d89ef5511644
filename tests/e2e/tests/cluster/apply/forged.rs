//! What is refused when it is applied: forged and foreign envelopes and keys, and manifests that
//! would leave a value in plain text somewhere. Each beside a control that differs in that one
//! thing.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use secretvault_e2e::{Answer, Namespace, STATE, Vault};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-forged";

fn vault() -> Vault {
    Vault::named("app")
        .text("db/password", VALUE)
        .text("smtp/token", "token-of-smtp")
}

/// Stores the vault and returns it as its owner would get it back.
fn store(namespace: &Namespace) -> Value {
    let _ = vault().create(namespace).expect_success();
    vault().stored(namespace)
}

/// The replacement is refused with these words, and the stored vault stays as it was.
fn assert_replacement_refused(namespace: &Namespace, forged: &Vault, says: &[&str]) {
    let before = forged.stored(namespace);
    forged.replace(namespace).expect_refusal(says, VALUE);
    assert_eq!(forged.stored(namespace)["spec"], before["spec"]);
}

/// The creation is refused with these words, and nothing is stored.
fn assert_creation_refused(namespace: &Namespace, forged: &Vault, says: &[&str]) {
    forged.create(namespace).expect_refusal(says, VALUE);
    assert!(!forged.is_stored(namespace));
}

#[test]
fn an_envelope_of_another_entry_is_refused() {
    let namespace = Namespace::create("forged");
    let stored = store(&namespace);
    let backup = Vault::from_backup(&stored);
    let moved = backup.clone().value(
        "data",
        "smtp/token",
        stored["spec"]["data"]["db/password"].clone(),
    );
    let says = [
        "spec.data[smtp/token]",
        "does not open",
        "give the plain value",
    ];
    assert_replacement_refused(&namespace, &moved, &says);
    let _ = backup.replace(&namespace).expect_success();
}

#[test]
fn an_envelope_in_the_other_map_opens_for_the_same_entry() {
    let namespace = Namespace::create("forged");
    let stored = store(&namespace);
    let envelope = stored["spec"]["data"]["db/password"].clone();
    let moved = Vault::from_backup(&stored)
        .without("data", "db/password")
        .value("binaryData", "db/password", envelope.clone());
    let _ = moved.replace(&namespace).expect_success();
    let after = moved.wait_ready(&namespace);
    assert_eq!(after["spec"]["binaryData"]["db/password"], envelope);
}

#[test]
fn the_envelopes_of_another_vault_are_refused_with_its_data_key_and_without() {
    let namespace = Namespace::create("forged");
    let stored = store(&namespace);
    let stolen = Vault::from_backup(&stored).renamed("thief");
    assert_creation_refused(
        &namespace,
        &stolen,
        &["spec.dataKey is not", "leave spec.dataKey out"],
    );
    let keyless = stolen.spec("dataKey", Value::Null);
    let says = ["spec.data[", "does not open", "cannot be moved or copied"];
    assert_creation_refused(&namespace, &keyless, &says);
    let _ = namespace.kubectl(&["delete", "sv/app"]).expect_success();
    let _ = Vault::from_backup(&stored)
        .create(&namespace)
        .expect_success();
}

#[test]
fn the_envelopes_of_another_namespace_are_refused_with_its_data_key_and_without() {
    let (theirs, mine) = (Namespace::create("forged"), Namespace::create("forged"));
    let stored = store(&theirs);
    let stolen = Vault::from_backup(&stored);
    assert_creation_refused(
        &mine,
        &stolen,
        &["spec.dataKey is not", "leave spec.dataKey out"],
    );
    let keyless = stolen.clone().spec("dataKey", Value::Null);
    let says = ["spec.data[", "does not open", "cannot be moved or copied"];
    assert_creation_refused(&mine, &keyless, &says);
    let _ = theirs.kubectl(&["delete", "sv/app"]).expect_success();
    let _ = stolen.create(&theirs).expect_success();
}

#[test]
fn another_vaults_data_key_is_refused() {
    let namespace = Namespace::create("forged");
    let stored = store(&namespace);
    let other = vault().renamed("other");
    let _ = other.create(&namespace).expect_success();
    let backup = Vault::from_backup(&stored);
    let theirs = other.stored(&namespace)["spec"]["dataKey"].clone();
    let says = [
        "spec.dataKey is not the data key of this vault",
        "leave spec.dataKey out",
    ];
    assert_replacement_refused(
        &namespace,
        &backup.clone().spec("dataKey", theirs.clone()),
        &says,
    );
    // Under the name of the stored one, too.
    let mut renamed = theirs;
    renamed["id"] = stored["spec"]["dataKey"]["id"].clone();
    assert_replacement_refused(&namespace, &backup.clone().spec("dataKey", renamed), &says);
    let _ = backup.replace(&namespace).expect_success();
}

#[test]
fn a_wrapped_data_key_with_one_changed_character_is_refused() {
    let namespace = Namespace::create("forged");
    let stored = store(&namespace);
    let mut data_key = stored["spec"]["dataKey"].clone();
    let wrapped = data_key["wrapped"].as_str().unwrap();
    let first = if wrapped.starts_with('A') { "B" } else { "A" };
    data_key["wrapped"] = json!(format!("{first}{}", &wrapped[1..]));
    let forged = Vault::from_backup(&stored).spec("dataKey", data_key);
    assert_replacement_refused(&namespace, &forged, &["spec.dataKey is not"]);
}

#[test]
fn a_new_value_that_only_starts_like_an_envelope_is_refused_and_goes_into_binary_data() {
    let namespace = Namespace::create("forged");
    for prefix in ["sv1:", "git1:"] {
        let text = format!("{prefix}{VALUE}");
        let looks_sealed = Vault::named("app").text("a", &text);
        let says = ["spec.data[a]", "spec.binaryData"];
        assert_creation_refused(&namespace, &looks_sealed, &says);
    }
    // "sv1:hunter2-forged"
    let as_bytes = Vault::named("app").binary("a", "c3YxOmh1bnRlcjItZm9yZ2Vk");
    let _ = as_bytes.create(&namespace).expect_success();
    as_bytes.wait_ready(&namespace);
}

#[test]
fn a_generated_name_is_refused() {
    let namespace = Namespace::create("forged");
    let mut manifest: Value = serde_json::from_str(&vault().manifest()).unwrap();
    manifest["metadata"] = json!({"generateName": "app-"});
    namespace
        .kubectl_with(&["create", "-f", "-"], &manifest.to_string())
        .expect_refusal(
            &[
                "metadata.generateName is not supported",
                "set metadata.name",
            ],
            VALUE,
        );
    assert_eq!(
        namespace
            .kubectl(&["get", "sv", "-o", "name"])
            .expect_success(),
        ""
    );
    let _ = vault().create(&namespace).expect_success();
}

#[test]
fn a_value_that_is_no_text_is_refused_and_neither_shown_nor_logged() {
    let namespace = Namespace::create("forged");
    let logs = Logs::from_now();
    let number = u64::from(getrandom::u32().unwrap()) + 7_000_000_000;
    let text = format!("hunter2-{number}");
    let values = [
        (json!(number), number.to_string()),
        (json!([text]), text.clone()),
        (json!({"password": text}), text),
    ];
    for (value, text) in values {
        let wrong = Vault::named("app").value("data", "db", value);
        // Not `kubectl apply`: kubectl itself shows the person a patch that failed.
        let strict = wrong.create(&namespace);
        let lenient = ["create", "--validate=false", "-f", "-"];
        let lenient = namespace.kubectl_with(&lenient, &wrong.manifest());
        for answer in [strict, lenient, wrong.apply_server_side(&namespace)] {
            let complaint = answer.expect_refusal(&["spec.data"], &text);
            assert!(complaint.contains("db"), "{complaint}");
        }
        assert!(!wrong.is_stored(&namespace));
        assert_eq!(logs.lines_with(&text), [""; 0]);
    }
    // The control: what the API server is asked for by name is in its audit log.
    assert_ne!(logs.lines_with(namespace.name()), [""; 0]);
    let quoted = Vault::named("app").text("db", &number.to_string());
    let _ = quoted.apply_server_side(&namespace).expect_success();
}

/// The API server's own log and its audit log, at level Metadata, from some moment on.
struct Logs([(PathBuf, u64); 2]);

impl Logs {
    fn from_now() -> Self {
        let paths = ["logs/kube-apiserver.log", "audit/audit.log"];
        Self(paths.map(|path| {
            let path = STATE.path().join(path);
            let length = path.metadata().unwrap().len();
            (path, length)
        }))
    }

    fn lines_with(&self, text: &str) -> Vec<String> {
        let lines = self.0.iter().flat_map(|(path, start)| {
            let mut file = File::open(path).unwrap();
            file.seek(SeekFrom::Start(*start)).unwrap();
            BufReader::new(file).lines().map(Result::unwrap)
        });
        lines.filter(|line| line.contains(text)).collect()
    }
}

#[test]
fn an_unquoted_number_is_refused_with_the_advice_to_quote_it() {
    let namespace = Namespace::create("forged");
    let number = Vault::named("app").value("data", "pin", json!(4_711_471_147_u64));
    let says = ["spec.data[pin]", "must be a string", "put quotes around it"];
    number
        .create(&namespace)
        .expect_refusal(&says, "4711471147");
    number
        .apply_server_side(&namespace)
        .expect_refusal(&says, "4711471147");
    let quoted = Vault::named("app").text("pin", "4711471147");
    let _ = quoted.create(&namespace).expect_success();
}

#[test]
fn base64_that_is_not_canonical_is_refused() {
    let namespace = Namespace::create("forged");
    let wrong = Vault::named("app").binary("key", VALUE);
    let says = ["spec.binaryData[key] is not base64", "base64 -w0"];
    assert_creation_refused(&namespace, &wrong, &says);
    let right = Vault::named("app").binary("key", "aHVudGVyMi1mb3JnZWQ=");
    let _ = right.create(&namespace).expect_success();
}

#[test]
fn an_annotation_that_holds_a_value_is_refused() {
    let namespace = Namespace::create("forged");
    let copies = [
        VALUE.to_owned(),
        format!("before {VALUE} after"),
        "aHVudGVyMi1mb3JnZWQ=".to_owned(),
    ];
    for copy in copies {
        let says = [
            "metadata.annotations[example.com/note]",
            "entry db/password",
            "take the value out",
        ];
        assert_creation_refused(
            &namespace,
            &vault().annotation("example.com/note", &copy),
            &says,
        );
    }
    let _ = vault()
        .annotation("example.com/note", "before and after")
        .create(&namespace)
        .expect_success();
}

#[test]
fn an_annotation_that_keeps_a_packed_manifest_is_refused() {
    let namespace = Namespace::create("forged");
    for tool in ["kapp.k14s.io/original", "objectset.rio.cattle.io/applied"] {
        let says = [
            tool,
            "keeps a copy of the manifest",
            "seal the values before",
        ];
        assert_creation_refused(&namespace, &vault().annotation(tool, "H4sIAAAA"), &says);
    }
    let _ = vault()
        .annotation("example.com/other", "H4sIAAAA")
        .create(&namespace)
        .expect_success();
}

#[test]
fn a_last_applied_annotation_that_is_no_manifest_is_refused() {
    let namespace = Namespace::create("forged");
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    // kubectl would write a right one in its place.
    let url = format!(
        "/apis/secretvault.dev/v1alpha1/namespaces/{}/secretvaults",
        namespace.name()
    );
    let post = |text: &str| {
        let forged = vault().annotation(key, text).manifest();
        namespace.kubectl_with(&["create", "--raw", &url, "-f", "-"], &forged)
    };
    let pinned = json!({"data": {"db/password": VALUE}}).to_string();
    for garbage in [VALUE, &pinned, "[]", ""] {
        let says = [
            key,
            "is not the JSON of a manifest",
            "remove the annotation",
        ];
        post(garbage).expect_refusal(&says, VALUE);
        assert!(!vault().is_stored(&namespace));
    }
    let manifest = json!({"spec": {"data": {"db/password": VALUE}}}).to_string();
    let _ = post(&manifest).expect_success();
    let stored = vault().stored(&namespace).to_string();
    assert!(!stored.contains(VALUE), "{stored}");
}

#[test]
fn a_key_provider_that_is_not_there_is_refused_for_sealed_vaults_and_new_ones() {
    let namespace = Namespace::create("forged");
    store(&namespace);
    let moved = vault().spec("keyProvider", json!("another"));
    let says = [
        "no usable key",
        "there is no KeyProvider another",
        "spec.keyProvider",
    ];
    assert_replacement_refused(&namespace, &moved, &says);
    let unknown = moved.renamed("new");
    assert_creation_refused(&namespace, &unknown, &says);
    let same = vault().spec("keyProvider", json!("default"));
    let _ = same.replace(&namespace).expect_success();
}

#[test]
fn a_refused_patch_names_the_field_and_changes_nothing() {
    let namespace = Namespace::create("forged");
    let before = store(&namespace);
    let envelope = &before["spec"]["data"]["db/password"];
    let patch = |value: &Value| -> Answer {
        let patch = json!({"spec": {"data": {"smtp/token": value}}}).to_string();
        namespace.kubectl(&["patch", "sv/app", "--type=merge", "-p", &patch])
    };
    patch(envelope).expect_refusal(&["spec.data[smtp/token]", "does not open"], VALUE);
    assert_eq!(vault().stored(&namespace)["spec"], before["spec"]);
    let _ = patch(&json!(VALUE)).expect_success();
}
