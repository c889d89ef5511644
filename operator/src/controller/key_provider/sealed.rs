//! Which vaults are sealed with a provider, asked of the API server itself.

use std::collections::BTreeMap;

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
#[serde(rename_all = "camelCase")]
struct DataKey {
    provider: String,
    key_id: String,
}

/// The vaults whose data key this provider wrapped, by the key that did.
///
/// # Errors
/// Fails when the API server does not list all of them: not knowing is not none.
pub(super) async fn sealed_with(
    client: &Client,
    provider: &str,
) -> Result<BTreeMap<String, Vec<String>>, kube::Error> {
    let vaults: Api<SealedVault> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let list = vaults.list(&page).await?;
        for vault in &list.items {
            if let Some(key_id) = vault.sealed_with(provider) {
                let users = users.entry(key_id.to_owned()).or_default();
                users.push(vault.name());
            }
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(users),
        }
    }
}

impl SealedVault {
    /// The key of the provider that wrapped the vault's data key.
    fn sealed_with(&self, provider: &str) -> Option<&str> {
        let data_key = self.spec.data_key.as_ref()?;
        (data_key.provider == provider).then_some(&data_key.key_id)
    }

    fn name(&self) -> String {
        let meta = &self.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        format!("{namespace}/{}", meta.name.as_deref().unwrap_or_default())
    }
}

const PAGE: u32 = 50;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sealed(spec: &serde_json::Value) -> Option<String> {
        let object = json!({"metadata": {"name": "app"}, "spec": spec});
        let vault = serde_json::from_value::<SealedVault>(object).unwrap();
        vault.sealed_with("default").map(str::to_owned)
    }

    #[test]
    fn the_provider_and_the_key_of_the_data_key_count() {
        let of = |provider: &str| json!({"provider": provider, "keyId": "k1"});
        let spec = json!({"dataKey": of("default"), "data": {"a": "sv1:A"}});
        assert_eq!(sealed(&spec).as_deref(), Some("k1"));
        let spec = json!({"dataKey": of("other"), "keyProvider": "default"});
        assert_eq!(sealed(&spec), None);
        assert_eq!(sealed(&json!({"keyProvider": "default"})), None);
    }
}
