//! The API server without kubectl. What a person would type goes through kubectl; what a test only
//! needs or looks at does not, for a process each would be most of what a whole run costs.

use std::sync::LazyLock;

use http::{Method, Request};
use kube::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Asks the API server.
///
/// # Errors
/// What it answers instead, as text.
pub fn ask(method: &Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let body = body.map(|body| body.to_string().into_bytes());
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    let request = request.body(body.unwrap_or_default());
    let request = request.map_err(|error| error.to_string())?;
    let answer = SERVER.runtime.block_on(SERVER.client.request(request));
    answer.map_err(|error| error.to_string())
}

/// Makes an object as strictly as kubectl does: an unknown field is an error.
///
/// # Errors
/// Why the API server does not.
pub fn create(namespace: &str, collection: &str, object: &Value) -> Result<Value, String> {
    let path = collection_path(namespace, collection);
    let path = format!("{path}?fieldValidation=Strict");
    ask(&Method::POST, &path, Some(object))
}

/// An object that kubectl would name so: `pod/app`. All of a kind: `pod`.
///
/// # Errors
/// Why the API server does not show it.
pub fn get(namespace: &str, object: &str) -> Result<Value, String> {
    ask(&Method::GET, &path(namespace, object), None)
}

/// The reasons and messages of the Events below a path that a field selector selects, joined by lines.
#[must_use]
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn events(below: &str, selector: &str) -> String {
    let selector = selector.replace('=', "%3D").replace(',', "%2C");
    let path = format!("{below}/events?fieldSelector={selector}");
    let events = ask(&Method::GET, &path, None);
    let events = events.unwrap_or_else(|error| panic!("{path}: {error}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = events["items"].as_array().into_iter().flatten();
    let lines = events.map(|event| [text(&event["reason"]), text(&event["message"])].join(": "));
    lines.map(|line| line + "\n").collect()
}

/// The path of an object that kubectl would name so, or of all of a kind.
#[must_use]
pub fn path(namespace: &str, object: &str) -> String {
    match object.split_once('/') {
        Some((kind, name)) => format!("{}/{name}", collection_path(namespace, kind)),
        None => collection_path(namespace, object),
    }
}

/// The path of all objects of a kind, by its name in the singular or kubectl's short name.
#[expect(clippy::panic, reason = "this is how a test fails")]
fn collection_path(namespace: &str, kind: &str) -> String {
    let ours = "/apis/secretvault.dev/v1alpha1";
    let (group, resource) = match kind {
        "namespace" => return "/api/v1/namespaces".to_owned(),
        "keyprovider" => return format!("{ours}/keyproviders"),
        "configmap" | "event" | "pod" | "secret" | "service" | "serviceaccount" => {
            ("/api/v1", format!("{kind}s"))
        }
        "daemonset" | "deployment" | "statefulset" => ("/apis/apps/v1", format!("{kind}s")),
        "sv" | "secretvault" => (ours, "secretvaults".to_owned()),
        other => panic!("no test has looked at a {other} yet: add it here"),
    };
    format!("{group}/namespaces/{namespace}/{resource}")
}

struct Server {
    runtime: Runtime,
    client: Client,
}

#[expect(
    clippy::expect_used,
    reason = "without the cluster there is no test: are the tests started by tests/cluster-tests?"
)]
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let client = runtime.block_on(Client::try_default());
    let client = client.expect("the cluster's kubeconfig");
    Server { runtime, client }
});
