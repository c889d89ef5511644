use axum::body::Body;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use tower::ServiceExt as _;

use super::*;
use crate::audit::memory::Memory;
use crate::keys::Providers;
use crate::keys::fake::ApiServer;
use crate::vaults::Vaults;

const ROUTES: [(&str, usize); 4] = [
    (VAULTS_PATH, LONGEST_VAULT),
    (DELETIONS_PATH, LONGEST),
    (REMOVALS_PATH, LONGEST),
    (PODS_PATH, LONGEST),
];

fn webhooks() -> Router {
    let (client, audit) = (ApiServer::new().client(), Memory::default().audit());
    let metrics = WebhookMetrics::default();
    router(
        Webhook::new(
            client.clone(),
            Providers::new(),
            audit.clone(),
            metrics.clone(),
        ),
        DeletionWebhook::new(audit.clone(), metrics.clone()),
        RemovalWebhook::new(client.clone(), audit.clone(), metrics.clone()),
        PodWebhook::new(client, Vaults::new(), None, audit, metrics),
    )
}

async fn code(path: &str, body: Body) -> StatusCode {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    let answer = webhooks().oneshot(request.body(body).unwrap()).await;
    answer.unwrap().status()
}

#[tokio::test(start_paused = true)]
async fn no_route_waits_for_a_body_that_stalls() {
    for (path, _) in ROUTES {
        let stalled = Body::from_stream(stream::pending::<Result<String, axum::Error>>());
        let code = code(path, stalled).await;
        assert_eq!(code, StatusCode::REQUEST_TIMEOUT, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_route_reads_what_is_as_long_as_its_reviews_may_be() {
    for (path, longest) in ROUTES {
        let read = code(path, Body::from(vec![b' '; longest])).await;
        assert_eq!(read, StatusCode::BAD_REQUEST, "{path}: no review, but read");
        let refused = code(path, Body::from(vec![b' '; longest + 1])).await;
        assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_short_as_text_and_large_as_a_pod_is_not_parsed() {
    let review = |volumes: usize| {
        let volumes = vec!["{}"; volumes].join(",");
        Body::from(format!(
            r#"{{"request": {{"object": {{"spec": {{"volumes": [{volumes}]}}}}}}}}"#
        ))
    };
    let parsed = StatusCode::UNPROCESSABLE_ENTITY;
    assert_eq!(code(PODS_PATH, review(1000)).await, parsed);
    // A vault's object has no fields of that size.
    assert_eq!(code(VAULTS_PATH, review(10_000)).await, parsed);
    let refused = code(PODS_PATH, review(10_000)).await;
    assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE);
}
