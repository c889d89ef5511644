//! Stands between the operator and the server: counts requests, and does with them what a test
//! wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::tls::Certificate;

/// What a probe encrypts.
const PROBE: &str = "c2VjcmV0dmF1bHQgcHJvYmU=";

/// What is done with a request.
#[derive(Clone, Default)]
pub(crate) enum Doing {
    /// It is answered with this.
    Answer(u16, String),
    /// It is answered with what stands beside the end of its path; others not at all.
    ByPath(Vec<(&'static str, u16, String)>),
    /// Its connection is cut.
    Cut,
    /// It is passed on.
    #[default]
    Pass,
    /// It is sent to another address.
    Redirect(String),
    /// It is passed on after a while.
    Slow(Duration),
    /// It is never answered.
    Swallow,
}

/// The proxy. It ends with the test.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    pub(crate) certificate: Certificate,
    pub(crate) address: String,
}

struct Shared {
    upstream: Option<(String, Client)>,
    state: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    doing: Doing,
    counts: HashMap<String, usize>,
    bodies: Vec<(String, Value)>,
}

impl Proxy {
    /// A proxy before a server with that address and certificate; none: it only answers.
    pub(crate) async fn before(upstream: Option<(&str, &Certificate)>) -> Self {
        let certificate = Certificate::of_loopback();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let upstream = upstream.map(|(address, certificate)| {
            let pem = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
            let client = Client::builder().tls_certs_only([pem]).build().unwrap();
            (address.to_owned(), client)
        });
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::default(),
        });
        let acceptor = TlsAcceptor::from(certificate.server());
        let serving = tokio::spawn(serve(listener, acceptor, Arc::clone(&shared)));
        Self {
            shared,
            serving,
            certificate,
            address,
        }
    }

    pub(crate) fn set(&self, doing: Doing) {
        self.shared.state().doing = doing;
    }

    /// How many requests came for paths that end so.
    pub(crate) fn count(&self, end: &str) -> usize {
        let state = self.shared.state();
        let counts = state.counts.iter().filter(|(path, _)| path.ends_with(end));
        counts.map(|(_, count)| count).sum()
    }

    /// How many came in all.
    pub(crate) fn total(&self) -> usize {
        self.count("")
    }

    /// How many data keys were sent to be wrapped. Probes may come at any time.
    pub(crate) fn wraps(&self) -> usize {
        let asked = self.bodies("/encrypt/secretvault");
        asked.iter().filter(|it| it["plaintext"] != PROBE).count()
    }

    /// How often this wrapped key was unwrapped.
    pub(crate) fn decryptions(&self, wrapped: &str) -> usize {
        let asked = self.bodies("/decrypt/secretvault");
        asked
            .iter()
            .filter(|it| it["ciphertext"] == wrapped)
            .count()
    }

    /// What was sent to paths that end so.
    pub(crate) fn bodies(&self, end: &str) -> Vec<Value> {
        let state = self.shared.state();
        let bodies = state.bodies.iter().filter(|(path, _)| path.ends_with(end));
        bodies.map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let router = Router::new().fallback(answer).with_state(shared);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, router) = (acceptor.clone(), router.clone());
        connections.spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = TowerToHyperService::new(router);
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let doing = {
        let mut state = shared.state();
        let path = uri.path().to_owned();
        *state.counts.entry(path.clone()).or_default() += 1;
        let sent = serde_json::from_slice(&body).unwrap_or_default();
        state.bodies.push((path, sent));
        state.doing.clone()
    };
    match doing {
        Doing::Answer(code, text) => respond(code, text),
        Doing::ByPath(answers) => {
            let known = answers.into_iter().find(|it| uri.path().ends_with(it.0));
            let (_, code, text) = known.unwrap_or(("", 404, String::new()));
            respond(code, text)
        }
        Doing::Redirect(address) => {
            let mut response = respond(307, String::new());
            let to = format!("{address}{}", uri.path());
            response
                .headers_mut()
                .insert("location", to.parse().unwrap());
            response
        }
        // A connection whose handler panics is closed without an answer.
        Doing::Cut => std::panic::resume_unwind(Box::new("cut")),
        Doing::Pass => pass(&shared, method, &uri, &headers, body).await,
        Doing::Slow(delay) => {
            tokio::time::sleep(delay).await;
            pass(&shared, method, &uri, &headers, body).await
        }
        Doing::Swallow => std::future::pending().await,
    }
}

async fn pass(
    shared: &Shared,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let Some((address, client)) = &shared.upstream else {
        return respond(404, String::new());
    };
    let mut request = client.request(method, format!("{address}{}", uri.path()));
    for (name, value) in headers {
        if name.as_str().starts_with("x-vault") {
            request = request.header(name, value);
        }
    }
    match request.body(body).send().await {
        Ok(answer) => {
            let code = answer.status().as_u16();
            respond(code, answer.text().await.unwrap_or_default())
        }
        Err(_) => respond(502, String::new()),
    }
}

fn respond(code: u16, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
