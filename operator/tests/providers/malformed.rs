//! Whatever the server answers, it is an error at worst.

use secretvault_operator::keys::KeyError;
use serde_json::json;

use crate::proxy::Doing;
use crate::world::{Sealed, TransitWorld, World, transit_by_token};

fn data(data: &serde_json::Value) -> String {
    json!({
        "request_id": "r", "lease_id": "", "lease_duration": 0, "renewable": false, "data": data,
        "warnings": null, "wrap_info": null, "auth": null,
    })
    .to_string()
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_malformed_answer_is_an_error_and_nothing_worse() {
    let it = TransitWorld::new().await;
    let other = World::on(
        it.world.api.clone(),
        &[("transit", transit_by_token(&it.proxy))],
    )
    .await;
    let unseen = Sealed::by(&*other.usable("transit").await, "app").await;
    drop(other);
    let long = format!("vault:v1:{}", "A".repeat(10_000));
    let texts = [
        "",
        "x",
        "vault:v1:",
        "vault:v0:QQ==",
        "vault:v1:Q\u{0}",
        &long,
    ];
    let mut answers = vec![
        (200, String::new()),
        (204, String::new()),
        (200, "{}".to_owned()),
        (200, "null".to_owned()),
        (200, "[".to_owned()),
        (200, "\u{0}".to_owned()),
        (200, data(&json!(null))),
        (200, data(&json!({"ciphertext": 7, "plaintext": 7}))),
        (200, data(&json!({"ciphertext": null, "plaintext": null}))),
        (400, "{\"errors\": []}".to_owned()),
        (400, "{\"errors\": 7}".to_owned()),
        (418, String::new()),
        (301, String::new()),
        (500, "x".repeat(100_000)),
    ];
    for text in texts {
        answers.push((200, data(&json!({"ciphertext": text, "plaintext": text}))));
    }
    for (code, text) in answers {
        it.proxy.set(Doing::Answer(code, text.clone()));
        let provider = it.world.providers.get("transit").unwrap();
        let told: String = text.chars().take(80).collect();
        let wrapped = Sealed::try_by(&provider, "app").await;
        assert!(wrapped.is_err(), "{code} {told}");
        assert!(unseen.rewrapped(&provider).await.is_err(), "{code} {told}");
        match unseen.opens(&provider).await {
            Err(KeyError::DoesNotOpen | KeyError::NotReady { .. }) => {}
            outcome => panic!("{code} {told}: {outcome:?}"),
        }
    }
    it.proxy.set(Doing::Pass);
    let provider = it.world.usable("transit").await;
    assert!(unseen.opens(&provider).await.unwrap());
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_payload_that_is_none_is_not_kept() {
    let it = TransitWorld::new().await;
    let other = World::on(
        it.world.api.clone(),
        &[("transit", transit_by_token(&it.proxy))],
    )
    .await;
    let unseen = Sealed::by(&*other.usable("transit").await, "app").await;
    drop(other);
    it.proxy
        .set(Doing::Answer(200, data(&json!({"plaintext": "QUJD"}))));
    let provider = it.provider();
    let refused = unseen.opens(&provider).await;
    assert!(matches!(refused, Err(KeyError::DoesNotOpen)), "{refused:?}");
    it.proxy.set(Doing::Pass);
    assert!(unseen.opens(&provider).await.unwrap());
}
