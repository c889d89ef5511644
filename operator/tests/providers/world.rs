//! The operator's view of its providers, kept by the real watch, from objects of a test.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secretvault_crds::DataKey;
use secretvault_envelope::{Dek, DekId, VaultBinding};
use secretvault_operator::keys::{
    self, KeyError, KeyFault, KeyMetrics, Provider, ProviderFault, Providers,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::api::ApiServer;
use crate::bao::Bao;
use crate::proxy::Proxy;
use crate::tls;

/// A replica's view, and the API server that it reads.
pub(crate) struct World {
    pub(crate) api: ApiServer,
    pub(crate) providers: Providers,
    pub(crate) metrics: KeyMetrics,
    watch: JoinHandle<()>,
}

impl World {
    /// A view of these providers: names and specs.
    pub(crate) async fn of(objects: &[(&str, Value)]) -> Self {
        Self::on(ApiServer::new(), objects).await
    }

    /// The same, on an API server that knows something already.
    pub(crate) async fn on(api: ApiServer, objects: &[(&str, Value)]) -> Self {
        tls::provide();
        api.set(
            "/api/v1/namespaces/kube-system",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "cluster-uid"}}),
        );
        declare(&api, objects);
        let metrics = KeyMetrics::default();
        let providers = Providers::counted_by(metrics.clone());
        let (synced, mut done) = tokio::sync::watch::channel(false);
        let namespace = "secretvault".to_owned();
        let watch = keys::watch::run(api.client(), namespace, providers.clone(), synced);
        let watch = tokio::spawn(watch);
        done.wait_for(|synced| *synced).await.unwrap();
        Self {
            api,
            providers,
            metrics,
            watch,
        }
    }

    /// Changes the providers, and has them read.
    pub(crate) async fn declare(&self, objects: &[(&str, Value)]) {
        declare(&self.api, objects);
        self.providers.refresh().await;
    }

    /// Stores a Secret in the operator's namespace.
    pub(crate) fn secret(&self, name: &str, key: &str, text: &str) {
        secret(&self.api, name, key, text);
    }

    pub(crate) fn provider(&self, name: &str) -> Arc<Provider> {
        self.providers.get(name).unwrap()
    }

    /// What is wrong with a provider, once that is found out.
    pub(crate) async fn fault(&self, name: &str) -> ProviderFault {
        for _ in 0..100 {
            self.providers.refresh().await;
            if let Some(Err(fault)) = self.providers.state(name)
                && !fault.message.contains("not asked yet")
            {
                return fault;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} has no fault");
    }

    /// Waits until a provider is as it should be.
    pub(crate) async fn usable(&self, name: &str) -> Arc<Provider> {
        for _ in 0..150 {
            if let Some(Ok(provider)) = self.providers.state(name) {
                return provider;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "{name} is not usable: {:?}",
            self.providers.state(name).map(Result::err)
        );
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn declare(api: &ApiServer, objects: &[(&str, Value)]) {
    let object = |(name, spec): &(&str, Value)| json!({"metadata": {"name": name}, "spec": spec});
    list(api, &objects.iter().map(object).collect::<Vec<_>>());
}

/// Stores these whole objects as the only providers.
pub(crate) fn list(api: &ApiServer, items: &[Value]) {
    api.set(
        "/apis/secretvault.dev/v1alpha1/keyproviders",
        json!({
            "apiVersion": "secretvault.dev/v1alpha1", "kind": "KeyProviderList",
            "metadata": {"resourceVersion": "1"}, "items": items,
        }),
    );
}

/// Stores a Secret in the operator's namespace.
pub(crate) fn secret(api: &ApiServer, name: &str, key: &str, text: &str) {
    api.set(
        &format!("/api/v1/namespaces/secretvault/secrets/{name}"),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "data": {key: BASE64_STANDARD.encode(text)},
        }),
    );
}

/// The Transit key `secretvault` behind a proxy, as the provider `transit`, by a token in a Secret.
pub(crate) struct TransitWorld {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    pub(crate) bao: Bao,
}

impl TransitWorld {
    /// With the least token.
    pub(crate) async fn new() -> Self {
        let bao = Bao::with_key().await;
        let token = bao.token().await;
        let transit = Self::by_token(bao, &token).await;
        transit.world.usable("transit").await;
        transit
    }

    /// With that token, whatever comes of it.
    pub(crate) async fn by_token(bao: Bao, token: &str) -> Self {
        let proxy = Proxy::before(Some((&bao.address, &bao.certificate))).await;
        let api = ApiServer::new();
        secret(&api, "transit-token", "token", token);
        let spec = transit_by_token(&proxy);
        let world = World::on(api, &[("transit", spec)]).await;
        Self { world, proxy, bao }
    }

    /// With another way to log in, whatever comes of it.
    pub(crate) async fn by(bao: Bao, auth: Value, api: ApiServer) -> Self {
        let proxy = Proxy::before(Some((&bao.address, &bao.certificate))).await;
        let spec = transit_spec(&proxy.address, &proxy.certificate.bundle(), &auth);
        let world = World::on(api, &[("transit", spec)]).await;
        Self { world, proxy, bao }
    }

    pub(crate) fn provider(&self) -> Arc<Provider> {
        self.world.provider("transit")
    }

    /// Seals a vault's data key.
    pub(crate) async fn sealed(&self, vault: &str) -> Sealed {
        Sealed::by(&self.provider(), vault).await
    }

    /// Changes the provider's specification.
    pub(crate) async fn respecify(&self, change: impl FnOnce(&mut Value)) {
        let mut spec = transit_by_token(&self.proxy);
        change(&mut spec["vaultTransit"]);
        self.world.declare(&[("transit", spec)]).await;
    }

    /// A fault, which must be of this kind.
    pub(crate) async fn faulty(&self, reason: KeyFault) -> String {
        let fault = self.world.fault("transit").await;
        assert_eq!(fault.reason, reason, "{fault}");
        // So that the words are the same in every run.
        fault.message.replace(&self.proxy.address, "https://bao")
    }
}

/// The provider's specification, with the token in the Secret `transit-token`.
pub(crate) fn transit_by_token(proxy: &Proxy) -> Value {
    let auth = json!({"token": {"secret": {"name": "transit-token", "key": "token"}}});
    transit_spec(&proxy.address, &proxy.certificate.bundle(), &auth)
}

pub(crate) fn transit_spec(address: &str, bundle: &str, auth: &Value) -> Value {
    json!({"vaultTransit": {
        "address": address, "caBundle": bundle, "key": "secretvault", "auth": auth,
    }})
}

/// A vault's data key, as it is stored.
pub(crate) struct Sealed {
    pub(crate) dek: Dek,
    pub(crate) data_key: DataKey,
    pub(crate) vault: String,
}

impl Sealed {
    /// A new data key of the vault `shop/NAME`.
    pub(crate) async fn by(provider: &Provider, vault: &str) -> Self {
        Self::try_by(provider, vault).await.unwrap()
    }

    pub(crate) async fn try_by(provider: &Provider, vault: &str) -> Result<Self, KeyError> {
        let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
        let binding = VaultBinding::new(provider.scope(), "shop", vault);
        let wrapped = provider.wrap(&binding, id, &dek).await?;
        let data_key = DataKey {
            id: id.to_string(),
            key_id: wrapped.key_id,
            wrapped: wrapped.wrapped,
            ..DataKey::default()
        };
        Ok(Self {
            dek,
            data_key,
            vault: vault.to_owned(),
        })
    }

    pub(crate) fn binding<'a>(&'a self, provider: &'a Provider) -> VaultBinding<'a> {
        VaultBinding::new(provider.scope(), "shop", &self.vault)
    }

    /// Whether it opens to the same bytes.
    pub(crate) async fn opens(&self, provider: &Provider) -> Result<bool, KeyError> {
        let dek = provider
            .unwrap(&self.binding(provider), &self.data_key)
            .await?;
        Ok(dek == self.dek)
    }

    /// The same, wrapped anew.
    pub(crate) async fn rewrapped(&self, provider: &Provider) -> Result<DataKey, KeyError> {
        let again = provider
            .rewrap(&self.binding(provider), &self.data_key)
            .await?;
        Ok(DataKey {
            key_id: again.key_id,
            wrapped: again.wrapped,
            ..self.data_key.clone()
        })
    }
}

/// The reason of a refusal.
pub(crate) fn reason(error: &KeyError) -> Option<KeyFault> {
    match error {
        KeyError::Failed { fault, .. } | KeyError::NotReady { fault, .. } => Some(fault.reason),
        KeyError::DoesNotOpen
        | KeyError::MigratesInCircle { .. }
        | KeyError::MigratesNowhere { .. }
        | KeyError::MigratesTooFar { .. }
        | KeyError::NoProvider { .. }
        | KeyError::Randomness
        | KeyError::UnknownKey { .. } => None,
    }
}
