//! The life of values: applied in every way, refused in every way, mounted, changed, removed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_delivery::v1::file::Content;
use secretvault_e2e::{Answer, Namespace, Pod, Vault, eventually};
use serde_json::{Value, json};

use super::scanner::Canary;
use crate::attacker::{Bound, Operator, agent_token, bearer, mint, volume};

/// A vault, a pod that mounts it, and all values they ever had.
pub(crate) struct Life<'a> {
    pub(super) namespace: &'a Namespace,
    pod: Pod,
    canaries: Vec<Canary>,
    answers: String,
}

impl<'a> Life<'a> {
    /// A value of each kind is applied, and mounted by a pod.
    #[must_use]
    pub(crate) fn begin(namespace: &'a Namespace) -> Self {
        let account = ["create", "serviceaccount", "web"];
        let _ = namespace.kubectl(&account).expect_success();
        let mut life = Self {
            namespace,
            pod: Pod::mounting("life", "app")
                .service_account("web")
                .on("node-b"),
            canaries: Vec::new(),
            answers: String::new(),
        };
        let (text, binary) = (life.text("applied"), life.binary("applied, binary"));
        let vault = Vault::named("app").text("text", &text);
        let vault = vault.binary("binary", &BASE64_STANDARD.encode(&binary));
        life.accepted(vault.apply(namespace));
        life.accepted(vault.apply(namespace));
        life.pod.run(namespace);
        assert_eq!(life.pod.read(namespace, "text"), text);
        let read = namespace.sh("life", "base64 -w 0 /run/secrets/binary");
        assert_eq!(read.expect_success(), BASE64_STANDARD.encode(&binary));
        life.watch_keys_and_token();
        life
    }

    /// The vault gets new values, each in another way, and the pod the last of them.
    pub(crate) fn change(&mut self) {
        let namespace = self.namespace;
        let vault = Vault::named("app");
        let applied = vault.clone().text("text", &self.text("applied again"));
        self.accepted(applied.apply(namespace));
        let server_side = vault
            .clone()
            .text("text", &self.text("applied server-side"));
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.accepted(namespace.kubectl_with(&arguments, &server_side.manifest()));
        let replaced = vault.text("text", &self.text("replaced"));
        self.accepted(replaced.replace(namespace));
        let dry = replaced.text("text", &self.text("dry run"));
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ];
        self.accepted(namespace.kubectl_with(&arguments, &dry.manifest()));
        let text = self.text("patched");
        let patch = json!({"spec": {"data": {"text": text}}});
        self.accepted(self.patch("merge", &patch));
        self.pod.wait_content(namespace, "text", &text);
        self.watch_keys_and_token();
    }

    /// Pods of which Events speak: kubelet's, in the agent's words, and the operator's own.
    pub(crate) fn be_spoken_of(&self) {
        let namespace = self.namespace;
        let lost = Pod::mounting("lost", "app, missing").on("node-b");
        lost.create(namespace);
        let _ = lost.wait_event(namespace, "missing");
        let optional = "[{vault: app}, {vault: absent, optional: true}]";
        let partly = Pod::mounting("partly", optional).on("node-b");
        partly.run(namespace);
        let _ = partly.wait_event(namespace, "absent");
    }

    /// The pod goes, then an entry, then the vault.
    pub(crate) fn end(&mut self) {
        let namespace = self.namespace;
        self.accepted(namespace.kubectl(&["delete", "pod", "life"]));
        let patch = json!({"spec": {"data": {"text": null}}});
        self.accepted(self.patch("merge", &patch));
        self.accepted(namespace.kubectl(&["delete", "sv", "app"]));
    }

    /// Everything that must not be found.
    #[must_use]
    pub(crate) fn canaries(&self) -> Vec<Canary> {
        self.canaries.clone()
    }

    /// All that kubectl said.
    #[must_use]
    pub(crate) fn answers(&self) -> &str {
        &self.answers
    }

    /// A new value, to be looked for.
    pub(super) fn text(&mut self, name: &str) -> String {
        let pieces = [random_text(), random_text(), random_text()];
        let text = pieces.join("\"\\<&\t\n é");
        self.canaries.push(Canary::text(name, &text));
        text
    }

    /// Looks for this too.
    pub(super) fn watch(&mut self, canary: Canary) {
        self.canaries.push(canary);
    }

    fn binary(&mut self, name: &str) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        getrandom::fill(&mut bytes).expect("randomness");
        self.canaries.push(Canary::bytes(name, &bytes));
        bytes
    }

    /// The keys that the pod's agent was given, and the tokens of the pod.
    fn watch_keys_and_token(&mut self) {
        let pod = self.namespace.get("pod/life");
        let audience = secretvault_delivery::POD_AUDIENCE;
        let token = mint(self.namespace.name(), "web", audience, Bound::to_pod(&pod));
        let volume = volume(&pod, &token, "app", "");
        let agent = bearer(&agent_token("node-b"));
        let grant = eventually("the keys are released", || {
            let outcome = Operator::find().ask(&agent, &volume).outcome;
            outcome.granted()
        });
        for file in &grant.files {
            if let Some(Content::Sealed(sealed)) = &file.content {
                let name = format!("the key of {}", file.entry);
                self.canaries.push(Canary::bytes(&name, &sealed.key));
            }
        }
        let uid = pod["metadata"]["uid"].as_str().expect("a UID");
        self.canaries
            .push(Canary::within_base64("the pod's token", uid));
    }

    pub(super) fn patch(&self, kind: &str, patch: &Value) -> Answer {
        let kind = format!("--type={kind}");
        let patching = ["patch", "sv", "app", &kind, "--patch-file=/dev/stdin"];
        self.namespace.kubectl_with(&patching, &patch.to_string())
    }

    pub(super) fn accepted(&mut self, answer: Answer) {
        self.heard(&answer);
        let _ = answer.expect_success();
    }

    pub(super) fn heard(&mut self, answer: &Answer) {
        self.answers.push_str(&answer.stdout);
        self.answers.push_str(&answer.stderr);
    }
}

/// Sixteen letters and digits, as a name may have them.
#[must_use]
pub(crate) fn random_text() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("randomness");
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let letter = |byte: &u8| char::from(letters[usize::from(byte % 32)]);
    bytes.iter().map(letter).collect()
}
