//! The view and its watch, against an API server whose every answer is scripted.

use std::collections::VecDeque;
use std::pin::pin;

use axum::body::Body as Answer;
use futures::channel::mpsc;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{advance, sleep};
use tower_test::mock::{Handle, SendResponse};

use super::watch::{SILENCE_LIMIT, WATCH_SECONDS};
use super::*;

type ApiServer = Handle<Request<Body>, Response<Answer>>;

/// A view, its watch under way, and the API server at the other end.
struct Scene {
    vaults: Vaults,
    server: std::pin::Pin<Box<ApiServer>>,
    watch: tokio::task::JoinHandle<()>,
}

/// Lines of a watch, one at a time; dropped, the watch ends.
type Lines = mpsc::UnboundedSender<Result<String, std::io::Error>>;

impl Scene {
    fn begin() -> Self {
        let (service, server) = tower_test::mock::pair();
        let client = Client::new(service, "default");
        let vaults = Vaults::new();
        let view = vaults.clone();
        let watch = tokio::spawn(async move { view.run(client).await });
        Self {
            vaults,
            server: Box::pin(server),
            watch,
        }
    }

    /// A view that has listed these, at resource version 10, and the watch that follows.
    async fn listed(items: &[Value]) -> (Self, Lines) {
        let mut scene = Self::begin();
        let (_, answer) = scene.request().await;
        answer.send_response(json(200, &list(items, "10", None)));
        let (uri, lines) = scene.accept_watch().await;
        assert!(uri.contains("resourceVersion=10"), "{uri}");
        (scene, lines)
    }

    async fn request(&mut self) -> (String, SendResponse<Response<Answer>>) {
        let (request, answer) = self.server.next_request().await.expect("a request");
        (request.uri().to_string(), answer)
    }

    async fn accept_watch(&mut self) -> (String, Lines) {
        let (uri, answer) = self.request().await;
        assert!(uri.contains("watch=true"), "{uri}");
        let (lines, body) = mpsc::unbounded();
        answer.send_response(Response::new(Answer::from_stream(body)));
        (uri, lines)
    }

    fn names(&self) -> Vec<String> {
        let names = self.vaults.all();
        names
            .iter()
            .map(|vault| vault.metadata.name.clone().unwrap_or_default())
            .collect()
    }

    /// Lets the watch take what it was sent. The clock stands still, but for a moment.
    async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn vault(name: &str, generation: i64, version: &str) -> Value {
    json!({
        "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVault",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("uid-{name}"),
            "generation": generation, "resourceVersion": version,
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"publicData": {"a": "1"}},
    })
}

fn unreadable(name: &str) -> Value {
    let mut vault = vault(name, 1, "5");
    vault["spec"] = json!({"data": [1, 2]});
    vault
}

fn list(items: &[Value], version: &str, next: Option<&str>) -> Value {
    json!({
        "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVaultList",
        "metadata": {"resourceVersion": version, "continue": next},
        "items": items,
    })
}

fn json(code: u16, body: &Value) -> Response<Answer> {
    let mut response = Response::new(Answer::from(body.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}

fn status(code: u16) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "no", "reason": "x", "code": code,
    })
}

fn send(lines: &Lines, kind: &str, object: &Value) {
    let line = json!({"type": kind, "object": object});
    lines.unbounded_send(Ok(format!("{line}\n"))).unwrap();
}

fn bookmark(lines: &Lines, version: &str) {
    let object = json!({
        "apiVersion": "secretvault.dev/v1alpha1", "kind": "SecretVault",
        "metadata": {"resourceVersion": version},
    });
    send(lines, "BOOKMARK", &object);
}

fn app() -> VaultRef {
    VaultRef::new("shop", "app")
}

#[tokio::test(start_paused = true)]
async fn nothing_is_synced_or_fresh_before_the_whole_list_is_there() {
    let mut scene = Scene::begin();
    let (uri, answer) = scene.request().await;
    assert!(
        uri.starts_with("/apis/secretvault.dev/v1alpha1/secretvaults?"),
        "{uri}"
    );
    answer.send_response(json(
        200,
        &list(&[vault("app", 1, "5")], "10", Some("next")),
    ));
    let (uri, answer) = scene.request().await;
    assert!(uri.contains("continue=next"), "{uri}");
    assert!(!scene.vaults.synced() && !scene.vaults.is_fresh(Instant::now()));
    assert!(scene.names().is_empty(), "half a list is none");
    answer.send_response(json(200, &list(&[vault("web", 1, "6")], "10", None)));
    let (_, _lines) = scene.accept_watch().await;
    assert!(scene.vaults.synced() && scene.vaults.is_fresh(Instant::now()));
    assert_eq!(scene.names(), ["app", "web"]);
    let stored = scene.vaults.get(&app()).unwrap();
    assert!(stored.metadata.managed_fields.is_none());
}

#[tokio::test(start_paused = true)]
async fn events_change_the_view_and_tell_about_it() {
    let (scene, lines) = Scene::listed(&[vault("app", 1, "5"), vault("old", 1, "6")]).await;
    let mut changes = scene.vaults.changes();
    changes.mark_unchanged();
    send(&lines, "ADDED", &vault("new", 1, "11"));
    send(&lines, "MODIFIED", &vault("app", 2, "12"));
    send(&lines, "DELETED", &vault("old", 1, "13"));
    scene.settle().await;
    assert_eq!(scene.names(), ["app", "new"]);
    assert_eq!(
        scene.vaults.get(&app()).unwrap().metadata.generation,
        Some(2)
    );
    assert!(changes.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let (mut scene, lines) = Scene::listed(&[vault("app", 1, "5")]).await;
    send(&lines, "MODIFIED", &vault("app", 2, "12"));
    bookmark(&lines, "17");
    drop(lines);
    let (uri, _lines) = scene.accept_watch().await;
    assert!(uri.contains("resourceVersion=17"), "{uri}");
    assert!(
        uri.contains(&format!("timeoutSeconds={WATCH_SECONDS}")),
        "{uri}"
    );
    assert!(uri.contains("allowWatchBookmarks=true"), "{uri}");
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_is_progress_and_an_accepted_watch_is_none() {
    let (mut scene, lines) = Scene::listed(&[]).await;
    let listed = scene.vaults.last_progress().unwrap();
    advance(Duration::from_secs(28)).await;
    bookmark(&lines, "11");
    scene.settle().await;
    let marked = scene.vaults.last_progress().unwrap();
    assert!(marked - listed >= Duration::from_secs(28));
    drop(lines);
    advance(Duration::from_secs(2)).await;
    let (_, lines) = scene.accept_watch().await;
    scene.settle().await;
    assert_eq!(scene.vaults.last_progress(), Some(marked));
    drop(lines);
}

#[tokio::test(start_paused = true)]
async fn a_view_is_fresh_for_less_than_90_seconds() {
    let (scene, _lines) = Scene::listed(&[]).await;
    let progress = scene.vaults.last_progress().unwrap();
    assert!(
        scene
            .vaults
            .is_fresh(progress + MAX_SILENCE - Duration::from_millis(1))
    );
    assert!(!scene.vaults.is_fresh(progress + MAX_SILENCE));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_point_means_a_new_list_that_replaces_the_view_at_once() {
    for gone_in_stream in [true, false] {
        let (mut scene, lines) = Scene::listed(&[vault("app", 1, "5"), vault("old", 1, "6")]).await;
        if gone_in_stream {
            send(&lines, "ERROR", &status(410));
        } else {
            bookmark(&lines, "11");
            drop(lines);
            let (_, answer) = scene.request().await;
            answer.send_response(json(410, &status(410)));
        }
        let (uri, answer) = scene.request().await;
        assert!(!uri.contains("watch=true"), "{uri}");
        assert_eq!(
            scene.names(),
            ["app", "old"],
            "until then the old view holds"
        );
        answer.send_response(json(200, &list(&[vault("new", 1, "20")], "21", None)));
        let (uri, _lines) = scene.accept_watch().await;
        assert!(uri.contains("resourceVersion=21"), "{uri}");
        assert_eq!(scene.names(), ["new"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_asked_again_ever_more_slowly() {
    let mut scene = Scene::begin();
    let mut asked = VecDeque::new();
    for _ in 0..8 {
        let (_, answer) = scene.request().await;
        asked.push_back(Instant::now());
        answer.send_response(json(500, &status(500)));
    }
    let gaps: Vec<_> = asked
        .iter()
        .zip(asked.iter().skip(1))
        .map(|(a, b)| *b - *a)
        .collect();
    assert!(gaps[0] <= Duration::from_millis(250), "{gaps:?}");
    assert!(gaps[6] >= Duration::from_secs(5), "{gaps:?}");
    assert!(
        gaps.iter().all(|gap| *gap <= Duration::from_secs(11)),
        "{gaps:?}"
    );
    assert!(!scene.vaults.synced());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_again_and_again_is_given_up_for_a_list() {
    let (mut scene, lines) = Scene::listed(&[]).await;
    drop(lines);
    let mut refused = 0;
    loop {
        let (uri, answer) = scene.request().await;
        if !uri.contains("watch=true") {
            break;
        }
        refused += 1;
        assert!(refused < 10, "never given up");
        answer.send_response(json(504, &status(504)));
    }
    assert!(refused >= 2, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_begun_again_from_the_same_point() {
    let (mut scene, _lines) = Scene::listed(&[]).await;
    let begun = Instant::now();
    let (uri, _lines) = scene.accept_watch().await;
    assert!(uri.contains("resourceVersion=10"), "{uri}");
    assert!(begun.elapsed() >= SILENCE_LIMIT);
    assert!(begun.elapsed() < SILENCE_LIMIT + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_makes_no_busy_loop() {
    let (mut scene, lines) = Scene::listed(&[]).await;
    drop(lines);
    let begun = Instant::now();
    let (_, lines) = scene.accept_watch().await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    drop(lines);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_stays_as_such_and_harms_no_other() {
    let (scene, lines) = Scene::listed(&[unreadable("bad"), vault("app", 1, "5")]).await;
    let bad = VaultRef::new("shop", "bad");
    assert_eq!(scene.names(), ["app"]);
    assert!(scene.vaults.get(&bad).is_none());
    let Some(seen @ Seen::Unreadable { .. }) = scene.vaults.seen(&bad) else {
        panic!()
    };
    assert_eq!(seen.version(), ("uid-bad", 1));
    send(&lines, "MODIFIED", &unreadable("app"));
    send(&lines, "MODIFIED", &vault("bad", 2, "13"));
    scene.settle().await;
    assert_eq!(scene.names(), ["bad"]);
    assert!(matches!(
        scene.vaults.seen(&app()),
        Some(Seen::Unreadable { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_event_means_a_new_list() {
    let (mut scene, lines) = Scene::listed(&[]).await;
    lines
        .unbounded_send(Ok("{\"type\":\"ADDED\",\"object\":7}\n".to_owned()))
        .unwrap();
    let (uri, _) = scene.request().await;
    assert!(!uri.contains("watch=true"), "{uri}");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_generation_arrives_and_for_this_very_vault_only() {
    let (scene, lines) = Scene::listed(&[vault("app", 1, "5")]).await;
    let (vaults, app) = (scene.vaults.clone(), app());
    let deadline = Instant::now() + Duration::from_secs(2);
    assert!(
        vaults.wait_for(&app, "uid-app", 1, deadline).await,
        "at once"
    );
    let mut waiting = pin!(vaults.wait_for(&app, "uid-app", 3, deadline));
    send(&lines, "MODIFIED", &vault("app", 2, "11"));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), &mut waiting)
            .await
            .is_err()
    );
    send(&lines, "MODIFIED", &vault("app", 3, "12"));
    assert!(waiting.await);
    assert!(Instant::now() < deadline);
    assert!(
        !vaults.wait_for(&app, "uid-before", 1, deadline).await,
        "another vault"
    );
    assert_eq!(Instant::now(), deadline);
}
