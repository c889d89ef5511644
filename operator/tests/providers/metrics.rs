//! Calls are counted as the server sees them, and by how they ended.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use secretvault_operator::keys::KeyFault;

use crate::bao::Bao;
use crate::proxy::Doing;
use crate::world::{Sealed, TransitWorld};

/// A series' value; 0, if it is not there.
fn value(it: &TransitWorld, series: &str) -> usize {
    let mut registry = Registry::default();
    it.world.metrics.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let value = text.lines().find_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        (found == series).then(|| value.parse().unwrap())
    });
    value.unwrap_or_default()
}

fn calls(it: &TransitWorld, operation: &str, outcome: &str) -> usize {
    let labels = format!("backend=\"Transit\",operation=\"{operation}\",outcome=\"{outcome}\"");
    value(it, &format!("key_provider_calls_total{{{labels}}}"))
}

fn timed(it: &TransitWorld, operation: &str) -> usize {
    let labels = format!("backend=\"Transit\",operation=\"{operation}\"");
    value(it, &format!("key_provider_call_seconds_count{{{labels}}}"))
}

/// Waits until a question that is under way, as a probe may be, is counted, too.
async fn come(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..100 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn each_request_is_one_call() {
    let it = TransitWorld::new().await;
    let sealed = it.sealed("app").await;
    sealed.rewrapped(&it.provider()).await.unwrap();
    for (operation, path) in [
        ("Encrypt", "/encrypt/secretvault"),
        ("Decrypt", "/decrypt/secretvault"),
        ("Rewrap", "/rewrap/secretvault"),
    ] {
        let asked = || calls(&it, operation, "Ok");
        assert!(asked() >= 1, "{operation}");
        come("each is counted", || asked() == it.proxy.count(path)).await;
        come("each is timed", || timed(&it, operation) == asked()).await;
    }
    assert_eq!(calls(&it, "Login", "Ok"), 1);
    assert_eq!(calls(&it, "Renew", "Ok"), 0);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn what_is_in_memory_opens_without_a_call_and_is_timed_all_the_same() {
    let it = TransitWorld::new().await;
    let sealed = it.sealed("app").await;
    let mut data_key = sealed.data_key.clone();
    data_key.provider = "transit".to_owned();
    let before = calls(&it, "Decrypt", "Ok");
    for _ in 0..3 {
        let opened = it.world.providers.open("shop", "app", &data_key).await;
        assert!(opened.unwrap().dek == sealed.dek);
    }
    assert_eq!(calls(&it, "Decrypt", "Ok"), before);
    assert_eq!(value(&it, "open_seconds_count{outcome=\"Opened\"}"), 3);
    let refused = it.world.providers.open("shop", "other", &data_key).await;
    assert!(refused.is_err());
    assert_eq!(value(&it, "open_seconds_count{outcome=\"Failed\"}"), 1);
    assert_eq!(calls(&it, "Decrypt", "Ok"), before + 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_fault_is_counted_by_its_name_and_who_is_told_at_once_as_not_asked() {
    let it = TransitWorld::new().await;
    it.bao.seal().await;
    let refused = Sealed::try_by(&it.provider(), "app").await;
    assert!(refused.is_err());
    it.faulty(KeyFault::Sealed).await;
    assert!(calls(&it, "Encrypt", "Sealed") >= 1);
    let asked = it.proxy.total();
    assert!(Sealed::try_by(&it.provider(), "app").await.is_err());
    if it.proxy.total() == asked {
        assert!(calls(&it, "Encrypt", "NotAsked") >= 1);
    }
    it.bao.unseal().await;
    it.world.usable("transit").await;
    it.proxy.set(Doing::Cut);
    assert!(Sealed::try_by(&it.provider(), "app").await.is_err());
    assert!(calls(&it, "Encrypt", "Unreachable") >= 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn renewals_are_counted() {
    let bao = Bao::with_key().await;
    // It is renewed after 7 seconds at the latest: a slow machine has two more.
    let token = bao.token_with(serde_json::json!({"period": "9s"})).await;
    let it = TransitWorld::by_token(bao, &token).await;
    it.world.usable("transit").await;
    come("it is renewed", || calls(&it, "Renew", "Ok") >= 1).await;
    it.bao.revoke(&token).await;
    come("it is not renewed", || {
        calls(&it, "Renew", "TokenRejected") + calls(&it, "Login", "TokenRejected") >= 1
    })
    .await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_that_is_none_is_a_login_that_failed() {
    let it = TransitWorld::by_token(Bao::with_key().await, "s.nonsense").await;
    it.faulty(KeyFault::TokenRejected).await;
    assert!(calls(&it, "Login", "TokenRejected") >= 1);
    assert_eq!(calls(&it, "Login", "Ok"), 0);
}
