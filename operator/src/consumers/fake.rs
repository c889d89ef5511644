//! An API server in memory: keeps objects, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    requests: Vec<Asked>,
    refusals: Vec<(Method, String, u16)>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: http::Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    /// Stores an object; none: deletes it. `path` is its whole path.
    pub(crate) fn object(&self, path: &str, object: impl Into<Option<Value>>) {
        let mut state = self.state();
        match object.into() {
            Some(object) => state.objects.insert(path.to_owned(), object),
            None => state.objects.remove(path),
        };
    }

    /// What is stored there.
    pub(crate) fn stored(&self, path: &str) -> Value {
        self.state().objects.get(path).cloned().unwrap_or_default()
    }

    /// Answers such requests, to paths that contain this, with a status code.
    pub(crate) fn refuse(&self, method: Method, path: &str, code: u16) {
        self.state().refusals.push((method, path.to_owned(), code));
    }

    /// Answers as it should again.
    pub(crate) fn refuse_nothing(&self) {
        self.state().refusals.clear();
    }

    /// What was asked by this method, to paths that contain this.
    pub(crate) fn asked(&self, method: &Method, path: &str) -> Vec<Asked> {
        let state = self.state();
        let asked = state.requests.iter();
        asked
            .filter(|it| it.method == method && it.path.contains(path))
            .cloned()
            .collect()
    }

    async fn answer(&self, request: http::Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let asked = Asked {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let mut state = self.state();
        state.requests.push(asked.clone());
        state.decide(&asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn decide(&mut self, asked: &Asked) -> Response<Body> {
        let refusals = self.refusals.iter();
        let mut refusals = refusals
            .filter(|(method, path, _)| asked.method == method && asked.path.contains(path));
        if let Some((_, _, code)) = refusals.next() {
            return status(*code);
        }
        let path = asked.path.trim_end_matches("/status");
        if asked.method == Method::POST {
            return answer(201, &asked.body);
        }
        let applied = asked.query.contains("fieldManager") && asked.query.contains("force");
        if asked.method == Method::PATCH && applied && !self.objects.contains_key(path) {
            self.objects.insert(path.to_owned(), json!({}));
        }
        let Some(object) = self.objects.get_mut(path) else {
            return status(404);
        };
        if asked.method == Method::PATCH {
            if moved(object, &asked.body) {
                return status(409);
            }
            if asked.path.ends_with("/status") {
                // Whoever applies a status owns all of it: what is not applied any more goes.
                object["status"] = asked.body["status"].clone();
            } else {
                json_patch::merge(object, &asked.body);
                let generation = object["metadata"]["generation"].as_i64();
                if let Some(generation) = generation.filter(|_| asked.body.get("spec").is_some()) {
                    object["metadata"]["generation"] = json!(generation + 1);
                }
            }
        }
        answer(200, object)
    }
}

/// Whether a patch names another version or another object than the stored one.
fn moved(object: &Value, patch: &Value) -> bool {
    ["uid", "resourceVersion"].iter().any(|field| {
        let named = &patch["metadata"][field];
        !named.is_null()
            && !object["metadata"][field].is_null()
            && *named != object["metadata"][field]
    })
}

fn status(code: u16) -> Response<Body> {
    let reason = match code {
        404 => "NotFound",
        403 => "Forbidden",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": "no", "reason": reason, "code": code,
    });
    answer(code, &status)
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}
