//! What makes [`SecretVault`] an object of Kubernetes.
//!
//! kube's derive makes a root type of its own, [`SecretVaultDefinition`], whose `Debug` shows every
//! annotation. Ours takes its names and its schema from there and nothing else.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    CustomResourceExt, Resource,
    core::{ApiResource, object},
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    generate,
    secret_vault::{SecretVault, SecretVaultDefinition, SecretVaultSpec, SecretVaultStatus},
};

impl SecretVault {
    /// Makes a vault of a name and a spec.
    pub fn new(name: &str, spec: SecretVaultSpec) -> Self {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        Self {
            metadata,
            spec,
            status: None,
        }
    }
}

impl Serialize for SecretVault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 4 + usize::from(self.status.is_some());
        let mut object = serializer.serialize_struct("SecretVault", fields)?;
        object.serialize_field("apiVersion", &Self::api_version(&()))?;
        object.serialize_field("kind", &Self::kind(&()))?;
        object.serialize_field("metadata", &self.metadata)?;
        object.serialize_field("spec", &self.spec)?;
        if let Some(status) = &self.status {
            object.serialize_field("status", status)?;
        }
        object.end()
    }
}

impl CustomResourceExt for SecretVault {
    fn crd() -> CustomResourceDefinition {
        generate::secret_vault_definition()
    }

    fn crd_name() -> &'static str {
        SecretVaultDefinition::crd_name()
    }

    fn api_resource() -> ApiResource {
        ApiResource::erase::<Self>(&())
    }

    fn shortnames() -> &'static [&'static str] {
        SecretVaultDefinition::shortnames()
    }
}

impl object::HasSpec for SecretVault {
    type Spec = SecretVaultSpec;

    fn spec(&self) -> &SecretVaultSpec {
        &self.spec
    }

    fn spec_mut(&mut self) -> &mut SecretVaultSpec {
        &mut self.spec
    }
}

impl object::HasStatus for SecretVault {
    type Status = SecretVaultStatus;

    fn status(&self) -> Option<&SecretVaultStatus> {
        self.status.as_ref()
    }

    fn status_mut(&mut self) -> &mut Option<SecretVaultStatus> {
        &mut self.status
    }
}
