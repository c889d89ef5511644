//! What is known of namespaces where that decides about keys, or about who may have what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use super::NamespaceFacts;

/// The facts of namespaces, asked for live and kept for a moment. Clones share them.
///
/// # Guarantees
/// No answer is older than ten seconds. Failures are not kept.
#[derive(Clone)]
pub struct Namespaces {
    api: Api<PartialObjectMeta<Namespace>>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

struct Known {
    facts: Arc<NamespaceFacts>,
    since: Instant,
}

impl Namespaces {
    /// Facts that `client` is asked for.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            known: Arc::default(),
        }
    }

    /// The facts of a namespace. One that is not there has a name, and no facts.
    ///
    /// # Errors
    /// The API server did not answer, or not in time.
    pub async fn facts(&self, name: &str) -> Result<Arc<NamespaceFacts>, NamespaceUnknown> {
        // Asked before the answer is old: what it says was true then, not later.
        let asked = Instant::now();
        if let Some(facts) = self.fresh(name, asked) {
            return Ok(facts);
        }
        let answer = timeout(PATIENCE, self.api.get_opt(name)).await;
        let unknown = || NamespaceUnknown {
            name: name.to_owned(),
        };
        let object = answer.map_err(|_| unknown())?.map_err(|_| unknown())?;
        let facts = Arc::new(facts_of(name, object));
        self.keep(name, &facts, asked);
        Ok(facts)
    }

    fn fresh(&self, name: &str, now: Instant) -> Option<Arc<NamespaceFacts>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(name).filter(|it| now - it.since < KEEP)?;
        Some(Arc::clone(&found.facts))
    }

    fn keep(&self, name: &str, facts: &Arc<NamespaceFacts>, since: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.retain(|_, it| since.saturating_duration_since(it.since) < KEEP);
        }
        // Still full of fresh ones: this one is asked for again next time.
        if known.len() < MAX_KNOWN {
            let facts = Arc::clone(facts);
            known.insert(name.to_owned(), Known { facts, since });
        }
    }
}

fn facts_of(name: &str, object: Option<PartialObjectMeta<Namespace>>) -> NamespaceFacts {
    let mut meta = object.map(|object| object.metadata).unwrap_or_default();
    meta.name = Some(name.to_owned());
    NamespaceFacts::of(&meta)
}

/// A namespace's labels and annotations could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer for namespace {name}: try again")]
pub struct NamespaceUnknown {
    name: String,
}

/// How long an answer is kept: a changed label or annotation counts from then on.
const KEEP: Duration = Duration::from_secs(10);

/// How many are kept.
const MAX_KNOWN: usize = 1024;

/// How long the API server may take. The webhook has ten seconds, and the providers come after.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::keys::fake::ApiServer;

    fn server() -> ApiServer {
        let server = ApiServer::new();
        server.set(
            "/api/v1/namespaces/shop",
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {
                    "name": "shop", "labels": {"env": "prod"},
                    "annotations": {"secretvault.dev/key-provider": "prod"},
                },
            }),
        );
        server
    }

    #[tokio::test(start_paused = true)]
    async fn facts_are_asked_for_once_in_ten_seconds() {
        let server = server();
        let namespaces = Namespaces::new(server.client());
        let facts = namespaces.facts("shop").await.unwrap();
        assert_eq!(facts.key_provider.as_deref(), Some("prod"));
        assert_eq!(facts.labels["env"], "prod");
        namespaces.facts("shop").await.unwrap();
        assert_eq!(server.arrived(), 1);
        tokio::time::advance(KEEP).await;
        namespaces.facts("shop").await.unwrap();
        assert_eq!(server.arrived(), 2);
    }

    #[tokio::test]
    async fn a_namespace_that_is_not_there_has_no_facts() {
        let facts = Namespaces::new(server().client())
            .facts("gone")
            .await
            .unwrap();
        assert_eq!(facts.named(None), "default");
        assert!(facts.labels.is_empty());
    }

    #[tokio::test]
    async fn an_api_server_that_fails_is_told_and_not_kept() {
        let server = server();
        let namespaces = Namespaces::new(server.client());
        server.fail(Some(StatusCode::INTERNAL_SERVER_ERROR));
        let error = namespaces.facts("shop").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the API server did not answer for namespace shop: try again"
        );
        server.fail(None);
        assert!(namespaces.facts("shop").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_hangs_is_told_in_time() {
        let server = server();
        server.hang(true);
        assert!(
            Namespaces::new(server.client())
                .facts("shop")
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_namespaces_is_bounded() {
        let namespaces = Namespaces::new(server().client());
        for number in 0..MAX_KNOWN + 10 {
            namespaces.facts(&format!("n{number}")).await.unwrap();
        }
        let kept = || namespaces.known.lock().unwrap().len();
        assert_eq!(kept(), MAX_KNOWN);
        tokio::time::advance(KEEP).await;
        namespaces.facts("shop").await.unwrap();
        assert_eq!(kept(), 1);
    }
}
