//! What comes as a request, byte by byte: what a node that was stolen can send.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use prost::Message as _;
use secretvault_delivery::MAX_REQUEST_BYTES;
use secretvault_delivery::v1::{HeldFile, ReleaseRequest};
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::release::fake::Token;
use crate::release::fixture::{Sealing, World, volume};

async fn world() -> World {
    let world =
        World::with(|keyring| [Sealing::new(keyring, "shop", "app").secret("a", "1").object]).await;
    for node in ["b", "c"] {
        let token = Token::of_agent().claiming("node-name", node);
        world.server.token(&format!("t-{node}"), token);
    }
    world
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flag], &length.to_be_bytes()[..], message].concat()
}

/// How a body is answered.
async fn code(router: axum::Router, agent: &str, body: Body) -> Code {
    let request = http::Request::post("/secretvault.delivery.v1.Delivery/Release")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {agent}"))
        .body(body)
        .unwrap();
    let answer = router.oneshot(request).await.unwrap();
    Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test(start_paused = true)]
async fn only_one_message_with_no_more_in_it_than_is_served_is_decoded() {
    let world = world().await;
    let mut holding = volume("app", "");
    holding.held_files = vec![HeldFile::default(); 10_000];
    let request = |volumes| ReleaseRequest { volumes }.encode_to_vec();
    let good = request(vec![volume("app", "")]);
    let twice = [frame(0, &good), frame(0, &good)].concat();
    let cases = [
        (frame(0, &good), Code::Ok),
        (
            frame(0, &[0x0a_u8, 0].repeat(1_000_000)),
            Code::InvalidArgument,
        ),
        (
            frame(0, &request(vec![holding; 2])),
            Code::ResourceExhausted,
        ),
        (
            frame(0, &vec![0; MAX_REQUEST_BYTES + 1]),
            Code::ResourceExhausted,
        ),
        (frame(0, &[0x0f]), Code::Internal),
        (frame(1, &good), Code::Internal),
        (frame(0, &good)[..20].to_vec(), Code::Internal),
        (twice, Code::Internal),
        (Vec::new(), Code::Internal),
    ];
    for (number, (body, expected)) in cases.into_iter().enumerate() {
        let code = code(world.router(), "t-agent", Body::from(body)).await;
        assert_eq!(code, expected, "{number}");
    }
}

/// Says how much will come, and sends nothing of it.
fn silent(length: usize) -> Body {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    let begin = Bytes::from([&[0], &length[..]].concat());
    let begin = stream::iter([Ok::<_, std::io::Error>(begin)]);
    Body::from_stream(begin.chain(stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn a_node_has_one_large_message_at_once_and_keeps_no_other_node_out() {
    let world = world().await;
    let router = world.router();
    let large = || silent(MAX_REQUEST_BYTES);
    let first = tokio::spawn(code(router.clone(), "t-agent", large()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let second = code(router.clone(), "t-agent", large()).await;
    assert_eq!(second, Code::Unavailable, "it waits for room");
    let request = ReleaseRequest {
        volumes: vec![volume("app", "")],
    };
    let small = || Body::from(frame(0, &request.encode_to_vec()));
    let own = code(router.clone(), "t-agent", small()).await;
    assert_eq!(own, Code::Ok, "a small one needs none");
    let padded = [request.encode_to_vec(), padding(MAX_REQUEST_BYTES / 2)].concat();
    for agent in ["t-b", "t-c"] {
        let other = code(router.clone(), agent, Body::from(frame(0, &padded)));
        let other = timeout(Duration::from_millis(1), other).await;
        assert_eq!(other, Ok(Code::Ok), "{agent}");
    }
    assert_eq!(first.await.unwrap(), Code::Unavailable, "it took too long");
}

/// A field that nobody knows, of about so many bytes.
fn padding(length: usize) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::bytes::encode(99, &vec![0_u8; length], &mut field);
    field
}
