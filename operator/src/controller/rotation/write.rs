//! Does one step for one vault: one optimistic update of its data key.
//!
//! # Guarantees
//! * Nothing but `spec.dataKey` is sent, and only for the very version that was read. Whoever changed
//!   the vault in the meantime wins, and it is looked at anew.
//! * Before the write nothing happened, and after it everything: whoever dies in between leaves a
//!   whole vault.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use secretvault_crds::{DataKey, SecretVault};
use secretvault_envelope::VaultBinding;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::apply::FIELD_MANAGER;
use super::plan::Why;
use crate::keys::{KeyError, Providers};
use crate::vaults::Fault;
use crate::words::shortened;

/// What is done for one vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A new data key, and every value sealed anew.
    Reseal(Why),
    /// The same data key, wrapped with another key.
    Rewrap,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The vault has changed since it was read.
    Conflict,
    /// It is done.
    Done,
    /// It is not done; for a person.
    Failed(String),
    /// The vault is gone.
    Gone,
}

/// Writes to vaults.
#[derive(Clone)]
pub(super) struct Writer {
    /// The API server, through a client that does not try again by itself: it would keep trying
    /// for minutes, and the reason would be lost.
    pub(super) client: Client,
    pub(super) providers: Providers,
}

impl Writer {
    /// Does it.
    pub(super) async fn carry_out(&self, vault: &SecretVault, step: Step) -> Ended {
        match timeout(STEP, self.write(vault, step)).await {
            Ok(ended) => ended,
            Err(_) => Ended::Failed("it took too long".to_owned()),
        }
    }

    async fn write(&self, vault: &SecretVault, step: Step) -> Ended {
        // Both are there: the plan asked for them.
        let (Some(data_key), Some(version)) = (&vault.spec.data_key, vault.resource_version())
        else {
            return Ended::Conflict;
        };
        let change = match step {
            Step::Reseal(_) => json!({"rekey": data_key.rekey.saturating_add(1)}),
            Step::Rewrap => match self.rewrap(vault, data_key).await {
                Ok(change) => change,
                Err(error) => return Ended::Failed(error.to_string()),
            },
        };
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": {"dataKey": change},
        });
        let (namespace, name) = (vault.namespace().unwrap_or_default(), vault.name_any());
        let api: Api<SecretVault> = Api::namespaced(self.client.clone(), &namespace);
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Its answer is small, however large the vault is.
        let patch = Patch::Merge(patch);
        match api.patch_metadata(&name, &parameters, &patch).await {
            Ok(written) if written.resource_version().as_deref() == Some(&version) => {
                Ended::Failed(KEPT.to_owned())
            }
            Ok(_) => Ended::Done,
            Err(error) => ended(&error),
        }
    }

    async fn rewrap(&self, vault: &SecretVault, data_key: &DataKey) -> Result<Value, KeyError> {
        let provider = self.providers.get(&data_key.provider)?;
        let namespace = vault.metadata.namespace.as_deref().unwrap_or_default();
        let name = vault.metadata.name.as_deref().unwrap_or_default();
        let binding = VaultBinding::new(provider.scope(), namespace, name);
        let rewrapped = provider.rewrap(&binding, data_key).await?;
        Ok(json!({"keyId": rewrapped.key_id, "wrapped": rewrapped.wrapped}))
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "kube's enum has foreign, gated variants"
)]
fn ended(error: &kube::Error) -> Ended {
    match error {
        kube::Error::Api(status) if status.code == CONFLICT => Ended::Conflict,
        kube::Error::Api(status) if status.code == NOT_FOUND => Ended::Gone,
        // What was sent holds no value, so that no answer can.
        kube::Error::Api(status) if !status.message.is_empty() => {
            let message = status.message.strip_prefix(DENIED);
            let message = message.unwrap_or(&status.message).to_owned();
            Ended::Failed(shortened(message, MAX_MESSAGE))
        }
        error => Ended::Failed(Fault::from(error).to_string()),
    }
}

/// What the API server puts before our webhook's own words.
const DENIED: &str = "admission webhook \"vaults.secretvault.dev\" denied the request: ";
/// What admission makes of a data key that it does not take.
const KEPT: &str = "admission left the data key as it was";
const CONFLICT: u16 = 409;
const NOT_FOUND: u16 = 404;
const MAX_MESSAGE: usize = 512;
/// What one vault may take: the provider, and the API server with the webhook.
const STEP: Duration = Duration::from_secs(30);
