use std::convert::Infallible;

use axum::routing::{MethodRouter, post};
use futures::future::join_all;
use futures::stream;
use secretvault_crds::limits::{MAX_ENTRIES, MAX_SEALED_TOTAL};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use super::*;
use crate::admission::LONGEST_VAULT;

const A_WHILE: Duration = Duration::from_millis(100);

/// A body that is as good as any.
const SHORT: &str = "{}";

fn short() -> Body {
    Body::from(SHORT)
}

/// A body that does not say how long it is, and of which nothing arrives.
fn stalled() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
}

fn unsaid(text: String) -> Body {
    Body::from_stream(stream::iter([Ok::<_, Infallible>(text)]))
}

/// Who decides after a while.
fn slow() -> MethodRouter {
    post(async |_: Bytes| sleep(A_WHILE).await)
}

async fn sent(door: &Door, handler: MethodRouter, body: Body) -> Response {
    let router = door.clone().before(Router::new().route("/", handler));
    let request = Request::post("/").body(body).unwrap();
    router.oneshot(request).await.unwrap()
}

async fn code(door: &Door, body: Body) -> StatusCode {
    sent(door, slow(), body).await.status()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_ends_in_time_and_leaves_its_room_to_the_next() {
    // As long as it may get, it has all the room.
    let door = Room::of(8, KIB, MIB).door(KIB, OBJECT);
    let begun = Instant::now();
    let (first, next) = tokio::join!(code(&door, stalled()), code(&door, short()));
    assert_eq!(first, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(next, StatusCode::OK);
    assert_eq!(begun.elapsed(), ARRIVAL + A_WHILE);
}

#[tokio::test(start_paused = true)]
async fn a_review_that_nobody_answers_ends_in_time_and_leaves_its_place() {
    let door = Room::of(1, KIB, MIB).door(KIB, OBJECT);
    let begun = Instant::now();
    let never = post(std::future::pending::<&'static str>);
    let answer = sent(&door, never, short()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(begun.elapsed(), DEADLINE);
    assert_eq!(code(&door, short()).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn fifty_at_once_wait_for_room_and_are_all_served() {
    let two = 2 * weight(SHORT.as_bytes(), OBJECT).next_multiple_of(KIB);
    let door = Room::of(50, KIB, two).door(KIB, OBJECT);
    let begun = Instant::now();
    let codes = join_all((0..50).map(|_| code(&door, short()))).await;
    assert_eq!(codes, [StatusCode::OK; 50]);
    assert_eq!(begun.elapsed(), A_WHILE * 25);
}

#[tokio::test(start_paused = true)]
async fn a_review_that_is_read_leaves_the_room_of_its_body_to_the_next() {
    let door = Room::of(8, KIB, MIB).door(KIB, OBJECT);
    let begun = Instant::now();
    let codes = join_all((0..8).map(|_| code(&door, short()))).await;
    assert_eq!(codes, [StatusCode::OK; 8]);
    assert_eq!(begun.elapsed(), A_WHILE);
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_even_wait_is_told_when_to_come_back() {
    let door = Room::of(1, MIB, MIB).door(KIB, OBJECT);
    let next = sent(&door, slow(), short());
    let (_, next) = tokio::join!(code(&door, stalled()), next);
    assert_eq!(next.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(next.headers()[RETRY_AFTER], "1");
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_limit_is_refused_whether_it_says_its_length_or_not() {
    let door = Room::of(8, MIB, MIB).door(KIB, OBJECT);
    let text = |length: usize| "x".repeat(length);
    for (body, expected) in [
        (Body::from(text(KIB)), StatusCode::OK),
        (unsaid(text(KIB)), StatusCode::OK),
        (Body::from(text(KIB + 1)), StatusCode::PAYLOAD_TOO_LARGE),
        (unsaid(text(KIB + 1)), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(code(&door, body).await, expected);
    }
}

#[test]
fn a_text_weighs_its_length_and_each_value_what_it_takes() {
    for (text, values) in [
        ("", 0),
        (SHORT, OBJECT),
        (r#"{"a": [1, 2]}"#, OBJECT + 2 * VALUE),
        (r#"{"a": {"b": 1}, "c": 2}"#, 2 * OBJECT + VALUE),
        ("[{} , {}]", 2 * VALUE + 2 * MIB),
        (r#"{"a": "[{,{"}"#, OBJECT),
        (r#"{"a": "\"[{,\\", "b": 1}"#, OBJECT + VALUE),
        // What is no JSON is not parsed to its end.
        (r#"{"a"#, OBJECT),
        (r#"{"a\"#, OBJECT),
    ] {
        let weight = weight(text.as_bytes(), MIB);
        assert_eq!(weight, COPIES * text.len() + values, "{text}");
    }
}

/// A vault of as many entries as there may be, with a file each, as four managers have written it.
fn vault(value: &str, last_applied: &str) -> Value {
    let names = || (0..MAX_ENTRIES).map(|n| format!("team/component/credential-{n}"));
    let map = |prefix: &str, value: Value| -> Map<String, Value> {
        let names = names().map(|name| format!("{prefix}{name}"));
        names.map(|name| (name, value.clone())).collect()
    };
    let files: Vec<Value> = names()
        .map(|name| json!({"entry": name, "path": name, "uid": 1000, "gid": 0, "mode": "0440"}))
        .collect();
    let entries: Vec<Value> = names()
        .map(|name| json!({"name": name, "kind": "Secret", "sealedAt": "2026-01-01T00:00:00Z"}))
        .collect();
    let manager = json!({"fieldsV1": {"f:spec": {"f:data": map("f:", json!({}))}}});
    let applied = json!({"spec": {"data": map("", json!(last_applied)), "files": files}});
    let applied = applied.to_string();
    json!({
        "metadata": {
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied},
            "managedFields": vec![manager; 4],
        },
        "spec": {"data": map("", json!(value)), "files": files},
        "status": {"entries": entries},
    })
}

#[test]
fn a_vault_at_its_limits_finds_room() {
    let sealed = "A".repeat(MAX_SEALED_TOTAL / MAX_ENTRIES);
    let plain = "x".repeat(sealed.len() * 3 / 4);
    let (new, old) = (vault(&plain, &plain), vault(&sealed, "(sealed)"));
    let review = json!({"request": {"object": new, "oldObject": old}}).to_string();
    assert!(review.len() <= LONGEST_VAULT, "{}", review.len());
    let weight = weight(review.as_bytes(), OBJECT);
    assert!(weight <= PARSED, "{weight}");
    // Also the longest that does not say how long it is.
    const { assert!(LONGEST_VAULT <= BODIES && COPIES * LONGEST_VAULT < PARSED) };
}
