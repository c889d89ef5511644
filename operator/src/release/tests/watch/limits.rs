//! How much one agent, and all of them, may have.

use secretvault_delivery::v1::ReleaseRequest;
use secretvault_delivery::{MAX_WATCH_HANDLES, MAX_WATCH_MESSAGE_BYTES};
use tonic::Code;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_third_stream_of_a_node_ends_its_first() {
    let world = world().await;
    let replica = Replica::of(&world);
    let other = agent_on(&world, "node-b");
    let mut other = replica.watch_as(&other).await.unwrap();
    let mut first = replica.watch().await;
    let mut second = replica.watch().await;
    first.hears_nothing().await;
    let mut third = replica.watch().await;
    assert_eq!(first.ends().await, (Code::Aborted, Duration::ZERO));
    for agent in [&mut other, &mut second, &mut third] {
        agent.hears_nothing().await;
    }
}

/// More streams than requests that are served at once.
#[tokio::test(start_paused = true)]
async fn streams_take_nothing_from_requests() {
    let world = world().await;
    let replica = Replica::of(&world);
    let mut agents = Vec::new();
    for index in 0..100 {
        let authorization = agent_on(&world, &format!("node-{index}"));
        agents.push(replica.watch_as(&authorization).await.unwrap());
    }
    let mut request = Request::new(ReleaseRequest {
        volumes: vec![volume("app", "")],
    });
    let authorization = "Bearer t-agent".parse().unwrap();
    request
        .metadata_mut()
        .insert("authorization", authorization);
    let answer = replica.client().await.release(request).await.unwrap();
    assert_eq!(answer.into_inner().verdicts.len(), 1);
    for agent in &mut agents {
        agent.hears_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_with_too_many_handles_ends_the_stream() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    agent.sends(vec![word(b"forged", 1); MAX_WATCH_HANDLES]);
    assert_eq!(agent.hears().await, [b"forged"]);
    agent.sends(vec![word(b"forged", 1); MAX_WATCH_HANDLES + 1]);
    assert_eq!(agent.ends().await.0, Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_is_not_read() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    agent.says(&vec![0; MAX_WATCH_MESSAGE_BYTES], 1);
    let (code, _) = agent.ends().await;
    assert_eq!(code, Code::Cancelled);
}

/// The agent speaks, but takes nothing: HTTP/2 has room for some events.
#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_nothing_is_not_heard_either_and_then_lost() {
    let world = world().await;
    keep_fresh(&world.vaults);
    let replica = Replica::of(&world);
    let agent = replica.watch().await;
    let forged = vec![7; 60 * 1024];
    let flood = tokio::spawn({
        let words = agent.words.clone();
        async move {
            loop {
                let request = WatchRequest {
                    subscriptions: vec![word(&forged, 1)],
                    dropped: Vec::new(),
                };
                if words.unbounded_send(request).is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    let heard = metric(&world, "handles_rejected_total{reason=\"NotOurs\"}");
    assert!(heard < 100.0, "{heard} were heard");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!((metric(&world, "streams_ended_total{reason=\"Slow\"}") - 1.0).abs() < f64::EPSILON);
    assert!(world.streams.is_empty());
    flood.abort();
    drop(agent);
}
