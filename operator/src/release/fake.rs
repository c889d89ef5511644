//! An API server in memory: reviews tokens, and knows pods and vaults.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::identity;

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tokens: HashMap<String, Token>,
    objects: HashMap<String, Value>,
    events: Vec<Value>,
    arrived: usize,
    reviews: usize,
    failing: Option<u16>,
    hanging: bool,
}

/// A token, as its review shows it.
#[derive(Clone)]
pub(crate) struct Token {
    audience: String,
    pub(crate) review: TokenReviewStatus,
}

impl Token {
    /// The token that kubelet mints for a pod of the account `web` on `node-a`.
    pub(crate) fn of_pod(namespace: &str, name: &str) -> Self {
        let user = identity::service_account_user(namespace, "web");
        Self::new(secretvault_delivery::POD_AUDIENCE, &user).claiming("pod-name", name)
    }

    /// The token of the node agent on `node-a`.
    pub(crate) fn of_agent() -> Self {
        let user = identity::service_account_user("secretvault", "secretvault-node-agent");
        Self::new(secretvault_delivery::AGENT_AUDIENCE, &user)
    }

    fn new(audience: &str, user: &str) -> Self {
        let review = identity::tests::review(audience, user);
        Self {
            audience: audience.to_owned(),
            review,
        }
    }

    /// Changes a claim of the bound pod.
    pub(crate) fn claiming(mut self, claim: &str, value: &str) -> Self {
        let user = self.review.user.as_mut().unwrap();
        let key = format!("authentication.kubernetes.io/{claim}");
        user.extra
            .as_mut()
            .unwrap()
            .insert(key, vec![value.to_owned()]);
        self
    }
}

impl ApiServer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Makes a token known.
    pub(crate) fn token(&self, text: &str, token: Token) {
        self.state().tokens.insert(text.to_owned(), token);
    }

    /// Makes a token one that nobody knows.
    pub(crate) fn revoke(&self, text: &str) {
        self.state().tokens.remove(text);
    }

    /// Stores an object; none: deletes it. `path` is its whole path.
    pub(crate) fn object(&self, path: &str, object: Option<Value>) {
        let mut state = self.state();
        match object {
            Some(object) => state.objects.insert(path.to_owned(), object),
            None => state.objects.remove(path),
        };
    }

    /// Answers every request with this status.
    pub(crate) fn fail_with(&self, status: Option<u16>) {
        self.state().failing = status;
    }

    /// Answers nothing.
    pub(crate) fn hang(&self, hanging: bool) {
        self.state().hanging = hanging;
    }

    /// How many token reviews were asked for.
    pub(crate) fn reviews(&self) -> usize {
        self.state().reviews
    }

    /// How many requests arrived, answered or not.
    pub(crate) fn arrived(&self) -> usize {
        self.state().arrived
    }

    /// The Events that were told, as soon as nothing more is under way.
    pub(crate) async fn events(&self) -> Vec<Value> {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.state().events.clone()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        self.state().arrived += 1;
        if self.state().hanging {
            std::future::pending::<()>().await;
        }
        let path = head.uri.path().to_owned();
        let mut state = self.state();
        if path.ends_with("/tokenreviews") {
            state.reviews += 1;
        }
        if let Some(code) = state.failing {
            return status(code);
        }
        if head.method == Method::POST && path == "/apis/authentication.k8s.io/v1/tokenreviews" {
            return state.review(&serde_json::from_slice(&body).unwrap());
        }
        if head.method == Method::POST && path.starts_with("/apis/events.k8s.io/v1/") {
            let event: Value = serde_json::from_slice(&body).unwrap();
            state.events.push(event.clone());
            return answer(201, &event);
        }
        match state
            .objects
            .get(&path)
            .filter(|_| head.method == Method::GET)
        {
            Some(object) => answer(200, object),
            None => status(404),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn review(&self, asked: &Value) -> Response<Body> {
        let audience = &asked["spec"]["audiences"][0];
        let known = asked["spec"]["token"]
            .as_str()
            .and_then(|token| self.tokens.get(token));
        let known = known.filter(|token| audience.as_str() == Some(token.audience.as_str()));
        let refused = TokenReviewStatus {
            error: Some("[invalid bearer token]".to_owned()),
            ..TokenReviewStatus::default()
        };
        let review = known.map_or(refused, |token| token.review.clone());
        answer(
            201,
            &json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                "metadata": {}, "spec": asked["spec"], "status": review,
            }),
        )
    }
}

fn status(code: u16) -> Response<Body> {
    let reason = if code == 404 {
        "NotFound"
    } else {
        "InternalError"
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
