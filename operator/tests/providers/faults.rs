//! Each fault, brought about on the real server, and what it is called.

use std::time::Duration;

use secretvault_operator::keys::{KeyError, KeyFault};
use serde_json::json;

use crate::api::ApiServer;
use crate::bao::{Bao, LEAST};
use crate::proxy::{Doing, Proxy};
use crate::tls::Certificate;
use crate::world::{self, Sealed, TransitWorld, World, transit_spec};

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_server_that_is_not_there_is_unreachable() {
    let mut it = TransitWorld::new().await;
    it.bao.kill();
    it.respecify(|spec| spec["address"] = json!(it.bao.address))
        .await;
    let fault = it.world.fault("transit").await;
    assert_eq!(fault.reason, KeyFault::Unreachable);
    assert_eq!(
        fault.message.replace(&it.bao.address, "https://bao"),
        "the server at https://bao does not answer (it cannot be reached): see that it runs, and \
         that the operator's pods can reach it"
    );
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_server_that_never_answers_is_unreachable_in_three_seconds() {
    let it = TransitWorld::new().await;
    it.proxy.set(Doing::Swallow);
    let begun = std::time::Instant::now();
    let error = Sealed::try_by(&it.provider(), "app").await.err().unwrap();
    assert_eq!(world::reason(&error), Some(KeyFault::Unreachable));
    // One deadline for all: another one would take three seconds more.
    assert!(begun.elapsed() < Duration::from_millis(5900));
    assert!(
        error.to_string().contains("not within 3 seconds"),
        "{error}"
    );
    // After that silence, the next one is told at once: nobody is asked. One that comes late for it
    // asks again, and then there is twice the time.
    for _ in 0..4 {
        let asked = it.proxy.wraps();
        let error = Sealed::try_by(&it.provider(), "app").await.err().unwrap();
        assert_eq!(world::reason(&error), Some(KeyFault::Unreachable));
        if it.proxy.wraps() == asked {
            return;
        }
    }
    panic!("each one asks the server");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_sealed_server_is_sealed_and_recovers() {
    let it = TransitWorld::new().await;
    it.bao.seal().await;
    assert_eq!(
        it.faulty(KeyFault::Sealed).await,
        "the server at https://bao is sealed, or not initialised: unseal it"
    );
    it.bao.unseal().await;
    let provider = it.world.usable("transit").await;
    assert!(it.sealed("app").await.opens(&provider).await.unwrap());
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn each_right_that_is_missing_is_a_denied_permission() {
    for (right, action) in [
        ("encrypt", "encrypting"),
        ("decrypt", "decrypting"),
        ("rewrap", "rewrapping"),
    ] {
        let bao = Bao::with_key().await;
        bao.set_policy(&LEAST.replace(&format!("transit/{right}/"), "transit/other/"))
            .await;
        let token = bao.token().await;
        let it = TransitWorld::by_token(bao, &token).await;
        assert_eq!(
            it.faulty(KeyFault::PermissionDenied).await,
            format!(
                "the server at https://bao does not permit {action} with the key secretvault at \
                 transit: the operator's policy needs update on transit/encrypt/secretvault, \
                 transit/decrypt/secretvault and transit/rewrap/secretvault; or correct \
                 spec.vaultTransit.key and mount"
            )
        );
        it.bao.set_policy(LEAST).await;
        it.world.usable("transit").await;
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_key_that_never_was_is_missing_and_is_not_made() {
    let bao = Bao::start().await;
    let token = bao.token().await;
    let it = TransitWorld::by_token(bao, &token).await;
    assert_eq!(
        it.faulty(KeyFault::KeyMissing).await,
        "the Transit engine transit at https://bao has no key secretvault: create it there, or \
         name another in spec.vaultTransit.key"
    );
    let refused = it.world.providers.get("transit").err().unwrap();
    assert_eq!(world::reason(&refused), Some(KeyFault::KeyMissing));
    it.bao.make_key().await;
    it.world.usable("transit").await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_key_that_was_usable_and_is_gone_is_deleted() {
    let it = TransitWorld::new().await;
    let config = json!({"deletion_allowed": true});
    it.bao.post("transit/keys/secretvault/config", config).await;
    let delete = reqwest::Method::DELETE;
    let gone = it.bao.ask(delete, "transit/keys/secretvault", None, None);
    assert_eq!(gone.await.0, 204);
    assert_eq!(
        it.faulty(KeyFault::KeyDeleted).await,
        "the Transit engine transit at https://bao no longer has the key secretvault, which was \
         usable before: restore it from a backup of the server; nothing else opens what it wrapped"
    );
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_key_that_is_soft_deleted_says_how_it_comes_back() {
    let it = TransitWorld::new().await;
    let delete = reqwest::Method::DELETE;
    let path = "transit/keys/secretvault/soft-delete";
    assert!(it.bao.ask(delete, path, None, None).await.0 < 300);
    assert_eq!(
        it.faulty(KeyFault::KeyDeleted).await,
        "the key secretvault of the Transit engine transit at https://bao is soft-deleted: restore \
         it there (keys/secretvault/soft-delete-restore)"
    );
    let restore = "transit/keys/secretvault/soft-delete-restore";
    it.bao.post(restore, json!({})).await;
    it.world.usable("transit").await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_data_key_below_the_least_version_is_too_old_and_the_provider_stays_ready() {
    let it = TransitWorld::new().await;
    let provider = it.provider();
    let sealed = it.sealed("app").await;
    // Another data key of the old version, which no cache knows.
    let old = Sealed {
        data_key: sealed.rewrapped(&provider).await.unwrap(),
        ..it.sealed("app").await
    };
    it.bao
        .post("transit/keys/secretvault/rotate", json!({}))
        .await;
    let config = json!({"min_decryption_version": 2});
    it.bao.post("transit/keys/secretvault/config", config).await;
    let refused = old.rewrapped(&provider).await.unwrap_err();
    assert_eq!(world::reason(&refused), Some(KeyFault::VersionTooOld));
    assert_eq!(
        refused
            .to_string()
            .replace(&it.proxy.address, "https://bao"),
        "KeyProvider transit does not unwrap it: version v1 of the Transit key secretvault at \
         https://bao (mount transit) is below its min_decryption_version: lower that until every \
         vault is rewrapped"
    );
    it.world.providers.refresh().await;
    it.world.usable("transit").await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_version_that_the_key_does_not_have_is_unknown() {
    let it = TransitWorld::new().await;
    let mut sealed = it.sealed("app").await;
    sealed.data_key.wrapped = sealed.data_key.wrapped.replace("vault:v1:", "vault:v9:");
    sealed.data_key.key_id = "v9".to_owned();
    let refused = sealed.opens(&it.provider()).await.unwrap_err();
    assert!(
        matches!(&refused, KeyError::UnknownKey { key_id, .. } if key_id == "v9"),
        "{refused}"
    );
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_path_without_an_engine_is_a_wrong_mount() {
    let bao = Bao::with_key().await;
    let elsewhere = LEAST.replace("\"transit/", "\"elsewhere/");
    bao.set_policy(&format!("{LEAST}\n{elsewhere}")).await;
    let token = bao.token().await;
    let it = TransitWorld::by_token(bao, &token).await;
    it.respecify(|spec| spec["mount"] = json!("elsewhere"))
        .await;
    assert_eq!(
        it.faulty(KeyFault::WrongMount).await,
        "the server at https://bao has no Transit engine at elsewhere: mount one there, or correct \
         spec.vaultTransit.mount"
    );
    // The policy does not know that path: a server does not say then that nothing is there.
    it.bao.set_policy(LEAST).await;
    it.faulty(KeyFault::PermissionDenied).await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn an_engine_of_another_kind_never_gets_a_data_key() {
    let bao = Bao::with_key().await;
    bao.post("sys/mounts/kv", json!({"type": "kv"})).await;
    let kv = LEAST.replace("\"transit/", "\"kv/").replace(
        "capabilities = [\"update\"]",
        "capabilities = [\"create\", \"update\"]",
    );
    bao.set_policy(&format!(
        "{LEAST}\n{}",
        kv.split("# Renewal").next().unwrap()
    ))
    .await;
    let token = bao.token().await;
    let it = TransitWorld::by_token(bao, &token).await;
    it.respecify(|spec| spec["mount"] = json!("kv")).await;
    assert_eq!(
        it.faulty(KeyFault::ServerError).await,
        "the server at https://bao gave an answer to encrypting that is none of Transit's: see \
         that a Transit engine is mounted at kv"
    );
    let refused = it.world.providers.get("transit");
    assert!(refused.is_err(), "nothing is wrapped there");
    let kept = it
        .bao
        .ask(reqwest::Method::GET, "kv/encrypt/secretvault", None, None);
    assert_eq!(
        kept.await.1["data"]["plaintext"],
        "c2VjcmV0dmF1bHQgcHJvYmU=",
        "only the probe, which holds nothing secret"
    );
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_namespace_that_is_not_there_is_a_wrong_mount() {
    let it = TransitWorld::new().await;
    it.respecify(|spec| spec["namespace"] = json!("nope")).await;
    assert_eq!(
        it.faulty(KeyFault::WrongMount).await,
        "the server at https://bao has no namespace nope: correct spec.vaultTransit.namespace"
    );
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_namespace_of_the_server_has_keys_of_its_own() {
    let it = TransitWorld::new().await;
    it.bao.post("sys/namespaces/team", json!({})).await;
    it.bao
        .post("team/sys/mounts/transit", json!({"type": "transit"}))
        .await;
    it.bao
        .post("team/transit/keys/secretvault", json!({}))
        .await;
    let policy = json!({"policy": LEAST});
    it.bao
        .post("team/sys/policies/acl/secretvault", policy)
        .await;
    let made = it
        .bao
        .post(
            "team/auth/token/create",
            json!({"policies": ["secretvault"], "no_default_policy": true, "ttl": "1h"}),
        )
        .await;
    let token = made["auth"]["client_token"].as_str().unwrap();
    it.world.secret("transit-token", "token", token);
    let foreign = it.sealed("app").await;
    it.respecify(|spec| spec["namespace"] = json!("team")).await;
    let provider = it.world.usable("transit").await;
    assert!(it.sealed("app").await.opens(&provider).await.unwrap());
    let refused = foreign.opens(&provider).await;
    assert!(matches!(refused, Err(KeyError::DoesNotOpen)), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_certificate_of_somebody_else_is_bad_and_gets_no_token() {
    let it = TransitWorld::new().await;
    let other = Certificate::of_loopback().bundle();
    it.respecify(|spec| spec["caBundle"] = json!(other)).await;
    assert_eq!(
        it.faulty(KeyFault::BadCertificate).await,
        "the certificate of the server at https://bao is signed by none that the provider trusts: \
         put the certificate that signs it into spec.vaultTransit.caBundle, or correct the address"
    );
    let before = it.proxy.total();
    it.world.providers.refresh().await;
    assert_eq!(it.proxy.total(), before, "nothing is sent");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_certificate_for_another_host_is_bad() {
    let it = TransitWorld::new().await;
    let address = it.proxy.address.replace("127.0.0.1", "localhost");
    it.respecify(|spec| spec["address"] = json!(address)).await;
    let message = it.faulty(KeyFault::BadCertificate).await;
    assert!(
        message.contains("is not made for the host of that address"),
        "{message}"
    );
}

#[tokio::test]
async fn a_bundle_that_holds_no_certificate_says_so() {
    let auth = json!({"token": {"secret": {"name": "t", "key": "token"}}});
    for bundle in ["?", "bm90IGEgY2VydGlmaWNhdGU="] {
        let spec = transit_spec("https://127.0.0.1:1", bundle, &auth);
        let world = World::of(&[("transit", spec)]).await;
        let fault = world.fault("transit").await;
        assert_eq!(fault.reason, KeyFault::BadCertificate, "{fault}");
        assert!(fault.message.contains("holds no certificates"), "{fault}");
    }
}

#[tokio::test]
async fn a_credential_that_is_not_there_is_missing() {
    let proxy = Proxy::before(None).await;
    let world = World::of(&[("transit", world::transit_by_token(&proxy))]).await;
    let fault = world.fault("transit").await;
    assert_eq!(fault.reason, KeyFault::CredentialMissing);
    assert_eq!(
        fault.message,
        "there is no Secret transit-token in the operator's namespace: create it with the \
         credential under token"
    );
    assert_eq!(proxy.total(), 0, "without a token nobody is asked");
}

#[tokio::test]
async fn an_answer_without_meaning_is_told_by_its_status() {
    let proxy = Proxy::before(None).await;
    let api = ApiServer::new();
    world::secret(&api, "transit-token", "token", "s.abc");
    for (code, reason) in [
        (500, KeyFault::LoginFailed),
        (502, KeyFault::Unreachable),
        (429, KeyFault::Unreachable),
        (302, KeyFault::LoginFailed),
    ] {
        proxy.set(Doing::Answer(code, "<html>not for you</html>".to_owned()));
        let world = World::on(api.clone(), &[("transit", world::transit_by_token(&proxy))]).await;
        let fault = world.fault("transit").await;
        assert_eq!(fault.reason, reason, "{code}: {fault}");
        assert!(!fault.message.contains("html"), "{fault}");
        assert!(fault.message.contains(&code.to_string()), "{fault}");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_token_elsewhere() {
    let (proxy, other) = (Proxy::before(None).await, Proxy::before(None).await);
    let both = format!("{}{}", proxy.certificate.pem(), other.certificate.pem());
    let api = ApiServer::new();
    world::secret(&api, "transit-token", "token", "s.abc");
    let mut spec = world::transit_by_token(&proxy);
    spec["vaultTransit"]["caBundle"] = json!(base64(&both));
    proxy.set(Doing::Redirect(other.address.clone()));
    let world = World::on(api, &[("transit", spec)]).await;
    let fault = world.fault("transit").await;
    assert!(fault.message.contains("status 307"), "{fault}");
    assert!(proxy.total() >= 1);
    assert_eq!(other.total(), 0);
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}
