//! Data keys that were unwrapped: once for many, and without the server for a while.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use secretvault_operator::keys::{KeyFault, Provider};
use serde_json::json;

use crate::proxy::Doing;
use crate::world::{self, Sealed, TransitWorld, World, transit_by_token};

/// A data key that another replica wrapped: this one has never seen it open.
async fn unseen(it: &TransitWorld, vault: &str) -> Sealed {
    let other = World::on(
        it.world.api.clone(),
        &[("transit", transit_by_token(&it.proxy))],
    )
    .await;
    let provider = other.usable("transit").await;
    let sealed = Sealed::by(&provider, vault).await;
    it.world.usable("transit").await;
    sealed
}

async fn open_many(provider: &Arc<Provider>, sealed: Sealed, count: usize) {
    let sealed = Arc::new(sealed);
    let calls = (0..count).map(|_| {
        let (sealed, provider) = (Arc::clone(&sealed), Arc::clone(provider));
        tokio::spawn(async move { sealed.opens(&provider).await })
    });
    for opened in join_all(calls).await {
        assert!(opened.unwrap().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: make test-transit"]
async fn two_hundred_at_once_are_one_decryption() {
    let it = TransitWorld::new().await;
    let sealed = unseen(&it, "app").await;
    let wrapped = sealed.data_key.wrapped.clone();
    open_many(&it.provider(), sealed, 200).await;
    assert_eq!(it.proxy.decryptions(&wrapped), 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn what_was_wrapped_or_rewrapped_here_opens_without_the_server() {
    let it = TransitWorld::new().await;
    let provider = it.provider();
    let sealed = it.sealed("app").await;
    let again = sealed.rewrapped(&provider).await.unwrap();
    assert!(sealed.opens(&provider).await.unwrap());
    assert_eq!(it.proxy.decryptions(&sealed.data_key.wrapped), 0);
    let again = Sealed {
        data_key: again,
        ..sealed
    };
    assert!(again.opens(&provider).await.unwrap());
    assert_eq!(it.proxy.decryptions(&again.data_key.wrapped), 0);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn each_call_is_one_request() {
    let it = TransitWorld::new().await;
    let (unseen, provider) = (unseen(&it, "app").await, it.provider());
    let before = it.proxy.wraps();
    unseen.opens(&provider).await.unwrap();
    assert_eq!(it.proxy.decryptions(&unseen.data_key.wrapped), 1);
    let sealed = it.sealed("app").await;
    assert_eq!(it.proxy.wraps() - before, 1);
    sealed.rewrapped(&provider).await.unwrap();
    let asked = it.proxy.bodies("/rewrap/secretvault");
    let rewraps = asked
        .iter()
        .filter(|it| it["ciphertext"] == *sealed.data_key.wrapped);
    assert_eq!(rewraps.count(), 1);
    assert_eq!(it.proxy.decryptions(&sealed.data_key.wrapped), 0);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn without_the_server_cached_vaults_go_on_and_others_are_told_why() {
    let it = TransitWorld::new().await;
    let unseen = unseen(&it, "other").await;
    let sealed = it.sealed("app").await;
    it.proxy.set(Doing::Cut);
    it.faulty(KeyFault::Unreachable).await;
    let provider = it.world.providers.get("transit").unwrap();
    assert!(sealed.opens(&provider).await.unwrap());
    let refused = unseen.opens(&provider).await.unwrap_err();
    assert_eq!(world::reason(&refused), Some(KeyFault::Unreachable));
    it.proxy.set(Doing::Pass);
    it.world.usable("transit").await;
    assert!(unseen.opens(&provider).await.unwrap());
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn another_way_to_log_in_keeps_what_is_cached_and_another_key_does_not() {
    let it = TransitWorld::new().await;
    let sealed = it.sealed("app").await;
    it.proxy.set(Doing::Cut);
    it.respecify(|spec| spec["cacheFor"] = json!("1h")).await;
    let provider = it.world.providers.get("transit").unwrap();
    assert!(sealed.opens(&provider).await.unwrap());
    it.respecify(|spec| spec["key"] = json!("other")).await;
    let refused = it.world.providers.get("transit").err().unwrap();
    assert_eq!(world::reason(&refused), Some(KeyFault::Unreachable));
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_data_key_leaves_the_cache_in_time() {
    let it = TransitWorld::new().await;
    it.respecify(|spec| spec["cacheFor"] = json!("1s")).await;
    let provider = it.world.usable("transit").await;
    let sealed = it.sealed("app").await;
    let wrapped = &sealed.data_key.wrapped;
    assert!(sealed.opens(&provider).await.unwrap());
    assert_eq!(it.proxy.decryptions(wrapped), 0);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(sealed.opens(&provider).await.unwrap());
    assert_eq!(it.proxy.decryptions(wrapped), 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn callers_who_go_away_do_no_harm_to_those_who_stay() {
    let it = TransitWorld::new().await;
    let sealed = Arc::new(unseen(&it, "app").await);
    let provider = it.provider();
    it.proxy.set(Doing::Slow(Duration::from_millis(300)));
    let ask = || {
        let (sealed, provider) = (Arc::clone(&sealed), Arc::clone(&provider));
        tokio::spawn(async move { sealed.opens(&provider).await })
    };
    let (leaving, staying) = (ask(), ask());
    tokio::time::sleep(Duration::from_millis(100)).await;
    leaving.abort();
    assert!(staying.await.unwrap().unwrap());
    assert_eq!(it.proxy.decryptions(&sealed.data_key.wrapped), 1);
}
