//! How streams end, and what does not end them.

use futures::SinkExt;
use tonic::Code;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_lives_as_long_as_both_sides_speak() {
    let world = world().await;
    keep_fresh(&world.vaults);
    let mut agent = Replica::of(&world).watch().await;
    let lived = timeout(Duration::from_secs(3600), agent.ends()).await;
    assert!(lived.is_err(), "{lived:?}");
    let reviews = world.server.reviews();
    assert!((60..=82).contains(&reviews), "{reviews} in an hour");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_for_45_seconds_is_lost() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    agent.is_alive();
    agent.hears_nothing().await;
    let begun = Instant::now();
    let ended = loop {
        if let Err(status) = agent.events.message().await {
            break status.code();
        }
    };
    assert_eq!(ended, Code::DeadlineExceeded);
    let silent = begun.elapsed();
    assert!(silent > Duration::from_secs(44) && silent <= Duration::from_secs(45));
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_token_is_good_no_more_is_told_so_within_a_minute() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    world.server.revoke("t-agent");
    let (code, after) = agent.ends().await;
    assert_eq!(code, Code::Unauthenticated);
    assert!(after >= Duration::from_secs(45) && after <= Duration::from_secs(60));
    let line = &world.log.lines(1)[0];
    assert_eq!(line["reason"], "AgentRejected");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_became_another_nodes_is_good_no_more() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    let token = Token::of_agent().claiming("node-name", "node-b");
    world.server.token("t-agent", token);
    assert_eq!(agent.ends().await.0, Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_a_short_time_without_reviews_and_not_a_long_one() {
    let world = world().await;
    keep_fresh(&world.vaults);
    let mut agent = Replica::of(&world).watch().await;
    world.server.fail_with(Some(500));
    let lived = timeout(Duration::from_secs(80), agent.ends()).await;
    assert!(lived.is_err(), "{lived:?}");
    world.server.fail_with(None);
    let lived = timeout(Duration::from_secs(80), agent.ends()).await;
    assert!(lived.is_err(), "{lived:?}");
    world.server.hang(true);
    let (code, after) = agent.ends().await;
    assert_eq!(code, Code::Unavailable);
    assert!(after <= Duration::from_secs(100), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_heard_nothing_for_90_seconds_ends_its_streams_and_takes_none() {
    let world = world().await;
    let replica = Replica::of(&world);
    let mut agent = replica.watch().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.vaults.bookmark();
    let (code, after) = agent.ends().await;
    assert_eq!((code, after), (Code::Unavailable, Duration::from_secs(90)));
    let refused = replica.watch_as("Bearer t-agent").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
    world.vaults.bookmark();
    replica.watch().await.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leaves_ends_its_streams_at_once_and_takes_none() {
    let world = world().await;
    let replica = Replica::of(&world);
    let mut agent = replica.watch().await;
    agent.hears_nothing().await;
    world.leaving.cancel();
    world.streams.close();
    let begun = Instant::now();
    world.streams.wait().await;
    assert_eq!(agent.ends().await.0, Code::Unavailable);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let refused = replica.watch_as("Bearer t-agent").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_its_stream_is_answered_with_its_end() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    agent.words.close().await.unwrap();
    assert_eq!(agent.ends().await, (Code::Ok, Duration::ZERO));
    let ended = "streams_ended_total{reason=\"ByAgent\"}";
    assert!((metric(&world, ended) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_no_agent_gets_no_stream() {
    let world = world().await;
    let replica = Replica::of(&world);
    world
        .server
        .token("t-forged-pod", Token::of_agent().claiming("pod-uid", ""));
    let cases = [
        ("", Code::Unauthenticated),
        ("Bearer t-forged", Code::Unauthenticated),
        ("Bearer t-pod", Code::Unauthenticated),
        ("Bearer t-forged-pod", Code::PermissionDenied),
    ];
    for (authorization, code) in cases {
        let refused = replica.watch_as(authorization).await.err().unwrap();
        assert_eq!(refused.code(), code, "{authorization}");
    }
    assert!(world.streams.is_empty());
}
