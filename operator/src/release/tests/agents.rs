//! Who gets through the gate, and what becomes of whole requests.

use std::time::Duration;

use secretvault_delivery::AGENT_AUDIENCE;
use secretvault_delivery::v1::ReleaseRequest;
use secretvault_delivery::v1::delivery_client::DeliveryClient;
use tonic::Code;

use crate::release::fake::Token;
use crate::release::fixture::{Sealing, World, volume};

async fn world() -> World {
    World::with(|keyring| [Sealing::new(keyring, "shop", "app").secret("a", "1").object]).await
}

#[tokio::test(start_paused = true)]
async fn an_agent_gets_an_answer() {
    let world = world().await;
    let answer = world.ask(vec![volume("app", "")]).await.unwrap();
    assert_eq!(answer.verdicts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_no_agent_gets_no_verdict_and_leaves_a_line() {
    let world = world().await;
    let agent = |change: fn(&mut Token)| {
        let mut token = Token::of_agent();
        change(&mut token);
        token
    };
    world.server.token(
        "t-account",
        agent(|token| {
            let user = token.review.user.as_mut().unwrap();
            user.username = Some("system:serviceaccount:shop:secretvault-node-agent".to_owned());
        }),
    );
    world.server.token(
        "t-unbound",
        agent(|token| {
            let user = token.review.user.as_mut().unwrap();
            user.extra
                .as_mut()
                .unwrap()
                .remove("authentication.kubernetes.io/pod-uid");
        }),
    );
    world.server.token(
        "t-audiences",
        agent(|token| {
            token.review.audiences = Some(vec![AGENT_AUDIENCE.to_owned(), "x".to_owned()]);
        }),
    );
    let long = format!("Bearer {}", "x".repeat(17 * 1024));
    let cases = [
        (None, Code::Unauthenticated),
        (Some("t-agent"), Code::Unauthenticated),
        (Some("Basic t-agent"), Code::Unauthenticated),
        (Some("Bearer "), Code::Unauthenticated),
        (Some("Bearer t-agent t-agent"), Code::Unauthenticated),
        (Some(long.as_str()), Code::Unauthenticated),
        (Some("Bearer t-forged"), Code::Unauthenticated),
        // A pod's token is not for us.
        (Some("Bearer t-pod"), Code::Unauthenticated),
        (Some("Bearer t-account"), Code::PermissionDenied),
        (Some("Bearer t-unbound"), Code::PermissionDenied),
        (Some("Bearer t-audiences"), Code::PermissionDenied),
    ];
    for (index, (authorization, code)) in cases.into_iter().enumerate() {
        let error = world
            .ask_as(authorization, vec![volume("app", "")])
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{authorization:?}: {error}");
        let lines = world.log.lines(index + 1);
        assert_eq!(lines[index]["audit"], "request", "{authorization:?}");
        assert_eq!(lines[index]["reason"], "AgentRejected");
    }
    assert!(
        world.ask(vec![volume("app", "")]).await.is_ok(),
        "the control"
    );
}

/// How the replica refuses whoever asks with this.
async fn refused(client: &mut DeliveryClient<axum::Router>, authorization: Option<&str>) -> Code {
    let volumes = vec![volume("app", "")];
    let mut request = tonic::Request::new(ReleaseRequest { volumes });
    if let Some(text) = authorization {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", text.parse().unwrap());
    }
    client.release(request).await.unwrap_err().code()
}

/// Whoever reaches the port can ask as often as they like, and any pod can have a token for it.
#[tokio::test(start_paused = true)]
async fn callers_who_are_no_agent_are_all_refused_and_leave_one_line_a_second_together() {
    let world = world().await;
    let unbound = Token::of_agent().claiming("pod-uid", "");
    world.server.token("t-unbound", unbound);
    let mut client = DeliveryClient::new(world.router());
    let callers = [
        (Some("Bearer t-unbound"), Code::PermissionDenied),
        (None, Code::Unauthenticated),
        (Some("Bearer t-forged"), Code::Unauthenticated),
        (Some("Bearer t-pod"), Code::Unauthenticated),
    ];
    for lines in 1..=3 {
        for (authorization, expected) in callers.into_iter().cycle().take(20) {
            let code = refused(&mut client, authorization).await;
            assert_eq!(code, expected, "{authorization:?}");
        }
        assert_eq!(world.log.records().len(), lines);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_has_at_most_64_volumes() {
    let world = world().await;
    let volumes = |count| vec![volume("app", ""); count];
    assert_eq!(world.ask(volumes(64)).await.unwrap().verdicts.len(), 64);
    let error = world.ask(volumes(65)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn many_volumes_of_one_pod_are_one_review() {
    let world = world().await;
    world.ask(vec![volume("app", ""); 64]).await.unwrap();
    assert_eq!(world.server.reviews(), 2, "the agent's and the pod's");
}

/// Neither the agent nor the pod is to blame, and no denial is logged.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_no_denial() {
    let world = world().await;
    world.server.fail_with(Some(500));
    let error = world.ask(vec![volume("app", "")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    world.server.fail_with(None);
    world.server.hang(true);
    let error = world.ask(vec![volume("app", "")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    world.server.hang(false);
    assert!(world.ask(vec![volume("app", "")]).await.is_ok());
    assert_eq!(world.log.lines(1).len(), 1);
}

/// The agent's review is remembered, the pod itself is read each time.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_after_the_reviews_is_no_denial() {
    let world = world().await;
    assert!(world.ask(vec![volume("app", "")]).await.is_ok());
    world.server.fail_with(Some(503));
    let error = world.ask(vec![volume("app", "")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_heard_nothing_for_90_seconds_releases_nothing() {
    let world = world().await;
    tokio::time::advance(Duration::from_secs(89)).await;
    assert!(world.ask(vec![volume("app", "")]).await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    let error = world.ask(vec![volume("app", "")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_listed_nothing_yet_releases_nothing() {
    let mut world = world().await;
    world.vaults = crate::vaults::Vaults::new();
    let error = world.ask(vec![volume("app", "")]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}
