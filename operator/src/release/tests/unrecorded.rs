//! What becomes of verdicts that cannot be recorded.

use secretvault_delivery::v1::verdict::Outcome;
use tonic::Code;

use crate::audit::OnFailure;
use crate::release::fixture::{Sealing, World, volume};

async fn world() -> World {
    World::with(|keyring| [Sealing::new(keyring, "shop", "app").secret("a", "1").object]).await
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_cannot_be_recorded_is_not_given() {
    let world = world().await;
    world.log.full(true);
    for name in ["app", "missing"] {
        let refused = world.ask(vec![volume(name, "")]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{name}");
        let expected = "the audit log cannot be written, and nothing is allowed that is not in it";
        assert!(refused.message().starts_with(expected), "{refused}");
    }
    // Whoever is no agent learns nothing else either.
    let refused = world
        .ask_as(Some("Bearer t-pod"), vec![])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    // The control: the same again, once there is room.
    world.log.full(false);
    assert_eq!(world.grant(volume("app", "")).await.files.len(), 1);
    assert_eq!(world.log.lines(1).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_the_operator_is_set_so_it_is_given_all_the_same() {
    let world = world().await;
    world.log.on_failure(OnFailure::Release);
    world.log.full(true);
    let volumes = vec![volume("app", ""), volume("missing", "")];
    let verdicts = world.ask(volumes).await.unwrap().verdicts;
    let granted = verdicts
        .iter()
        .map(|it| matches!(it.outcome, Some(Outcome::Grant(_))));
    assert_eq!(granted.collect::<Vec<_>>(), [true, false]);
    let refused = world
        .ask_as(Some("Bearer t-pod"), vec![])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(world.log.text(), "");
}
