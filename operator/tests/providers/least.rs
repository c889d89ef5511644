//! The least policy is enough, and more is refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Sealed, TransitWorld};

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn the_least_policy_is_enough() {
    let it = TransitWorld::new().await;
    let provider = it.provider();
    let sealed = it.sealed("app").await;
    let again = Sealed {
        data_key: sealed.rewrapped(&provider).await.unwrap(),
        ..sealed
    };
    assert!(again.opens(&provider).await.unwrap());
    assert!(it.proxy.count("/renew-self") >= 1);
    let known = [
        "/encrypt/secretvault",
        "/decrypt/secretvault",
        "/rewrap/secretvault",
    ];
    let asked: usize = known.iter().map(|end| it.proxy.count(end)).sum();
    let asked = asked + it.proxy.count("/auth/token/renew-self");
    assert_eq!(it.proxy.total(), asked, "nothing else is ever asked for");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn more_than_that_is_refused() {
    let it = TransitWorld::new().await;
    it.bao.post("transit/keys/other", json!({})).await;
    let token = it.bao.token().await;
    let text = json!({"plaintext": "YQ=="});
    let asked: [(Method, &str, Value); 17] = [
        (Method::POST, "transit/encrypt/other", text.clone()),
        (Method::POST, "transit/encrypt/new", text.clone()),
        (Method::POST, "transit/keys/new", json!({})),
        (Method::GET, "transit/keys/secretvault", Value::Null),
        (Method::GET, "transit/keys?list=true", Value::Null),
        (Method::POST, "transit/keys/secretvault/rotate", json!({})),
        (
            Method::POST,
            "transit/keys/secretvault/config",
            json!({"deletion_allowed": true}),
        ),
        (Method::DELETE, "transit/keys/secretvault", Value::Null),
        (
            Method::GET,
            "transit/export/encryption-key/secretvault",
            Value::Null,
        ),
        (Method::GET, "transit/backup/secretvault", Value::Null),
        (
            Method::POST,
            "transit/datakey/plaintext/secretvault",
            json!({}),
        ),
        (
            Method::POST,
            "transit/hmac/secretvault",
            json!({"input": "YQ=="}),
        ),
        (Method::POST, "transit/random/16", json!({})),
        (Method::GET, "auth/token/lookup-self", Value::Null),
        (Method::POST, "auth/token/create", json!({})),
        (Method::POST, "auth/token/renew", json!({"token": token})),
        (Method::GET, "sys/mounts", Value::Null),
    ];
    for (method, path, body) in asked {
        let body = Some(body).filter(|body| !body.is_null());
        let (status, answer) = it.bao.ask(method, path, body, Some(&token)).await;
        assert_eq!(status, 403, "{path}: {answer}");
    }
    let own = it.bao.ask(
        Method::POST,
        "transit/encrypt/secretvault",
        Some(text),
        Some(&token),
    );
    assert_eq!(own.await.0, 200, "the control");
}
