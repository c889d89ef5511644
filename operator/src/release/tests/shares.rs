//! One node and the others: what a node that was stolen can keep, and what is left to the rest.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use prost::Message as _;
use secretvault_delivery::v1::delivery_client::DeliveryClient;
use secretvault_delivery::v1::{ReleaseRequest, Volume};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tower::ServiceExt as _;

use crate::release::fake::Token;
use crate::release::fixture::{Sealing, World, pod, volume};

/// A vault of 20 MiB, a small one, and beside `shop/web-0` the pod `shop/web-1` on `node-b`.
async fn world() -> World {
    let world = World::with(|keyring| {
        let mut large = Sealing::new(keyring, "shop", "large");
        for entry in 0..40 {
            large = large.public(&format!("e{entry}"), &"x".repeat(512 * 1024));
        }
        let small = Sealing::new(keyring, "shop", "app").secret("a", "1");
        [large.object, small.object]
    })
    .await;
    let on_b = |token: Token| token.claiming("node-name", "node-b");
    world.server.token("t-agent-b", on_b(Token::of_agent()));
    let token = on_b(Token::of_pod("shop", "web-1"));
    world.server.token("t-pod-b", token);
    let mut other = pod();
    other["metadata"]["name"] = "web-1".into();
    other["spec"]["nodeName"] = "node-b".into();
    let path = "/api/v1/namespaces/shop/pods/web-1";
    world.server.object(path, Some(other));
    world
}

/// The same volume of the pod on `node-b`.
fn on_b(mut volume: Volume) -> Volume {
    "t-pod-b".clone_into(&mut volume.pod_token);
    let pod = volume.pod.as_mut().unwrap();
    "web-1".clone_into(&mut pod.name);
    volume
}

fn request(agent: &str, body: Body) -> http::Request<Body> {
    http::Request::post("/secretvault.delivery.v1.Delivery/Release")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {agent}"))
        .body(body)
        .unwrap()
}

/// As an agent asks that never sends what it asks for.
fn silent(agent: &str) -> http::Request<Body> {
    let nothing = stream::pending::<Result<Bytes, std::io::Error>>();
    request(agent, Body::from_stream(nothing))
}

fn asking(agent: &str, volume: Volume) -> http::Request<Body> {
    let volumes = vec![volume];
    let message = ReleaseRequest { volumes }.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    request(agent, Body::from(framed))
}

/// Asks, and reads nothing of the answer. None: none has come for a second.
async fn unread(router: &axum::Router, request: http::Request<Body>) -> Option<Response> {
    let answer = timeout(Duration::from_secs(1), router.clone().oneshot(request));
    let answer = answer.await.ok()?.unwrap();
    assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
    Some(answer)
}

async fn code(router: &axum::Router, agent: &str, volume: Volume) -> Code {
    let volumes = vec![volume];
    let mut request = tonic::Request::new(ReleaseRequest { volumes });
    let token = format!("Bearer {agent}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let answer = DeliveryClient::new(router.clone()).release(request).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_sends_no_bodies_keeps_no_other_node_out_and_waits_itself() {
    let world = world().await;
    let router = world.router();
    for _ in 0..100 {
        tokio::spawn(router.clone().oneshot(silent("t-agent")));
    }
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let other = code(&router, "t-agent-b", on_b(volume("app", ""))).await;
    assert_eq!((other, begun.elapsed()), (Code::Ok, Duration::ZERO));
    let own = || code(&router, "t-agent", volume("app", ""));
    assert_eq!(own().await, Code::Unavailable);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it waited");
    sleep(Duration::from_secs(12)).await;
    assert_eq!(own().await, Code::Ok, "a body has so much time");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_read_take_the_room_of_their_own_node_and_no_other() {
    let world = world().await;
    let router = world.router();
    let large = || asking("t-agent", volume("large", ""));
    let kept = unread(&router, large()).await;
    assert!(kept.is_some());
    assert!(unread(&router, large()).await.is_none(), "it waits");
    let small = asking("t-agent", volume("app", ""));
    assert!(unread(&router, small).await.is_some(), "there is some left");
    let other = asking("t-agent-b", on_b(volume("large", "")));
    assert!(unread(&router, other).await.is_some());
    drop(kept);
    assert!(unread(&router, large()).await.is_some());
}
