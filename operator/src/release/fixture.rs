//! A small world for tests: a keyring, vaults sealed with it, a node with an agent and pods.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secretvault_crds::{DataKey, SecretVault};
use secretvault_delivery::v1::delivery_client::DeliveryClient;
use secretvault_delivery::v1::verdict::Outcome;
use secretvault_delivery::v1::{
    Denial, Grant, PodReference, ReleaseRequest, ReleaseResponse, Volume,
};
use secretvault_envelope::{DataKeyPayload, Dek, DekId, Envelope, Plaintext, VaultBinding};
use secretvault_keyring::Keyring;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::fake::{ApiServer, Token};
use super::{Parts, ReleaseMetrics, router};
use crate::audit::memory::Memory;
use crate::consumers::Consumers;
use crate::keys::{self, Providers};
use crate::tls::HandleKeys;
use crate::vaults::Vaults;

/// Everything that a release touches.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) keyring: Keyring,
    pub(crate) vaults: Vaults,
    pub(crate) providers: Providers,
    pub(crate) log: Memory,
    pub(crate) metrics: ReleaseMetrics,
    pub(crate) handles: HandleKeys,
    pub(crate) consumers: Consumers,
    pub(crate) streams: TaskTracker,
    pub(crate) leaving: CancellationToken,
}

impl World {
    /// An agent and the pod `shop/web-0` on `node-a`, and the vaults that `make` seals.
    pub(crate) async fn with<const N: usize>(
        make: impl FnOnce(&Keyring) -> [SecretVault; N],
    ) -> Self {
        let keyring = Keyring::generate(jiff::Timestamp::UNIX_EPOCH).unwrap();
        let server = ApiServer::new();
        server.token("t-agent", Token::of_agent());
        server.token("t-pod", Token::of_pod("shop", "web-0"));
        server.object(POD, Some(pod()));
        Self {
            providers: providers(&server, &keyring).await,
            vaults: Vaults::of(make(&keyring)),
            server,
            keyring,
            log: Memory::default(),
            metrics: ReleaseMetrics::new(),
            handles: HandleKeys::generate(),
            consumers: Consumers::default(),
            streams: TaskTracker::new(),
            leaving: CancellationToken::new(),
        }
    }

    /// Asks as the agent on `node-a`.
    pub(crate) async fn ask(&self, volumes: Vec<Volume>) -> Result<ReleaseResponse, Status> {
        self.ask_as(Some("Bearer t-agent"), volumes).await
    }

    pub(crate) async fn ask_as(
        &self,
        authorization: Option<&str>,
        volumes: Vec<Volume>,
    ) -> Result<ReleaseResponse, Status> {
        let mut request = tonic::Request::new(ReleaseRequest { volumes });
        if let Some(text) = authorization {
            request
                .metadata_mut()
                .insert("authorization", text.parse().unwrap());
        }
        let answer = DeliveryClient::new(self.router())
            .max_decoding_message_size(secretvault_delivery::MAX_MESSAGE_BYTES)
            .release(request)
            .await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) fn router(&self) -> axum::Router {
        router(Parts {
            client: self.server.client(),
            namespace: "secretvault".to_owned(),
            agent_account: "secretvault-node-agent".to_owned(),
            pod_name: "secretvault-operator-0".to_owned(),
            vaults: self.vaults.clone(),
            providers: self.providers.clone(),
            audit: self.log.audit(),
            metrics: self.metrics.clone(),
            handles: self.handles.clone(),
            consumers: self.consumers.clone(),
            streams: self.streams.clone(),
            leaving: self.leaving.clone(),
        })
    }

    /// The grant of one volume.
    pub(crate) async fn grant(&self, volume: Volume) -> Grant {
        match self.outcome(volume).await {
            Outcome::Grant(grant) => grant,
            Outcome::Denial(denial) => panic!("denied: {denial:?}"),
        }
    }

    /// The denial of one volume.
    pub(crate) async fn denial(&self, volume: Volume) -> Denial {
        match self.outcome(volume).await {
            Outcome::Denial(denial) => denial,
            Outcome::Grant(grant) => panic!("granted: {grant:?}"),
        }
    }

    async fn outcome(&self, volume: Volume) -> Outcome {
        let mut verdicts = self.ask(vec![volume]).await.unwrap().verdicts;
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0).outcome.unwrap()
    }
}

/// The providers as the real watch makes them: `default`, with a keyring in a Secret.
async fn providers(server: &ApiServer, keyring: &Keyring) -> Providers {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(keyring.to_json().as_bytes());
    server.object(
        "/api/v1/namespaces/secretvault/secrets/secretvault-keyring",
        Some(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "secretvault-keyring", "namespace": "secretvault"},
            "data": {"keyring": text},
        })),
    );
    server.object(
        "/apis/secretvault.dev/v1alpha1/keyproviders",
        Some(json!({
            "apiVersion": "secretvault.dev/v1alpha1", "kind": "KeyProviderList",
            "metadata": {"resourceVersion": "1"},
            "items": [{
                "metadata": {"name": "default"},
                "spec": {"local": {"keyring": {"secret": {"name": "secretvault-keyring"}}}},
            }],
        })),
    );
    let providers = Providers::new();
    let (synced, mut done) = tokio::sync::watch::channel(false);
    let namespace = "secretvault".to_owned();
    let watch = keys::watch::run(server.client(), namespace, providers.clone(), synced);
    let watch = tokio::spawn(watch);
    done.wait_for(|synced| *synced).await.unwrap();
    watch.abort();
    providers
}

/// Where the API server has the pod `shop/web-0`.
pub(crate) const POD: &str = "/api/v1/namespaces/shop/pods/web-0";

/// The pod `shop/web-0`, running on `node-a`.
pub(crate) fn pod() -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "shop", "name": "web-0", "uid": "pod-uid", "labels": {"app": "web"},
        },
        "spec": {"nodeName": "node-a", "serviceAccountName": "web", "containers": []},
        "status": {"phase": "Running"},
    })
}

/// The volume of the pod `shop/web-0` with these vaults and items.
pub(crate) fn volume(vaults: &str, items: &str) -> Volume {
    let mut volume = Volume::default();
    volume.pod_token = "t-pod".to_owned();
    volume.pod = Some(PodReference {
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        uid: "pod-uid".to_owned(),
        service_account: "web".to_owned(),
    });
    volume.vaults = vaults.to_owned();
    volume.items = items.to_owned();
    volume
}

/// A vault in the making, and its data key, which no released message may hold.
pub(crate) struct Sealing<'a> {
    keyring: &'a Keyring,
    pub(crate) object: SecretVault,
    pub(crate) dek: Dek,
    pub(crate) dek_bytes: [u8; 32],
}

impl<'a> Sealing<'a> {
    /// An empty vault with the UID `uid-NAME`, generation 1.
    pub(crate) fn new(keyring: &'a Keyring, namespace: &str, name: &str) -> Self {
        let dek = Dek::generate().unwrap();
        let id = DekId::generate().unwrap();
        let binding = VaultBinding::new(keyring.id(), namespace, name);
        let payload = DataKeyPayload::encode(&binding, id, &dek);
        let wrapped = keyring.wrap(&payload).unwrap();
        let (_, dek_bytes) = payload.expose().split_last_chunk::<32>().unwrap();
        let mut object = SecretVault {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                uid: Some(format!("uid-{name}")),
                generation: Some(1),
                ..ObjectMeta::default()
            },
            ..SecretVault::default()
        };
        object.spec.data_key = Some(DataKey {
            provider: "default".to_owned(),
            key_id: wrapped.key_id.to_string(),
            id: id.to_string(),
            wrapped: wrapped.wrapped,
            rekey: 0,
            ..DataKey::default()
        });
        Self {
            keyring,
            object,
            dek,
            dek_bytes: *dek_bytes,
        }
    }

    pub(crate) fn secret(mut self, entry: &str, value: &str) -> Self {
        let envelope = self.envelope(entry, value);
        self.object
            .spec
            .data
            .insert(entry.to_owned(), envelope.to_string().into());
        self
    }

    pub(crate) fn public(mut self, entry: &str, value: &str) -> Self {
        self.object
            .spec
            .public_data
            .insert(entry.to_owned(), value.to_owned());
        self
    }

    /// Lets pods of these namespaces have these entries.
    pub(crate) fn access(mut self, namespaces: &[&str], entries: &[&str]) -> Self {
        let rule = json!({"namespaces": {"names": namespaces}, "entries": entries});
        let rules = self.object.spec.access.get_or_insert_default();
        rules.push(serde_json::from_value(rule).unwrap());
        self
    }

    pub(crate) fn generation(mut self, generation: i64) -> Self {
        self.object.metadata.generation = Some(generation);
        self
    }

    fn envelope(&self, entry: &str, value: &str) -> Envelope {
        let metadata = &self.object.metadata;
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        let vault = VaultBinding::new(self.keyring.id(), namespace.unwrap(), name.unwrap());
        let value = Plaintext::from(value.as_bytes().to_vec());
        Envelope::seal(&self.dek, &vault.entry(entry), &value).unwrap()
    }
}
