//! An API server in memory: it knows the objects that a test gives it.

#![allow(
    dead_code,
    reason = "the library's own tests include it too: each uses a part"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: HashMap<String, Value>,
    told: HashMap<String, Value>,
    asked: Vec<(String, Value)>,
    failing: Option<StatusCode>,
    hanging: bool,
}

impl ApiServer {
    /// A server that knows nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Answers a path with this object, whatever the method.
    pub(crate) fn set(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    /// Tells this event to whoever watches a path, and ends the watch: a client begins it again,
    /// and is told so again.
    pub(crate) fn tell(&self, path: &str, event: Value) {
        self.state().told.insert(path.to_owned(), event);
    }

    /// Knows nothing at a path any more.
    pub(crate) fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    /// Answers every request with this status.
    pub(crate) fn fail(&self, status: Option<StatusCode>) {
        self.state().failing = status;
    }

    /// Answers nothing.
    pub(crate) fn hang(&self, hanging: bool) {
        self.state().hanging = hanging;
    }

    /// How many requests arrived.
    pub(crate) fn arrived(&self) -> usize {
        self.state().asked.len()
    }

    /// What was sent to a path.
    pub(crate) fn asked(&self, path: &str) -> Vec<Value> {
        let state = self.state();
        let asked = state.asked.iter().filter(|(to, _)| to == path);
        asked.map(|(_, body)| body.clone()).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default();
        let watches = query.split('&').any(|part| part == "watch=true");
        self.state().asked.push((path.clone(), body));
        if self.state().hanging {
            std::future::pending::<()>().await;
        }
        let state = self.state();
        let told = state.told.get(&path).filter(|_| watches);
        match (state.failing, told.or_else(|| state.objects.get(&path))) {
            (Some(code), _) => failure(code),
            (None, Some(object)) => respond(StatusCode::OK, object),
            (None, None) => failure(StatusCode::NOT_FOUND),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn failure(code: StatusCode) -> Response<Body> {
    let not_found = code == StatusCode::NOT_FOUND;
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no",
        "reason": if not_found { "NotFound" } else { "InternalError" }, "code": code.as_u16(),
    });
    respond(code, &status)
}

fn respond(code: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap()));
    *response.status_mut() = code;
    response
}
