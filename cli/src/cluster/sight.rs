//! What decisions are made of: vaults and the labels of namespaces, from the cluster or from files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use secretvault_crds::{ConsumerStatus, SecretVault};
use secretvault_vault::{Vault, VaultRef, labels_of_name, selects_namespaces};

use super::{
    asked::Asker,
    client::{Blind, Cluster},
};
use crate::{edit::read_manifests, session::Session};

/// The vaults and namespaces that were looked at.
#[derive(Default)]
pub(super) struct Sight {
    vaults: BTreeMap<VaultRef, Seen>,
    labels: BTreeMap<String, Result<BTreeMap<String, String>, Blind>>,
    /// Every vault that there is was looked at: what is not here does not exist.
    whole: bool,
}

/// What was seen where a vault should be.
pub(super) enum Seen {
    /// Nothing could be seen.
    Blind(Blind),
    /// There is none.
    Missing,
    /// An object that is no vault for this version.
    Unreadable(String),
    /// A vault.
    Vault(Box<SeenVault>),
}

/// A vault, with what decisions do not look at.
pub(super) struct SeenVault {
    /// As decisions see it.
    pub(super) vault: Vault,
    /// What each of its access rules is for.
    pub(super) descriptions: Vec<Option<String>>,
    /// Why no sealed value of it can be released now, as the operator found.
    pub(super) trouble: Option<String>,
    /// The pods that have files of it, as the operator found.
    pub(super) consumers: Vec<ConsumerStatus>,
    /// How many there are.
    pub(super) consumer_count: usize,
}

impl Sight {
    /// The vaults of these files, and no others.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub(super) fn of_files(session: &Session, path: &Path) -> anyhow::Result<Self> {
        let sources = read_manifests(&[path.to_owned()], true, &session.namespace)?;
        let mut vaults = BTreeMap::new();
        for source in sources {
            let reference = source.object.reference();
            let seen = match source.object.parse() {
                Err(reason) => {
                    let place = source.at(None);
                    anyhow::bail!("{place}: vault {reference}: {reason}");
                }
                // It was read once already.
                Ok(vault) => SeenVault::new(vault, source.object.typed().unwrap_or_default()),
            };
            vaults.insert(reference, Seen::Vault(Box::new(seen)));
        }
        Ok(Self {
            vaults,
            labels: BTreeMap::new(),
            whole: true,
        })
    }

    /// Every vault of the cluster.
    ///
    /// # Errors
    /// They cannot be listed.
    pub(super) async fn of_everything(cluster: &Cluster) -> Result<Self, Blind> {
        let vaults = cluster.everywhere::<SecretVault>().await?;
        let vaults = vaults.into_iter().map(|vault| {
            let metadata = &vault.metadata;
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            let reference = VaultRef::new(part(&metadata.namespace), part(&metadata.name));
            (reference, Seen::of(vault))
        });
        Ok(Self {
            vaults: vaults.collect(),
            labels: BTreeMap::new(),
            whole: true,
        })
    }

    /// Looks at these vaults, those that were not looked at yet.
    pub(super) async fn look_at(
        &mut self,
        cluster: &Cluster,
        references: impl IntoIterator<Item = &VaultRef>,
    ) {
        for reference in references {
            if self.whole || self.vaults.contains_key(reference) {
                continue;
            }
            let api = Api::<SecretVault>::namespaced(cluster.client(), &reference.namespace);
            let seen = match cluster.one(api, &reference.name).await {
                Err(blind) => Seen::Blind(blind),
                Ok(None) => Seen::Missing,
                Ok(Some(vault)) => Seen::of(vault),
            };
            self.vaults.insert(reference.clone(), seen);
        }
    }

    /// Looks at all vaults that these ask for.
    pub(super) async fn look_for(&mut self, cluster: &Cluster, askers: &[&Asker]) {
        let volumes = askers
            .iter()
            .flat_map(|it| it.volumes.iter().map(|volume| it.request(volume)));
        let vaults: BTreeSet<VaultRef> = volumes
            .flatten()
            .flat_map(|request| request.vaults)
            .map(|wanted| wanted.reference)
            .collect();
        self.look_at(cluster, &vaults).await;
    }

    /// Looks at the labels of these namespaces, if a rule of a vault that was seen asks for labels.
    pub(super) async fn look_at_labels(
        &mut self,
        cluster: &Cluster,
        namespaces: &BTreeSet<String>,
    ) {
        if !self.seen().any(|it| selects_namespaces(&it.vault)) {
            return;
        }
        for namespace in namespaces {
            let api = Api::<Namespace>::all(cluster.client());
            let read = cluster.one(api, namespace).await;
            let labels = read.map(|it| it.and_then(|it| it.metadata.labels).unwrap_or_default());
            self.labels.insert(namespace.clone(), labels);
        }
    }

    /// A namespace's labels. Where nobody looked, the one label that every namespace has.
    ///
    /// # Errors
    /// They could not be seen.
    pub(super) fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, Blind> {
        match self.labels.get(namespace) {
            Some(labels) => labels.clone(),
            None => Ok(labels_of_name(namespace)),
        }
    }

    /// What was seen there.
    pub(super) fn at(&self, reference: &VaultRef) -> &Seen {
        self.vaults.get(reference).unwrap_or(&Seen::Missing)
    }

    /// The vault of this name, if it was seen.
    pub(super) fn vault(&self, reference: &VaultRef) -> Option<&SeenVault> {
        match self.at(reference) {
            Seen::Vault(seen) => Some(seen),
            Seen::Blind(_) | Seen::Missing | Seen::Unreadable(_) => None,
        }
    }

    /// The names of all vaults that were seen.
    pub(super) fn names(&self) -> impl Iterator<Item = &VaultRef> {
        self.vaults.keys()
    }

    fn seen(&self) -> impl Iterator<Item = &SeenVault> {
        self.vaults.keys().filter_map(|vault| self.vault(vault))
    }
}

impl Seen {
    fn of(object: SecretVault) -> Self {
        let vault = match object.parse() {
            Ok(vault) => vault,
            Err(reason) => return Self::Unreadable(reason.to_string()),
        };
        let mut seen = SeenVault::new(vault, object.spec);
        let status = object.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
        let ready = ready.filter(|it| it.observed_generation == Some(seen.vault.generation));
        seen.trouble = ready
            .filter(|it| it.status == "False")
            .map(|it| it.message.clone());
        let count = status
            .consumer_count
            .and_then(|it| usize::try_from(it).ok());
        seen.consumer_count = count.unwrap_or(status.consumers.len());
        seen.consumers = status.consumers;
        Self::Vault(Box::new(seen))
    }
}

impl SeenVault {
    fn new(vault: Vault, spec: secretvault_crds::SecretVaultSpec) -> Self {
        let rules = spec.access.unwrap_or_default().into_iter();
        Self {
            vault,
            descriptions: rules.map(|rule| rule.description).collect(),
            trouble: None,
            consumers: Vec::new(),
            consumer_count: 0,
        }
    }

    /// A rule, as a person finds it in the manifest.
    pub(super) fn rule(&self, index: usize) -> String {
        let described = self.descriptions.get(index).and_then(Option::as_deref);
        match described.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => format!("access[{index}]: {text}"),
            None => format!("access[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trouble(observed: i64) -> Option<String> {
        let ready = json!({
            "type": "Ready",
            "status": "False",
            "reason": "KeyMissing",
            "message": "its key is gone",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": observed,
        });
        let object = json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "SecretVault",
            "metadata": {"namespace": "shop", "name": "app", "uid": "u", "generation": 2},
            "spec": {},
            "status": {"conditions": [ready]},
        });
        match Seen::of(serde_json::from_value(object).unwrap()) {
            Seen::Vault(seen) => seen.trouble,
            Seen::Blind(_) | Seen::Missing | Seen::Unreadable(_) => panic!("it is no vault"),
        }
    }

    #[test]
    fn what_was_found_of_an_older_generation_is_no_trouble_of_this_one() {
        assert_eq!(trouble(2).as_deref(), Some("its key is gone"));
        assert_eq!(trouble(1), None);
    }
}
