//! Every way to have a value refused: by kubectl, the API server, its schema, our webhook, or a
//! person's missing right.
//!
//! Not here, because nobody is asked before the API server quotes it in its answer and its logs,
//! of a Secret as of a vault: `data` as a whole that is no map, and a body that is no JSON object.

use secretvault_e2e::{Answer, Vault};
use serde_json::{Value, json};

use super::life::Life;
use super::scanner::Canary;

impl Life<'_> {
    /// Values that are refused, each for another reason.
    pub(crate) fn refuse(&mut self) {
        self.refuse_manifests();
        self.refuse_sizes();
        self.refuse_changes();
        self.refuse_bodies();
    }

    /// Manifests that are wrong.
    fn refuse_manifests(&mut self) {
        type Make = fn(Vault, &str) -> Vault;
        let makes: [(&str, Make); 14] = [
            ("an unknown field", |it, text| {
                it.value("dataa", "a", json!(text))
            }),
            ("a value that is a map", |it, text| {
                it.value("data", "a", json!({"b": text}))
            }),
            ("a value that is a list", |it, text| {
                it.value("data", "a", json!([text]))
            }),
            ("binary data that is a text", |it, text| {
                it.binary("a", text)
            }),
            ("a copy in an annotation", |it, text| {
                it.text("a", text)
                    .annotation("example.com/note", &format!("it is {text}!"))
            }),
            ("a name that is none", |it, text| it.text("../a", text)),
            ("a mode that is a number", |it, text| {
                it.text("a", text)
                    .spec("files", json!([{"entry": "a", "mode": 400}]))
            }),
            ("a mode that is none", |it, text| {
                it.text("a", text)
                    .spec("fileDefaults", json!({"mode": "4755"}))
            }),
            ("an unknown choice", |it, text| {
                it.text("a", text).spec("onDelete", json!("Ask"))
            }),
            ("two entries of one name", |it, text| {
                it.text("a", text).public("a", "b")
            }),
            ("two files at one path", |it, text| {
                let files = json!([{"entry": "a", "path": "c"}, {"entry": "b", "path": "c"}]);
                it.text("a", text).text("b", text).spec("files", files)
            }),
            ("no key provider", |it, text| {
                it.text("a", text).spec("keyProvider", json!("none"))
            }),
            ("what looks like an envelope", |it, text| {
                it.text("a", &format!("sv1:{text}"))
            }),
            ("what looks sealed for Git", |it, text| {
                it.text("a", &format!("git1:{text}"))
            }),
        ];
        for (name, make) in makes {
            let text = self.text(name);
            let vault = make(Vault::named("refused"), &text);
            self.refused(name, &vault.apply(self.namespace));
            self.refused(name, &vault.apply_server_side(self.namespace));
            self.refused(name, &vault.create(self.namespace));
        }
    }

    /// Values that are too large, and one that is no text.
    fn refuse_sizes(&mut self) {
        for (name, size) in [
            ("an entry that is too large", 1 << 19),
            ("a request", 1 << 22),
        ] {
            let text = self.text(name);
            let vault = Vault::named("refused").text("a", &(text + &"x".repeat(size)));
            self.refused(name, &vault.create(self.namespace));
            self.refused(name, &vault.apply_server_side(self.namespace));
        }
        let name = "a vault that is too large";
        let text = self.text(name) + &"x".repeat(500 << 10);
        let mut vault = Vault::named("refused");
        for entry in ["a", "b", "c"] {
            vault = vault.text(entry, &text);
        }
        self.refused(name, &vault.create(self.namespace));

        let mut number = [0; 8];
        getrandom::fill(&mut number).expect("randomness");
        let number = u64::from_le_bytes(number) | 1 << 62;
        let name = "a number without quotes";
        self.watch(Canary::text(name, &number.to_string()));
        let vault = Vault::named("refused").value("data", "a", json!(number));
        self.refused(name, &vault.create(self.namespace));
        self.refused(name, &vault.apply_server_side(self.namespace));
    }

    /// Changes of a vault that is there.
    fn refuse_changes(&mut self) {
        let fixed = Vault::named("fixed").spec("immutable", json!(true));
        let text = self.text("an immutable value");
        self.accepted(fixed.clone().text("a", &text).apply(self.namespace));
        let text = self.text("another for an immutable one");
        let other = fixed.text("a", &text);
        self.refused(
            "another for an immutable one",
            &other.replace(self.namespace),
        );

        let name = "a change of what was there before";
        let mut stale = Vault::named("app")
            .text("text", &self.text(name))
            .stored(self.namespace);
        stale["metadata"]["resourceVersion"] = json!("1");
        stale["spec"]["data"]["text"] = json!(self.text(name));
        self.refused(name, &self.send(&["replace", "-f", "-"], &stale));

        // kubectl prints the patch that was refused, unless it is told what is wrong with it.
        let name = "a refused change";
        let text = self.text(name);
        let vault = Vault::named("app").text("text", &text);
        let vault = vault.annotation("example.com/note", &text);
        self.refused(name, &vault.apply(self.namespace));

        let name = "a patch whose test fails";
        let text = self.text(name);
        let patch = json!([
            {"op": "add", "path": "/spec/data/text", "value": text},
            {"op": "test", "path": "/spec/data/text", "value": "other"},
        ]);
        self.refused(name, &self.patch("json", &patch));
        let name = "a patch of what is not there";
        let text = self.text(name);
        let patch = json!([{"op": "replace", "path": "/spec/none/text", "value": text}]);
        self.refused(name, &self.patch("json", &patch));

        let name = "a person without the right";
        let text = self.text(name);
        let vault: Value = manifest(&Vault::named("refused").text("a", &text));
        let nobody = ["create", "-f", "-", "--as", "nobody"];
        self.refused(name, &self.send(&nobody, &vault));
        let name = "a name that the API server makes";
        let text = self.text(name);
        let mut vault = manifest(&Vault::named("refused").text("a", &text));
        vault["metadata"] = json!({"generateName": "refused-"});
        self.refused(name, &self.send(&["create", "-f", "-"], &vault));
    }

    /// What no kubectl would send: an answer might quote what it cannot read.
    fn refuse_bodies(&mut self) {
        let path = "/apis/secretvault.dev/v1alpha1/namespaces/{}/secretvaults";
        let path = path.replace("{}", self.namespace.name());
        type Spoil = fn(&str, &str) -> String;
        let spoil: [(&str, Spoil); 3] = [
            ("cut off", |manifest, text| cut_after(manifest, text)),
            ("followed by more", |manifest, text| {
                format!("{manifest}{text}")
            }),
            ("without quotes", |manifest, text| {
                manifest.replace("\"a\":", &format!("{text}:"))
            }),
        ];
        for (name, spoil) in spoil {
            let text = self.text(name);
            let manifest = Vault::named("refused").text("a", &text).manifest();
            let body = spoil(&manifest, &text);
            let raw = ["create", "--raw", &path, "-f", "-"];
            let answer = self.namespace.kubectl_with(&raw, &body);
            self.refused(name, &answer);
        }
    }

    fn send(&self, arguments: &[&str], object: &Value) -> Answer {
        self.namespace.kubectl_with(arguments, &object.to_string())
    }

    fn refused(&mut self, name: &str, answer: &Answer) {
        self.heard(answer);
        assert!(!answer.succeeded, "{name} was accepted");
    }
}

/// The manifest up to the end of the value.
fn cut_after(manifest: &str, text: &str) -> String {
    let text = json!(text).to_string();
    let end = manifest.find(&text).expect("the value is in it") + text.len() - 1;
    manifest[..end].to_owned()
}

fn manifest(vault: &Vault) -> Value {
    serde_json::from_str(&vault.manifest()).expect("JSON")
}
