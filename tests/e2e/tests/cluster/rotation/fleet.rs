use std::collections::{BTreeSet, HashMap};

use secretvault_e2e::{KeyProvider, Namespace, Vault, api};
use serde_json::{Value, json};

/// Many vaults of one provider, each with values of its own.
pub(crate) struct Fleet<'a> {
    namespace: &'a Namespace,
    provider: String,
    names: Vec<String>,
}

impl<'a> Fleet<'a> {
    /// Creates `PREFIX-0`, … with one command.
    pub(crate) fn create(
        namespace: &'a Namespace,
        prefix: &str,
        count: usize,
        provider: &KeyProvider,
    ) -> Self {
        let names = (0..count).map(|number| format!("{prefix}-{number}"));
        let fleet = Self {
            namespace,
            provider: provider.name().to_owned(),
            names: names.collect(),
        };
        let _ = namespace
            .kubectl_with(&["create", "-f", "-"], &fleet.manifests())
            .expect_success();
        fleet
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The keys that they need.
    pub(crate) fn key_ids(&self) -> BTreeSet<String> {
        self.data_keys("keyId").into_iter().collect()
    }

    /// A field of each vault's data key, in the order of the names.
    pub(crate) fn data_keys(&self, field: &str) -> Vec<String> {
        let listed = api::get(self.namespace.name(), "sv").unwrap();
        let listed = listed["items"].as_array().unwrap().iter();
        let listed: HashMap<&str, &Value> = listed
            .map(|vault| (vault["metadata"]["name"].as_str().unwrap(), vault))
            .collect();
        let fields = self
            .names
            .iter()
            .map(|name| &listed[name.as_str()]["spec"]["dataKey"][field]);
        fields
            .map(|field| field.as_str().unwrap().to_owned())
            .collect()
    }

    /// Each vault opens to its own bytes. Asked of a dry run, in which the same value keeps its
    /// envelope: all with two commands.
    pub(crate) fn assert_all_open(&self) {
        let dry_run = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
        ];
        let dry_run = [&dry_run[..], &["-o", "json", "-f", "-"]].concat();
        let answered = self.namespace.kubectl_with(&dry_run, &self.manifests());
        let answered = envelopes(&answered.expect_success());
        let get = [self.get(), vec!["-o".to_owned(), "json".to_owned()]].concat();
        let get: Vec<&str> = get.iter().map(String::as_str).collect();
        let stored = envelopes(&self.namespace.kubectl(&get).expect_success());
        assert_eq!(stored.len(), 2 * self.names.len());
        assert_eq!(answered, stored);
    }

    fn manifests(&self) -> String {
        let items = self.names.iter().map(|name| {
            let vault = Vault::named(name)
                .text("token", &format!("{name}-hunter2"))
                .text("other", &format!("{name}-correct-horse"))
                .spec("keyProvider", json!(self.provider));
            serde_json::from_str(&vault.manifest()).unwrap()
        });
        let items: Vec<Value> = items.collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
    }

    fn get(&self) -> Vec<String> {
        let names = self.names.iter().map(|name| format!("sv/{name}"));
        ["get".to_owned()].into_iter().chain(names).collect()
    }
}

/// Vault, entry and envelope of all entries of a list (or of one object).
fn envelopes(list: &str) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    // A dry run of several objects prints a list, or one object after the other.
    for document in serde_json::Deserializer::from_str(list).into_iter::<Value>() {
        let document = document.unwrap();
        let items = match document["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![document],
        };
        for item in items {
            let name = item["metadata"]["name"].as_str().unwrap();
            for (entry, envelope) in item["spec"]["data"].as_object().unwrap() {
                let envelope = envelope.as_str().unwrap();
                found.insert((name.to_owned(), entry.clone(), envelope.to_owned()));
            }
        }
    }
    found
}
