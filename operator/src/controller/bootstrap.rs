//! Makes the key provider `default` on a cluster that has none.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use secretvault_crds::{
    KeyProvider, KeyProviderSpec, KeyringSecret, KeyringSource, LocalProvider,
    api::DEFAULT_KEY_PROVIDER,
};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::metrics::{ControllerMetrics, ControllerName, ReconcileOutcome};

/// Tries until it is known that there is a key provider. One that exists is never changed.
pub(super) async fn run(client: Client, metrics: ControllerMetrics) {
    let providers: Api<KeyProvider> = Api::all(client);
    loop {
        match ensure(&providers).await {
            Ok(outcome) => return metrics.reconciled(ControllerName::Bootstrap, outcome),
            Err(error) => warn!(%error, "no key provider can be made"),
        }
        metrics.reconciled(ControllerName::Bootstrap, ReconcileOutcome::Failed);
        sleep(RETRY).await;
    }
}

async fn ensure(providers: &Api<KeyProvider>) -> Result<ReconcileOutcome, kube::Error> {
    if !providers
        .list(&ListParams::default().limit(1))
        .await?
        .items
        .is_empty()
    {
        return Ok(ReconcileOutcome::Unchanged);
    }
    match providers
        .create(&PostParams::default(), &default_provider())
        .await
    {
        Ok(_) => info!(provider = DEFAULT_KEY_PROVIDER, "made a key provider"),
        Err(kube::Error::Api(answer)) if answer.reason == "AlreadyExists" => {}
        Err(error) => return Err(error),
    }
    Ok(ReconcileOutcome::Changed)
}

fn default_provider() -> KeyProvider {
    let secret = KeyringSecret {
        name: KEYRING_SECRET.to_owned(),
        key: None,
    };
    let keyring = KeyringSource {
        secret: Some(secret),
        file: None,
    };
    let spec = KeyProviderSpec {
        local: Some(LocalProvider {
            keyring,
            ..LocalProvider::default()
        }),
        ..KeyProviderSpec::default()
    };
    KeyProvider::new(DEFAULT_KEY_PROVIDER, spec)
}

/// Where the keyring of the default provider is.
const KEYRING_SECRET: &str = "secretvault-keyring";
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_provider_has_its_keyring_in_a_secret() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&default_provider()).unwrap(), @r#"
        {
          "apiVersion": "secretvault.dev/v1alpha1",
          "kind": "KeyProvider",
          "metadata": {
            "name": "default"
          },
          "spec": {
            "local": {
              "keyring": {
                "secret": {
                  "name": "secretvault-keyring"
                }
              }
            }
          }
        }
        "#);
    }
}
