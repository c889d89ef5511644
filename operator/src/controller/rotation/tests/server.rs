//! An API server in memory that keeps vaults, with admission that reseals them as ours does.
//!
//! It can be made to hang at any request, before or after that has its effect: what a process leaves
//! behind that is killed there.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use secretvault_crds::{DataKey, Resealed, SecretVault};
use secretvault_envelope::{Dek, DekId, Envelope, VaultBinding};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::keys::Providers;
use crate::vaults::Vaults;

/// The server. Clones are the same server.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    providers: Providers,
    /// What its watch brings to.
    vaults: Vaults,
    state: Mutex<State>,
    halted: Notify,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, SecretVault>,
    /// The provider that each vault should have, by its name.
    wanted: BTreeMap<String, String>,
    version: u64,
    patches: Vec<(String, Value)>,
    others: usize,
    halt: Option<(usize, Halt)>,
    refused: BTreeMap<String, (u16, String)>,
    keeps: bool,
    watches: bool,
    now: usize,
    most: usize,
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
    pub(super) fn new(providers: Providers, vaults: Vaults) -> Self {
        let state = State {
            watches: true,
            ..State::default()
        };
        Self(Arc::new(Inner {
            providers,
            vaults,
            state: Mutex::new(state),
            halted: Notify::new(),
        }))
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    /// Stores a vault, as anybody may; its status speaks of it.
    pub(super) fn store(&self, mut vault: SecretVault) {
        let mut state = self.state();
        state.version += 1;
        let meta = &mut vault.metadata;
        meta.resource_version = Some(state.version.to_string());
        meta.generation = Some(meta.generation.unwrap_or_default() + 1);
        vault.status.get_or_insert_default().observed_generation = vault.metadata.generation;
        let name = vault.metadata.name.clone().unwrap();
        state.objects.insert(name, vault.clone());
        let watches = state.watches;
        drop(state);
        if watches {
            self.0.vaults.arrive(vault);
        }
    }

    /// What is stored.
    pub(super) fn all(&self) -> Vec<SecretVault> {
        self.state().objects.values().cloned().collect()
    }

    pub(super) fn stored(&self, name: &str) -> SecretVault {
        self.state().objects[name].clone()
    }

    /// Whether the watch brings what is stored; once it does again, it brings everything.
    pub(super) fn watches(&self, watches: bool) {
        self.state().watches = watches;
        if watches {
            for vault in self.all() {
                self.0.vaults.arrive(vault);
            }
        }
    }

    /// Admission gives this vault another provider.
    pub(super) fn wants(&self, vault: &str, provider: &str) {
        let mut state = self.state();
        state.wanted.insert(vault.to_owned(), provider.to_owned());
    }

    /// Hangs at the request after so many.
    pub(super) fn halt(&self, halt: Option<(usize, Halt)>) {
        self.state().halt = halt;
    }

    /// Waits until it hangs.
    pub(super) async fn halted(&self) {
        self.0.halted.notified().await;
    }

    /// Refuses changes of this vault with these words.
    pub(super) fn refuse(&self, vault: &str, refusal: Option<(u16, &str)>) {
        let mut state = self.state();
        match refusal {
            Some((code, message)) => {
                let refusal = (code, message.to_owned());
                state.refused.insert(vault.to_owned(), refusal);
            }
            None => drop(state.refused.remove(vault)),
        }
    }

    /// Leaves data keys as they are, whatever is sent.
    pub(super) fn keeps(&self) {
        self.state().keeps = true;
    }

    /// The changes that arrived: of which vault, and what was sent.
    pub(super) fn patches(&self) -> Vec<(String, Value)> {
        self.state().patches.clone()
    }

    /// How many other requests arrived.
    pub(super) fn others(&self) -> usize {
        self.state().others
    }

    /// How many changes there were at the same time, at most.
    pub(super) fn most(&self) -> usize {
        self.state().most
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let name = head.uri.path().rsplit('/').next().unwrap().to_owned();
        if head.method != Method::PATCH {
            self.state().others += 1;
            return status(404, "no");
        }
        let patch: Value = serde_json::from_slice(&body).unwrap();
        let halt = {
            let mut state = self.state();
            state.patches.push((name.clone(), patch.clone()));
            state.now += 1;
            state.most = state.most.max(state.now);
            let count = state.patches.len();
            state
                .halt
                .filter(|(at, _)| count > *at)
                .map(|(_, halt)| halt)
        };
        self.hang(halt == Some(Halt::Before)).await;
        sleep(Duration::from_millis(1)).await;
        let answer = self.patch(&name, &patch).await;
        self.state().now -= 1;
        self.hang(halt == Some(Halt::After)).await;
        answer
    }

    async fn hang(&self, hangs: bool) {
        if hangs {
            self.0.halted.notify_one();
            std::future::pending::<()>().await;
        }
    }

    async fn patch(&self, name: &str, patch: &Value) -> Response<Body> {
        let stored = {
            let state = self.state();
            if let Some((code, message)) = state.refused.get(name) {
                return status(*code, message);
            }
            let Some(stored) = state.objects.get(name) else {
                return status(404, "gone");
            };
            stored.clone()
        };
        let sent = &patch["metadata"]["resourceVersion"];
        if *sent != json!(stored.metadata.resource_version) {
            return status(409, "changed");
        }
        let mut merged = serde_json::to_value(&stored).unwrap();
        json_patch::merge(&mut merged, patch);
        let mut next: SecretVault = serde_json::from_value(merged).unwrap();
        if self.state().keeps {
            next.spec.data_key.clone_from(&stored.spec.data_key);
        } else {
            self.admit(&stored, &mut next).await;
        }
        // While admission took its time, somebody else may have been quicker.
        if self.stored(name).metadata.resource_version != stored.metadata.resource_version {
            return status(409, "changed");
        }
        if next.spec.data_key != stored.spec.data_key {
            self.store(next.clone());
            next = self.stored(name);
        }
        let meta = &next.metadata;
        let answer = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "resourceVersion": meta.resource_version},
        });
        respond(200, &answer)
    }

    async fn admit(&self, stored: &SecretVault, next: &mut SecretVault) {
        let before = stored.spec.data_key.as_ref().unwrap();
        let sent = next.spec.data_key.clone().unwrap();
        let dek = open(&self.0.providers, stored, before).await;
        if sent.rekey > before.rekey {
            return self.reseal(stored, next, &dek, sent.rekey).await;
        }
        // Only another wrapping of the same data key is taken over.
        let other = open(&self.0.providers, stored, &sent).await;
        let name = stored.metadata.name.as_deref().unwrap();
        let scope = scope(&self.0.providers, &before.provider);
        let binding = VaultBinding::new(&scope, "shop", name);
        let envelope: Envelope = stored.spec.data["a"].expose().parse().unwrap();
        envelope.open_with_dek(&other, &binding.entry("a")).unwrap();
    }

    async fn reseal(&self, stored: &SecretVault, next: &mut SecretVault, old: &Dek, rekey: u32) {
        let before = stored.spec.data_key.as_ref().unwrap();
        let name = stored.metadata.name.as_deref().unwrap();
        let wanted = self.state().wanted.get(name).cloned();
        let wanted = wanted.unwrap_or_else(|| before.provider.clone());
        let scope = scope(&self.0.providers, &before.provider);
        let provider = self.0.providers.get(&wanted).unwrap();
        let from = VaultBinding::new(&scope, "shop", name);
        let to = VaultBinding::new(provider.scope(), "shop", name);
        let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
        for (entry, text) in &mut next.spec.data {
            let envelope: Envelope = text.expose().parse().unwrap();
            let value = envelope.open_with_dek(old, &from.entry(entry)).unwrap();
            let sealed = Envelope::seal(&dek, &to.entry(entry), &value).unwrap();
            *text = sealed.to_string().into();
        }
        let wrapped = provider.wrap(&to, id, &dek).await.unwrap();
        next.spec.data_key = Some(DataKey {
            provider: wanted,
            key_id: wrapped.key_id,
            id: id.to_string(),
            wrapped: wrapped.wrapped,
            rekey,
            created: Some(secretvault_crds::whole_second(jiff::Timestamp::now())),
            resealed: Some(Resealed {
                from: stored.spec.content_revision(),
                to: next.spec.stored_revision(),
            }),
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

/// Opens a vault's data key.
pub(super) async fn open(providers: &Providers, vault: &SecretVault, data_key: &DataKey) -> Dek {
    let name = vault.metadata.name.as_deref().unwrap();
    let opened = providers.open("shop", name, data_key).await;
    opened.unwrap().dek
}

fn scope(providers: &Providers, name: &str) -> String {
    providers.get(name).unwrap().scope().to_owned()
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
