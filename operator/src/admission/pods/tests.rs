use serde_json::{Value, json};

use super::*;
use crate::audit::memory::Memory;
use crate::config::PullPolicy;
use crate::keys::fake::ApiServer;

fn vault(entry: &str) -> secretvault_crds::SecretVault {
    serde_json::from_value(json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"namespace": "shop", "name": "app", "uid": "u", "generation": 1},
        "spec": {"publicData": {entry: "v"}},
    }))
    .unwrap()
}

/// A review of the pod `shop/web` with these annotations.
fn review(annotations: &Value) -> AdmissionReview<Pod> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "web",
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {},
            "object": {
                "metadata": {"name": "web", "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": "i"}]},
            },
        },
    });
    serde_json::from_value(review).unwrap()
}

fn webhook(vaults: Vaults) -> PodWebhook {
    let launcher = Launcher {
        image: "launcher:1".to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
    };
    let client = ApiServer::new().client();
    PodWebhook::new(
        client,
        vaults,
        Some(launcher),
        Memory::default().audit(),
        WebhookMetrics::default(),
    )
}

fn annotated() -> Value {
    json!({"secretvault.dev/vaults": "app", "secretvault.dev/env-file": "PW=db"})
}

#[tokio::test]
async fn a_pod_is_patched_and_counted() {
    let webhook = webhook(Vaults::of([vault("db")]));
    let response = webhook.review(review(&annotated())).await;
    assert!(response.allowed);
    let patch: Value = serde_json::from_slice(&response.patch.unwrap()).unwrap();
    assert!(patch.as_array().unwrap().iter().all(|it| it["op"] == "add"));
    assert_eq!(webhook.metrics.pods(PodOutcome::Injected), 1);
    let plain = webhook.review(review(&json!({}))).await;
    assert!(plain.allowed && plain.patch.is_none());
    assert_eq!(webhook.metrics.pods(PodOutcome::Unchanged), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_invalid_pod_and_says_what_to_do() {
    let webhook = webhook(Vaults::of([vault("other")]));
    let response = webhook.review(review(&annotated())).await;
    assert!(!response.allowed);
    assert_eq!(response.result.code, 422);
    assert!(response.result.message.contains("there will be other"));
    assert_eq!(response.result.details.unwrap().kind, "Pod");
    assert_eq!(webhook.metrics.pods(PodOutcome::Refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_arrives_while_its_pod_is_reviewed_counts() {
    let vaults = Vaults::of([]);
    let webhook = webhook(vaults.clone());
    let every = json!({"secretvault.dev/vaults": "app", "secretvault.dev/file-env": "true"});
    let late = async {
        tokio::time::sleep(CATCH_UP / 2).await;
        vaults.arrive(vault("db"));
    };
    let (response, ()) = tokio::join!(webhook.review(review(&every)), late);
    assert!(response.allowed, "{}", response.result.message);
    let (response, ()) = tokio::join!(webhook.review(review(&every)), async {});
    assert!(response.allowed);
}

#[tokio::test]
async fn a_replica_that_cannot_tell_says_try_again() {
    let webhook = webhook(Vaults::new());
    let every = json!({"secretvault.dev/vaults": "app", "secretvault.dev/file-env": "true"});
    let response = webhook.review(review(&every)).await;
    assert_eq!((response.allowed, response.result.code), (false, 503));
    assert_eq!(webhook.metrics.pods(PodOutcome::Unavailable), 1);
}

#[tokio::test]
async fn a_namespace_is_asked_for_where_a_rule_may_look_at_its_labels_and_nowhere_else() {
    let server = ApiServer::new();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "blue"}},
    });
    server.set("/api/v1/namespaces/shop", namespace);
    let mut selecting = vault("db");
    let rule = json!([{"namespaces": {"selector": {"matchLabels": {"team": "blue"}}}}]);
    selecting.spec.access = serde_json::from_value(rule).unwrap();
    for (vault, asked) in [(vault("db"), 0), (selecting, 1)] {
        let metrics = WebhookMetrics::default();
        let webhook = PodWebhook::new(
            server.client(),
            Vaults::of([vault]),
            None,
            Memory::default().audit(),
            metrics,
        );
        let response = webhook.review(review(&annotated())).await;
        assert!(response.allowed, "{}", response.result.message);
        assert_eq!(response.warnings, None);
        assert_eq!(server.arrived(), asked);
        let plain = webhook.review(review(&json!({}))).await;
        assert!(plain.allowed);
        assert_eq!(server.arrived(), asked);
    }
}
