use std::sync::Arc;

use secretvault_e2e::{
    Bao, KeyProvider, Namespace, Pod, SYSTEM, Vault, condition, eventually, kubectl, root,
};
use serde_json::{Value, json};

use super::{Fault, VALUE};

/// A server, and a namespace.
pub(super) struct Scene {
    pub(super) namespace: Namespace,
    pub(super) bao: Arc<Bao>,
    table: Vec<(String, String)>,
}

impl Scene {
    pub(super) fn start() -> Self {
        Self {
            namespace: Namespace::create("faults"),
            bao: Arc::new(Bao::start()),
            table: table(),
        }
    }

    pub(super) fn sh(&self, script: &str) -> String {
        self.bao.sh(script).expect_success()
    }

    /// A provider with this fault, and a vault if the provider ever worked.
    pub(super) fn provoke(&self, fault: &Fault) -> KeyProvider {
        let what = [fault.reason, fault.cause].concat().to_lowercase();
        let name = format!("{}-{what}", self.namespace.name());
        let key = self.bao.key(&name);
        (fault.before)(self, &key);
        let provider = KeyProvider::transit(&name, &(fault.spec)(self, &key));
        let Some(after) = fault.after else {
            provider.apply();
            return provider;
        };
        let provider = provider.ready();
        // The other replica may have met the server before its Service worked on that node.
        let _ = eventually("a vault is sealed with the provider", || {
            vault(&provider).apply(&self.namespace).into_result()
        });
        vault(&provider).wait_ready(&self.namespace);
        after(self, &key);
        provider
    }

    /// What the table has for a reason, for this provider.
    fn says(&self, reason: &str, provider: &KeyProvider) -> String {
        let says = self.table.iter().filter(|(of, _)| of == reason);
        let says = says.map(|(_, says)| says.as_str());
        let soft = provider.name().ends_with("softly");
        let says = says
            .into_iter()
            .find(|says| says.contains("soft-deleted") == soft);
        let says = says.unwrap_or_else(|| panic!("docs/keys.md has no {reason}"));
        let spec = &provider.stored()["spec"]["vaultTransit"];
        let text = |field: &str, default: &str| spec[field].as_str().unwrap_or(default).to_owned();
        let role = spec["auth"]["kubernetes"]["role"]
            .as_str()
            .unwrap_or_default();
        says.replace("ADDRESS", &text("address", ""))
            .replace("MOUNT", &text("mount", "transit"))
            .replace("KEY", &text("key", ""))
            .replace("PROVIDER", provider.name())
            .replace("ROLE", role)
            .replace("SECRET", role_or_secret(spec))
    }

    /// Condition, Event and admission say the same.
    pub(super) fn assert_told(&self, reason: &str, provider: &KeyProvider) {
        let stored = provider.wait("Ready", "False", reason);
        let says = self.says(reason, provider);
        let message = condition(&stored, "Ready")["message"].clone();
        assert_says(message.as_str().unwrap(), &says, reason);
        eventually(&format!("an Event about {}", provider.name()), || {
            let events = provider.events();
            let line = events.lines().find(|line| line.starts_with(reason));
            line.map(|line| assert_says(line, &says, reason))
                .ok_or(events)
        });
        // Whichever replica is asked: each looks for itself.
        let new = vault(provider).renamed(&format!("new-{}", provider.name()));
        let refusal = eventually(&format!("{reason}: a new vault is refused with it"), || {
            let answer = new.create(&self.namespace);
            if answer.succeeded {
                let _ = self.namespace.kubectl(&["delete", &new.object()]);
                return Err(answer.stdout);
            }
            let refusal = new.create(&self.namespace).expect_refusal(&[], VALUE);
            if matches(&refusal, &says) {
                Ok(refusal)
            } else {
                Err(refusal)
            }
        });
        assert!(refusal.contains("no usable key: "), "{refusal}");
        assert!(!new.is_stored(&self.namespace));
    }

    /// A version that is too old is one vault's trouble: new ones can be sealed.
    pub(super) fn assert_told_of_one_vault(&self, reason: &str, provider: &KeyProvider) {
        let vault = vault(provider);
        let says = self.says(reason, provider);
        let told = eventually("the vault's condition says so", || {
            let current = condition(&vault.stored(&self.namespace), "KeyCurrent");
            if current["reason"] == "Failing" {
                Ok(current)
            } else {
                Err(current.to_string())
            }
        });
        assert_says(told["message"].as_str().unwrap(), &says, reason);
        eventually("an Event about the vault says so", || {
            let events = self.namespace.events(provider.name());
            if matches(&events, &says) {
                Ok(())
            } else {
                Err(events)
            }
        });
        let edit = vault
            .clone()
            .text("token", "another-value")
            .replace(&self.namespace);
        let refusal = edit.expect_refusal(&["no usable key: "], "another-value");
        assert_says(&refusal, &says, reason);
        let pod = Pod::mounting("too-old", provider.name());
        pod.create(&self.namespace);
        eventually("an Event about the pod says so", || {
            let events = self.namespace.events("too-old");
            if matches(&events, &says) {
                Ok(())
            } else {
                Err(events)
            }
        });
        let new = vault.renamed("new-beside-an-old-one");
        new.store(&self.namespace);
        provider.wait("Ready", "True", "");
    }
}

impl Scene {
    /// What logs in, and what was sealed, stands in no log and no Event.
    pub(super) fn assert_nothing_is_told_of(&self, secrets: &[&str]) {
        let operator = "app.kubernetes.io/component=operator";
        let logs = ["-n", SYSTEM, "logs", "-l", operator, "--tail=-1"];
        let events = ["get", "events", "-A", "-o", "yaml"];
        let said = [&logs[..], &events].map(|it| kubectl(it).expect_success());
        for said in &said {
            assert!(said.contains(self.namespace.name()), "it tells of the test");
            for secret in secrets {
                assert!(!said.contains(secret), "a secret is told");
            }
        }
    }
}

fn role_or_secret(spec: &Value) -> &str {
    let secret = &spec["auth"]["token"]["secret"]["name"];
    secret.as_str().unwrap_or_default()
}

fn vault(provider: &KeyProvider) -> Vault {
    Vault::named(provider.name())
        .text("token", VALUE)
        .spec("keyProvider", json!(provider.name()))
}

/// Whether a text has all parts of what is said, in this order: `…` stands for anything.
fn matches(text: &str, says: &str) -> bool {
    let mut rest = text;
    says.split('…').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

fn assert_says(text: &str, says: &str, reason: &str) {
    assert!(
        matches(text, says),
        "{reason}: {text:?} does not say {says:?}"
    );
}

/// Reason and message of each row of the table in docs/keys.md.
fn table() -> Vec<(String, String)> {
    let docs = std::fs::read_to_string(root().join("docs/keys.md")).unwrap();
    let rows = docs.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let code = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        match cells[..] {
            [_, reason, message] => Some((code(reason)?, code(message)?)),
            _ => None,
        }
    });
    rows.collect()
}
