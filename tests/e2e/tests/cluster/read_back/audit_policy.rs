//! The API server's own audit log, under the policy that the docs give.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use secretvault_delivery::POD_AUDIENCE;
use secretvault_e2e::{Answer, Namespace, STATE, Vault, root};
use serde_json::{Value, json};

use crate::attacker::{Bound, mint};
use crate::canary::{Canary, Scanner, random_text};

#[test]
fn under_the_documented_policy_the_api_servers_audit_log_holds_no_value_and_tells_who_did_what() {
    let documented = fs::read_to_string(root().join("docs/audit-policy.yaml")).unwrap();
    assert_eq!(fs::read_to_string(policy_file()).unwrap(), documented);

    let namespace = Namespace::create("audit-policy");
    let log = Log::from_now();
    let mut sent = Sent::default();
    sent.vaults(&namespace);
    sent.others(&namespace);
    let plant = sent.plant(&namespace);
    let text = log.read();
    assert!(
        sent.found_in(&text).is_empty(),
        "{:?}",
        sent.found_in(&text)
    );
    let control = Scanner::for_all(&[plant]);
    assert!(
        !control.search(&text).is_empty(),
        "the control: other bodies are in the log"
    );

    let events = events_of(&text, namespace.name());
    let vaults = events
        .iter()
        .filter(|it| it["objectRef"]["apiGroup"] == "secretvault.dev");
    let vaults: Vec<&Value> = vaults.collect();
    for event in &vaults {
        assert_eq!(event["level"], "Metadata", "{event}");
        assert!(event["requestObject"].is_null() && event["responseObject"].is_null());
    }
    let verbs = vaults.iter().filter(|it| it["user"]["username"] == "admin");
    let verbs: BTreeSet<&str> = verbs.filter_map(|it| it["verb"].as_str()).collect();
    let expected = ["create", "delete", "get", "patch", "update"];
    assert!(verbs.is_superset(&expected.into()), "{verbs:?}");
}

/// What must not be in the log.
#[derive(Default)]
struct Sent(Vec<Canary>);

impl Sent {
    /// Each way to send a value, also those that are refused.
    fn vaults(&mut self, namespace: &Namespace) {
        let vault = |text: &str| Vault::named("app").text("password", text);
        let dry = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ];
        let accepted = [
            vault(&self.text("created")).create(namespace),
            vault(&self.text("applied")).apply(namespace),
            vault(&self.text("replaced")).replace(namespace),
            namespace.kubectl_with(&dry, &vault(&self.text("dry run")).manifest()),
            self.patch(namespace, "patched"),
        ];
        for answer in accepted {
            let _ = answer.expect_success();
        }
        let wrong = vault(&self.text("another version")).manifest();
        let path = format!(
            "/apis/secretvault.dev/v9/namespaces/{}/secretvaults",
            namespace.name()
        );
        let [text, copied] =
            ["an unknown field", "a copy in an annotation"].map(|it| self.text(it));
        let refused = [
            namespace.kubectl_with(&["create", "--raw", &path, "-f", "-"], &wrong),
            Vault::named("no")
                .value("dataa", "a", json!(text))
                .create(namespace),
            vault(&self.text("a name that is none"))
                .renamed("NO")
                .create(namespace),
            Vault::named("no")
                .text("a", &copied)
                .annotation("a", &copied)
                .create(namespace),
            self.as_nobody(namespace),
        ];
        for answer in refused {
            let _ = answer.expect_failure();
        }
        let _ = namespace.kubectl(&["delete", "sv", "app"]).expect_success();
    }

    /// What else carries secrets: Kubernetes' own Secrets, and tokens.
    fn others(&mut self, namespace: &Namespace) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "native"},
            "stringData": {"a": self.text("a native Secret")},
        });
        let create = ["create", "-f", "-"];
        let _ = namespace
            .kubectl_with(&create, &secret.to_string())
            .expect_success();
        let token = mint(namespace.name(), "default", POD_AUDIENCE, Bound::Nothing);
        let signature = token.text().rsplit_once('.').expect("a token").1;
        self.0
            .push(Canary::text("a token that was made", signature));
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token.text()},
        });
        let _ = namespace
            .kubectl_with(&create, &review.to_string())
            .expect_success();
    }

    /// A text that is no secret, in an object of another kind.
    fn plant(&self, namespace: &Namespace) -> Canary {
        let text = random_text();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plant"},
            "data": {"a": text},
        });
        let _ = namespace.apply(&map.to_string()).expect_success();
        Canary::text("a plant", &text)
    }

    fn text(&mut self, name: &str) -> String {
        let text = random_text();
        self.0.push(Canary::text(name, &text));
        text
    }

    fn patch(&mut self, namespace: &Namespace, name: &str) -> Answer {
        let patch = json!({"spec": {"data": {"password": self.text(name)}}});
        let words = [
            "patch",
            "sv",
            "app",
            "--type=merge",
            "--patch-file=/dev/stdin",
        ];
        namespace.kubectl_with(&words, &patch.to_string())
    }

    fn as_nobody(&mut self, namespace: &Namespace) -> Answer {
        let vault = Vault::named("other").text("a", &self.text("without the right"));
        let create = ["create", "-f", "-", "--as", "nobody"];
        namespace.kubectl_with(&create, &vault.manifest())
    }

    fn found_in(&self, text: &[u8]) -> BTreeSet<(String, &'static str)> {
        Scanner::for_all(&self.0).search(text)
    }
}

/// The audit log from some moment on.
struct Log(u64);

impl Log {
    fn path() -> PathBuf {
        STATE.path().join("audit/audit.log")
    }

    fn from_now() -> Self {
        Self(Self::path().metadata().unwrap().len())
    }

    fn read(&self) -> Vec<u8> {
        let mut file = File::open(Self::path()).unwrap();
        file.seek(SeekFrom::Start(self.0)).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        text
    }
}

/// The events about a namespace's objects.
fn events_of(text: &[u8], namespace: &str) -> Vec<Value> {
    let lines = text.split(|byte| *byte == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice(line).ok());
    let events = events.filter(|it: &Value| it["objectRef"]["namespace"] == namespace);
    events.collect()
}

/// The policy that the API server was started with.
fn policy_file() -> PathBuf {
    let record = fs::read_to_string(format!("{STATE}/run/kube-apiserver.pid")).unwrap();
    let id = record.split(' ').next().unwrap();
    let words = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
    let flag = "--audit-policy-file=";
    let file = words.split('\0').find_map(|word| word.strip_prefix(flag));
    file.expect("an audit policy").into()
}
