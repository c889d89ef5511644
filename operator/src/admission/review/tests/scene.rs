//! An API server, key providers and requests, all in memory.

use std::sync::Arc;

use jiff::Timestamp;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionResponse, AdmissionReview};
use secretvault_crds::{AllowedNamespaces, DataKey, KeyProviderSpec};
use secretvault_envelope::VaultBinding;
use secretvault_keyring::Keyring;
use serde_json::{Value, json};

use crate::admission::{Webhook, WebhookMetrics};
use crate::audit::memory::Memory;
use crate::keys::fake::ApiServer;
use crate::keys::{Policy, Provider, Providers, Source};

pub(super) const OPERATOR: &str = "system:serviceaccount:secretvault:secretvault-operator";
pub(super) const USER: &str = "jane";
pub(super) const RIGHTS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// An API server that knows the namespace `shop`, and the providers `default` and `prod`.
pub(super) struct Scene {
    pub(super) server: ApiServer,
    pub(super) providers: Providers,
    pub(super) log: Memory,
}

impl Scene {
    pub(super) fn new() -> Self {
        let scene = Self {
            server: ApiServer::new(),
            providers: Providers::new(),
            log: Memory::default(),
        };
        scene.namespace(&json!({}));
        scene.allow(true);
        scene.provider("default", &KeyProviderSpec::default());
        scene.provider("prod", &KeyProviderSpec::default());
        scene
    }

    pub(super) fn namespace(&self, annotations: &Value) {
        let metadata = json!({"name": "shop", "annotations": annotations});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.server.set("/api/v1/namespaces/shop", namespace);
    }

    /// What the API server says of every right.
    pub(super) fn allow(&self, allowed: bool) {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "metadata": {}, "spec": {}, "status": {"allowed": allowed},
        });
        self.server.set(RIGHTS, review);
    }

    pub(super) fn provider(&self, name: &str, spec: &KeyProviderSpec) {
        let keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let provider = Provider::local(name, keyring, Source::File("/keyring".into()));
        let policy = Arc::new(Policy::of(spec));
        let state = Ok(Arc::new(provider));
        self.providers.set_with(name, &state, &policy);
    }

    /// Keeps the provider's keys and changes what else its object says.
    pub(super) fn says(&self, name: &str, spec: &KeyProviderSpec) {
        let state = self.providers.state(name).unwrap();
        let policy = Arc::new(Policy::of(spec));
        self.providers.set_with(name, &state, &policy);
    }

    pub(super) fn webhook(&self) -> Webhook {
        let metrics = WebhookMetrics::default();
        let (client, providers) = (self.server.client(), self.providers.clone());
        Webhook::new(client, providers, self.log.audit(), metrics)
    }

    pub(super) async fn review(
        &self,
        user: &str,
        stored: Option<&Value>,
        spec: &Value,
    ) -> (AdmissionResponse, Value) {
        let webhook = self.webhook().operated_by(OPERATOR.to_owned());
        asked(&webhook, user, stored, spec).await
    }

    /// The spec that is stored for this request.
    pub(super) async fn put(&self, user: &str, stored: Option<&Value>, spec: &Value) -> Value {
        let (response, sealed) = self.review(user, stored, spec).await;
        assert!(response.allowed, "{:?}", response.result);
        sealed
    }

    pub(super) async fn refused(&self, stored: Option<&Value>, spec: &Value) -> Refused {
        let (response, sealed) = self.review(USER, stored, spec).await;
        assert!(!response.allowed && sealed == *spec);
        let status = response.result;
        let causes = status.details.map(|details| details.causes);
        Refused {
            code: status.code,
            message: status.message,
            field: causes.map(|causes| causes[0].field.clone()),
        }
    }

    /// The stored data key, wrapped once more by the provider of that name.
    pub(super) async fn rewrapped(&self, stored: &Value) -> Value {
        let key: DataKey = serde_json::from_value(stored["dataKey"].clone()).unwrap();
        let provider = self.providers.get(&key.provider).unwrap();
        let binding = VaultBinding::new(provider.scope(), "shop", "app");
        let wrapped = provider.rewrap(&binding, &key).await.unwrap();
        let mut spec = stored.clone();
        spec["dataKey"]["wrapped"] = json!(wrapped.wrapped);
        spec
    }
}

/// What the requester is told.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) field: Option<String>,
}

pub(super) async fn asked(
    webhook: &Webhook,
    user: &str,
    stored: Option<&Value>,
    spec: &Value,
) -> (AdmissionResponse, Value) {
    let object =
        |spec: &Value| json!({"metadata": {"name": "app", "namespace": "shop"}, "spec": spec});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "secretvault.dev", "version": "v1alpha1", "kind": "SecretVault"},
            "resource": {
                "group": "secretvault.dev", "version": "v1alpha1", "resource": "secretvaults",
            },
            "name": "app",
            "namespace": "shop",
            "operation": if stored.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": if user.is_empty() { json!({}) } else { json!({"username": user}) },
            "object": object(spec),
            "oldObject": stored.map(object),
        },
    });
    let review: AdmissionReview<DynamicObject> = serde_json::from_value(review).unwrap();
    let response = webhook.review(review).await;
    let mut sealed = object(spec);
    if let Some(patch) = &response.patch {
        let patch: json_patch::Patch = serde_json::from_slice(patch).unwrap();
        json_patch::patch(&mut sealed, &patch).unwrap();
    }
    let spec = sealed["spec"].take();
    (response, spec)
}

pub(super) fn raised(stored: &Value) -> Value {
    let mut raised = stored.clone();
    raised["dataKey"]["rekey"] = json!(stored["dataKey"]["rekey"].as_u64().unwrap() + 1);
    raised
}

pub(super) fn plain() -> Value {
    json!({"data": {"a": "hunter2"}})
}

pub(super) fn allowing(name: &str) -> KeyProviderSpec {
    KeyProviderSpec {
        allowed_namespaces: Some(AllowedNamespaces {
            names: vec![name.to_owned()],
            ..AllowedNamespaces::default()
        }),
        ..KeyProviderSpec::default()
    }
}

pub(super) fn moving(to: &str) -> KeyProviderSpec {
    KeyProviderSpec {
        migrate_to: Some(to.to_owned()),
        ..KeyProviderSpec::default()
    }
}
