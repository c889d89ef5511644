//! How many vaults are sealed with a provider, asked of the API server itself.

use kube::{
    Api, Client, Resource,
    api::{ListParams, ObjectMeta},
};
use secretvault_crds::SecretVaultDefinition;
use serde::Deserialize;

/// A vault of which only the provider is read: a list of a thousand whole ones could be a GiB.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = SecretVaultDefinition)]
struct SealedVault {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    data_key: Option<DataKey>,
}

#[derive(Clone, Debug, Deserialize)]
struct DataKey {
    provider: String,
}

/// Counts the vaults whose data key this provider wrapped.
///
/// # Errors
/// Fails when the API server does not list all of them: not knowing is not none.
pub(super) async fn sealed_with(client: &Client, provider: &str) -> Result<usize, kube::Error> {
    let vaults: Api<SealedVault> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    let mut count = 0;
    loop {
        let list = vaults.list(&page).await?;
        count += list
            .items
            .iter()
            .filter(|vault| vault.is_sealed_with(provider))
            .count();
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(count),
        }
    }
}

impl SealedVault {
    fn is_sealed_with(&self, provider: &str) -> bool {
        self.spec
            .data_key
            .as_ref()
            .is_some_and(|data_key| data_key.provider == provider)
    }
}

const PAGE: u32 = 50;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sealed(spec: &serde_json::Value) -> bool {
        let object = json!({"metadata": {"name": "app"}, "spec": spec});
        serde_json::from_value::<SealedVault>(object)
            .unwrap()
            .is_sealed_with("default")
    }

    #[test]
    fn the_provider_of_the_data_key_counts() {
        assert!(sealed(
            &json!({"dataKey": {"provider": "default"}, "data": {"a": "sv1:A"}})
        ));
        assert!(!sealed(
            &json!({"dataKey": {"provider": "other"}, "keyProvider": "default"})
        ));
        assert!(!sealed(&json!({"keyProvider": "default"})));
    }
}
