//! An API server in memory that keeps one keyring's Secret, one provider's status, and vaults.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use secretvault_crds::{KeyProvider, LocalProvider};
use secretvault_keyring::Keyring;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::KeyProviderSpec;
use crate::audit::memory::Memory;

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub(super) struct Server {
    /// The audit log of whoever works with it.
    pub(super) log: Memory,
    state: Arc<Mutex<State>>,
    halted: Arc<Notify>,
}

#[derive(Default)]
struct State {
    document: String,
    version: u64,
    status: Value,
    statuses: usize,
    generation: i64,
    spec: Value,
    vaults: Vec<Value>,
    unlisted: bool,
    events: Vec<String>,
    requests: usize,
    reads: usize,
    halt: Option<(usize, Halt)>,
    refusal: Option<(u16, String)>,
    /// What somebody else writes, after so many reads.
    meddled: Option<(usize, String)>,
}

/// When a request hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Its effect is there.
    After,
    /// It has none.
    Before,
}

impl Server {
    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    /// Stores a keyring, whoever does it.
    pub(super) fn keyring(&self, keyring: &Keyring) {
        let mut state = self.state();
        state.document = keyring.to_json().as_str().to_owned();
        state.version += 1;
    }

    pub(super) fn stored(&self) -> Keyring {
        Keyring::parse(&self.state().document).unwrap()
    }

    /// What else is in the Secret.
    pub(super) fn other_data(&self) -> &'static str {
        OTHER
    }

    /// The provider `default`, with the status that it has.
    pub(super) fn provider(&self, local: &LocalProvider) -> KeyProvider {
        let spec = KeyProviderSpec {
            local: Some(local.clone()),
            ..KeyProviderSpec::default()
        };
        let mut state = self.state();
        let json = serde_json::to_value(&spec).unwrap();
        if state.spec != json {
            state.spec = json;
            state.generation += 1;
        }
        let mut provider = KeyProvider::new("default", spec);
        provider.metadata.uid = Some("u".into());
        provider.metadata.generation = Some(state.generation);
        provider.status = serde_json::from_value(state.status.clone()).unwrap();
        provider
    }

    pub(super) fn status(&self) -> Value {
        self.state().status.clone()
    }

    pub(super) fn statuses(&self) -> usize {
        self.state().statuses
    }

    /// The reasons of the Events that were told.
    pub(super) fn events(&self) -> Vec<String> {
        self.state().events.clone()
    }

    pub(super) fn vault(&self, name: &str, provider: &str, key_id: &str) {
        self.state().vaults.push(json!({
            "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVault",
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"dataKey": {"provider": provider, "keyId": key_id}},
        }));
    }

    pub(super) fn no_vaults(&self) {
        self.state().vaults.clear();
    }

    pub(super) fn lists_no_vaults(&self, unlisted: bool) {
        self.state().unlisted = unlisted;
    }

    pub(super) fn refuse_writes(&self, code: u16, message: &str) {
        self.state().refusal = Some((code, message.to_owned()));
    }

    /// A person makes another key the primary one.
    pub(super) fn make_primary(&self, id: &str) {
        let primary = self.stored().primary_id().to_string();
        let mut state = self.state();
        let (old, new) = (
            format!("\"primary\": \"{primary}\""),
            format!("\"primary\": \"{id}\""),
        );
        state.document = state.document.replace(&old, &new);
        state.version += 1;
    }

    /// Somebody else rotates after the keyring was read so many times. Returns their key's id.
    pub(super) fn rotated_by_another_after_reads(&self, reads: usize) -> String {
        let mut keyring = self.stored();
        keyring.rotate(Timestamp::now()).unwrap();
        let document = keyring.to_json().as_str().to_owned();
        self.state().meddled = Some((reads, document));
        keyring.primary_id().to_string()
    }

    /// Hangs at the request after so many.
    pub(super) fn halt(&self, halt: Option<(usize, Halt)>) {
        let mut state = self.state();
        state.requests = 0;
        state.halt = halt;
    }

    pub(super) async fn halted(&self) {
        self.halted.notified().await;
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let halt = {
            let mut state = self.state();
            state.requests += 1;
            let count = state.requests;
            state
                .halt
                .filter(|(at, _)| count > *at)
                .map(|(_, halt)| halt)
        };
        self.hang(halt == Some(Halt::Before)).await;
        let answer = self.state().decide(&head.method, head.uri.path(), &body);
        self.hang(halt == Some(Halt::After)).await;
        answer
    }

    async fn hang(&self, hangs: bool) {
        if hangs {
            self.halted.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn decide(&mut self, method: &Method, path: &str, body: &Value) -> Response<Body> {
        if path.ends_with("/secretvaults") {
            return self.list();
        }
        if path.ends_with("/events") {
            self.events
                .push(body["reason"].as_str().unwrap().to_owned());
            return respond(201, body);
        }
        if path.ends_with("/keyproviders/default/status") {
            self.status = body["status"].clone();
            self.statuses += 1;
            let answer = json!({
                "apiVersion": "secretvault.dev/v1alpha1", "kind": "KeyProvider",
                "metadata": {"name": "default"}, "spec": self.spec,
            });
            return respond(200, &answer);
        }
        assert!(
            path.ends_with("/namespaces/secretvault/secrets/ring"),
            "{path}"
        );
        if method == Method::PUT {
            return self.put(body);
        }
        assert_eq!(method, Method::GET);
        let answer = respond(200, &self.secret());
        self.reads += 1;
        let reads = self.reads;
        if let Some((_, document)) = self.meddled.take_if(|(after, _)| *after == reads) {
            self.document = document;
            self.version += 1;
        }
        answer
    }

    fn list(&self) -> Response<Body> {
        if self.unlisted {
            return status(500, "no");
        }
        let list = json!({
            "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVaultList",
            "metadata": {"resourceVersion": "1"}, "items": self.vaults,
        });
        respond(200, &list)
    }

    fn put(&mut self, body: &Value) -> Response<Body> {
        if let Some((code, message)) = &self.refusal {
            return status(*code, message);
        }
        if body["metadata"]["resourceVersion"] != json!(self.version.to_string()) {
            return status(409, "changed");
        }
        assert_eq!(body["data"]["other"], json!(BASE64_STANDARD.encode(OTHER)));
        let text = body["data"]["keyring"].as_str().unwrap();
        let text = BASE64_STANDARD.decode(text).unwrap();
        self.document = String::from_utf8(text).unwrap();
        self.version += 1;
        respond(200, &self.secret())
    }

    fn secret(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": "ring", "namespace": "secretvault",
                "resourceVersion": self.version.to_string(),
            },
            "data": {
                "keyring": BASE64_STANDARD.encode(&self.document),
                "other": BASE64_STANDARD.encode(OTHER),
            },
        })
    }
}

fn status(code: u16, message: &str) -> Response<Body> {
    let reason = if code == 409 { "Conflict" } else { "Other" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    respond(code, &status)
}

fn respond(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

const OTHER: &str = "untouched";
