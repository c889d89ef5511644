//! A `SecretVault` object on this machine: exactly what `kubectl get -o yaml` would show, without
//! what a server adds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secretvault_crds::{
    ParseError, SecretVault, SecretVaultSpec, SecretVaultStatus,
    api::{GROUP, PREFIX, VERSION},
};
use secretvault_seal::Manifest;
use secretvault_vault::{Vault, VaultRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An object, or a manifest that is about to become one: then values may be plain. No `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// `secretvault.dev/v1alpha1`.
    pub api_version: String,
    /// `SecretVault`.
    pub kind: String,
    /// Name, namespace, labels, annotations.
    pub metadata: ObjectMeta,
    /// The vault itself.
    pub spec: Value,
    /// What the entries are, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SecretVaultStatus>,
}

impl Object {
    /// An empty vault.
    pub fn new(vault: &VaultRef) -> Self {
        let metadata = ObjectMeta {
            name: Some(vault.name.clone()),
            namespace: Some(vault.namespace.clone()),
            ..ObjectMeta::default()
        };
        Self {
            api_version: api_version(),
            kind: KIND.to_owned(),
            metadata,
            spec: Value::Object(serde_json::Map::new()),
            status: None,
        }
    }

    /// Namespace and name.
    pub fn reference(&self) -> VaultRef {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        VaultRef::new(part(&self.metadata.namespace), part(&self.metadata.name))
    }

    /// The parts that sealing looks at.
    pub fn manifest<'a>(&'a self, annotations: &'a BTreeMap<String, String>) -> Manifest<'a> {
        Manifest {
            namespace: self.metadata.namespace.as_deref().unwrap_or_default(),
            name: self.metadata.name.as_deref().unwrap_or_default(),
            annotations,
            spec: &self.spec,
        }
    }

    /// The annotations, none if there are none.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.metadata.annotations.clone().unwrap_or_default()
    }

    /// The annotations without what this program notes.
    pub fn annotations_of_others(&self) -> BTreeMap<String, String> {
        let mut annotations = self.annotations();
        annotations.remove(&created_key());
        annotations
    }

    /// The specification as the cluster's parts read it.
    ///
    /// # Errors
    /// A field has a wrong type. The message names it and holds no value of `data`.
    pub fn typed(&self) -> Result<SecretVaultSpec, serde_json::Error> {
        SecretVaultSpec::deserialize(&self.spec)
    }

    /// The vault as decisions need it.
    ///
    /// When it was made stands for the UID that a cluster would give: a vault that was deleted and
    /// made anew has another one, and one that got a new data key has not.
    ///
    /// # Errors
    /// The specification is not one.
    pub fn parse(&self) -> Result<Vault, Unreadable> {
        let spec = self.typed().map_err(|_| Unreadable::Types)?;
        let data_key = || spec.data_key.as_ref().map(|key| key.id.clone());
        let created = self.created().map(|at| at.to_string());
        let uid = created.or_else(data_key);
        let mut vault = SecretVault {
            metadata: self.metadata.clone(),
            spec,
            status: None,
        };
        vault.metadata.uid = uid;
        Ok(vault.parse()?)
    }

    /// When it was made on this machine, if it was.
    pub fn created(&self) -> Option<Timestamp> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(&created_key())?.parse().ok()
    }

    /// Notes when it was made.
    pub fn note_created(&mut self, at: Timestamp) {
        let annotations = self.metadata.annotations.get_or_insert_default();
        let at = secretvault_crds::whole_second(at).0.to_string();
        annotations.insert(created_key(), at);
    }

    /// Takes out when it was made.
    pub fn forget_created(&mut self) {
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.remove(&created_key());
        }
    }

    /// Takes out what a server added: in an object from `kubectl get -o yaml` it would stand for
    /// another object's life.
    pub fn forget_server(&mut self) {
        let ObjectMeta {
            annotations,
            labels,
            name,
            namespace,
            ..
        } = std::mem::take(&mut self.metadata);
        let annotations = annotations.map(|mut annotations| {
            annotations.remove(LAST_APPLIED);
            annotations
        });
        self.metadata = ObjectMeta {
            annotations: annotations.filter(|it| !it.is_empty()),
            labels,
            name,
            namespace,
            ..ObjectMeta::default()
        };
        self.status = None;
    }
}

/// Why a stored object cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A field means nothing.
    #[error(transparent)]
    Field(#[from] ParseError),
    /// A field has a wrong type.
    #[error("spec does not fit the schema of SecretVault")]
    Types,
}

/// The API version of our objects.
pub fn api_version() -> String {
    format!("{GROUP}/{VERSION}")
}

fn created_key() -> String {
    format!("{PREFIX}created")
}

/// The kind of our objects.
pub const KIND: &str = "SecretVault";

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
