//! The authority in its Secret: found, made or moved on, by whichever replica comes first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tracing::{info, warn};

use super::{
    authority::CertificateError,
    rotation::{Plan, plan},
    stored::Stored,
};

/// Where the authority is kept.
#[derive(Clone)]
pub struct AuthorityStore {
    secrets: Api<Secret>,
}

impl AuthorityStore {
    /// The store in the operator's namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
        }
    }

    /// The Secrets among which the authority is.
    pub(super) fn secrets(&self) -> Api<Secret> {
        self.secrets.clone()
    }

    /// Finds the authority, after making it or moving it on where that is due. Where that is
    /// refused, the stored one goes on for as long as it lives: a right that somebody took away does
    /// not end the serving certificates within days.
    ///
    /// # Guarantees
    /// Every write is a create or carries the version that was read: of two replicas at the same
    /// time, one writes and the other reads what it wrote.
    ///
    /// # Errors
    /// Fails when the API server refuses, or when other writers are always faster.
    pub async fn current(&self, now: Timestamp) -> Result<Stored, StoreError> {
        for _ in 0..ATTEMPTS {
            let found = self.secrets.get_opt(CA_SECRET).await?;
            let stored = match &found {
                None => Stored::create(now)?,
                Some(secret) => moved_on(secret.data.as_ref(), now)?,
            };
            let alive = found.as_ref().and_then(|secret| alive(secret, now));
            match (self.write(found, &stored).await, alive) {
                (Ok(true), _) => return Ok(stored),
                (Ok(false), _) => {}
                (Err(error), Some(alive)) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the authority cannot be moved on: it goes on as it is stored"
                    );
                    return Ok(alive);
                }
                (Err(error), None) => return Err(error),
            }
        }
        Err(StoreError::Contended)
    }

    /// Writes what differs; false when another writer came first.
    async fn write(&self, found: Option<Secret>, stored: &Stored) -> Result<bool, StoreError> {
        let contents = Some(stored.contents());
        let written = match found {
            Some(secret) if secret.data == contents => return Ok(true),
            Some(mut secret) => {
                secret.data = contents;
                self.secrets
                    .replace(CA_SECRET, &PostParams::default(), &secret)
                    .await
            }
            None => {
                self.secrets
                    .create(&PostParams::default(), &secret(contents))
                    .await
            }
        };
        match written {
            Ok(_) => info!(secret = CA_SECRET, "wrote the authority"),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// The stored authority as it is, if it can still sign.
fn alive(secret: &Secret, now: Timestamp) -> Option<Stored> {
    let stored = Stored::parse(secret.data.as_ref()?).ok()?;
    (!stored.signing().validity().ended(now)).then_some(stored)
}

/// The stored authority after what is due now.
fn moved_on(
    contents: Option<&BTreeMap<String, ByteString>>,
    now: Timestamp,
) -> Result<Stored, CertificateError> {
    let nothing = BTreeMap::new();
    let contents = contents.unwrap_or(&nothing);
    let stored = match Stored::parse(contents) {
        Ok(stored) => stored,
        Err(reason) => {
            warn!(%reason, "the stored authority cannot be used: making another");
            return Stored::replace(contents, now);
        }
    };
    let plan = plan(now, &stored.seen());
    if plan != Plan::Keep {
        info!(?plan, "moving the authority on");
    }
    stored.advance(plan, now)
}

fn secret(data: Option<BTreeMap<String, ByteString>>) -> Secret {
    let labels = BTreeMap::from([(
        "app.kubernetes.io/managed-by".to_owned(),
        "secretvault-operator".to_owned(),
    )]);
    let metadata = ObjectMeta {
        name: Some(CA_SECRET.into()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    Secret {
        metadata,
        data,
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}

/// Why there is no authority to sign with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The API server refused.
    #[error("secret {CA_SECRET} cannot be read or written")]
    Api(#[from] kube::Error),
    /// No authority could be made.
    #[error("the authority cannot be made")]
    Certificate(#[from] CertificateError),
    /// Others always wrote first.
    #[error("secret {CA_SECRET} is changed by others all the time")]
    Contended,
}

/// The Secret that holds the authority.
pub const CA_SECRET: &str = "secretvault-ca";
const ATTEMPTS: usize = 5;
/// Both for a create that finds the object (`AlreadyExists`) and a replace of an old version.
const CONFLICT: u16 = 409;

#[cfg(test)]
mod tests {
    use http::Method;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::consumers::fake::FakeApi;

    const PATH: &str = "/api/v1/namespaces/system/secrets/secretvault-ca";

    fn now() -> Timestamp {
        "2026-11-22T05:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_not_due_is_not_written_again() {
        let contents = Stored::create(now()).unwrap().contents();
        assert_eq!(
            moved_on(Some(&contents), now()).unwrap().contents(),
            contents
        );
    }

    #[test]
    fn what_is_due_is_moved_on() {
        let contents = Stored::create(now()).unwrap().contents();
        let late = now() + SignedDuration::from_hours(300 * 24);
        assert_eq!(moved_on(Some(&contents), late).unwrap().trusted().len(), 2);
    }

    #[tokio::test]
    async fn where_nothing_may_be_written_the_stored_authority_signs_until_it_ends() {
        let server = FakeApi::default();
        let contents = Stored::create(now()).unwrap().contents();
        server.object(
            PATH,
            json!({"metadata": {"name": CA_SECRET}, "data": contents}),
        );
        server.refuse(Method::PUT, CA_SECRET, 422);
        let store = AuthorityStore::new(server.client(), "system");
        let at = |days: i64| now() + SignedDuration::from_hours(days * 24);
        for due in [at(0), at(300)] {
            let stored = store.current(due).await.unwrap();
            assert_eq!(stored.contents(), contents);
        }
        assert_eq!(server.asked(&Method::PUT, CA_SECRET).len(), 1);
        let ended = store.current(at(400)).await;
        assert!(matches!(ended, Err(StoreError::Api(_))), "{ended:?}");
    }

    #[test]
    fn an_empty_secret_gets_an_authority() {
        assert_eq!(moved_on(None, now()).unwrap().trusted().len(), 1);
    }
}
