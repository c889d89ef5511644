//! The API server without kubectl. What a person would type goes through kubectl; what a test only
//! needs or looks at does not, for a process each would be most of what a whole run costs.

use std::sync::LazyLock;

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Asks the API server.
///
/// # Errors
/// What it answers instead, as text.
pub fn ask(method: &Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
    send(method, path, body, "application/json", &[])
}

fn send(
    method: &Method,
    path: &str,
    body: Option<&Value>,
    content_type: &str,
    headers: &[(&str, &str)],
) -> Result<Value, String> {
    let body = body.map(|body| body.to_string().into_bytes());
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("content-type", content_type);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.unwrap_or_default());
    let request = request.map_err(|error| error.to_string())?;
    let answer = SERVER.runtime.block_on(SERVER.client.request_text(request));
    match answer.map_err(|error| error.to_string())?.as_str() {
        "" => Ok(Value::Null),
        text => serde_json::from_str(text).map_err(|error| error.to_string()),
    }
}

/// Asks a server in a pod by HTTPS, through the API server: `https:POD:PORT`, then the path.
///
/// # Errors
/// What it answers instead, as text.
pub fn ask_pod(
    namespace: &str,
    server: &str,
    (method, path): (&Method, &str),
    body: Option<&Value>,
    headers: &[(&str, &str)],
) -> Result<Value, String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{server}/proxy{path}");
    send(method, &path, body, "application/json", headers)
}

/// Merges a patch into an object that kubectl would name so.
///
/// # Errors
/// Why the API server does not.
pub fn merge(namespace: &str, object: &str, patch: &Value) -> Result<Value, String> {
    let path = path(namespace, object);
    send(&Method::PATCH, &path, Some(patch), MERGE, &[])
}

/// What would come of a merge patch of somebody: of the administrator, or of whom the headers
/// impersonate.
///
/// # Errors
/// Why the API server would not.
pub fn try_merge(
    namespace: &str,
    object: &str,
    patch: &Value,
    headers: &[(&str, &str)],
) -> Result<Value, String> {
    let path = format!("{}?dryRun=All", path(namespace, object));
    send(&Method::PATCH, &path, Some(patch), MERGE, headers)
}

const MERGE: &str = "application/merge-patch+json";

/// Applies an object as kubectl does on the server's side, as strictly, and whoever else has written to
/// it.
///
/// # Errors
/// Why the API server does not.
pub fn apply(namespace: &str, object: &str, applied: &Value) -> Result<Value, String> {
    let path = path(namespace, object);
    let path = format!("{path}?fieldManager=kubectl&force=true&fieldValidation=Strict");
    let content_type = "application/apply-patch+yaml";
    send(&Method::PATCH, &path, Some(applied), content_type, &[])
}

/// Whether a user may do this, by the `resourceAttributes` of a `SubjectAccessReview`: what `kubectl auth
/// can-i --as` asks.
///
/// # Errors
/// Why the API server does not say.
pub fn may(user: &str, attributes: &Value) -> Result<bool, String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    let account = user.strip_prefix("system:serviceaccount:");
    if let Some((namespace, _)) = account.and_then(|it| it.split_once(':')) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    let spec = json!({"user": user, "groups": groups, "resourceAttributes": attributes});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = ask(&Method::POST, path, Some(&json!({"spec": spec})))?;
    let allowed = answer["status"]["allowed"].as_bool();
    allowed.ok_or_else(|| answer.to_string())
}

/// Takes an object away. One that is not there is no error.
///
/// # Errors
/// Why the API server does not.
pub fn delete(namespace: &str, object: &str) -> Result<(), String> {
    match ask(&Method::DELETE, &path(namespace, object), None) {
        Err(error) if !error.contains("NotFound") => Err(error),
        _ => Ok(()),
    }
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
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let (group, resource) = match kind {
        "namespace" => return "/api/v1/namespaces".to_owned(),
        "keyprovider" => return format!("{ours}/keyproviders"),
        "clusterrole" | "clusterrolebinding" => return format!("{roles}/{kind}s"),
        "configmap" | "event" | "pod" | "secret" | "service" | "serviceaccount" => {
            ("/api/v1", format!("{kind}s"))
        }
        "daemonset" | "deployment" | "statefulset" => ("/apis/apps/v1", format!("{kind}s")),
        "job" => ("/apis/batch/v1", "jobs".to_owned()),
        "role" | "rolebinding" => (roles, format!("{kind}s")),
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
