//! Tokens: had by AppRole, renewed, lost and had again.

use std::time::{Duration, Instant};

use secretvault_operator::keys::KeyFault;
use serde_json::{Value, json};

use crate::api::ApiServer;
use crate::bao::Bao;
use crate::proxy::Doing;
use crate::world::{self, Sealed, TransitWorld};

/// A world that logs in with an AppRole of these properties.
async fn app_role(properties: Value) -> TransitWorld {
    let bao = Bao::with_key().await;
    let (role_id, secret_id) = bao.app_role(properties).await;
    let api = ApiServer::new();
    world::secret(&api, "approle", "secretId", &secret_id);
    let auth = json!({"appRole": {
        "roleId": role_id, "secretId": {"secret": {"name": "approle", "key": "secretId"}},
    }});
    let it = TransitWorld::by(bao, auth, api).await;
    it.world.usable("transit").await;
    it
}

async fn works(it: &TransitWorld) {
    let provider = it.provider();
    let sealed = Sealed::by(&provider, "app").await;
    assert!(sealed.rewrapped(&provider).await.is_ok());
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn an_app_role_logs_in_once() {
    let it = app_role(json!({"token_ttl": "1h"})).await;
    works(&it).await;
    works(&it).await;
    assert_eq!(it.proxy.count("/approle/login"), 1);
    assert_eq!(it.proxy.count("/renew-self"), 0, "an hour is not over");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_is_renewed_before_it_ends() {
    let bao = Bao::with_key().await;
    let token = bao.token_with(json!({"period": "12s"})).await;
    let it = TransitWorld::by_token(bao, &token).await;
    it.world.usable("transit").await;
    tokio::time::sleep(Duration::from_secs(26)).await;
    works(&it).await;
    let renewals = it.proxy.count("/renew-self");
    assert!((3..=6).contains(&renewals), "{renewals}");
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_whose_longest_life_ends_is_replaced_in_time() {
    let it = app_role(json!({"token_ttl": "6s", "token_max_ttl": "8s"})).await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        works(&it).await;
    }
    assert!(it.proxy.count("/approle/login") >= 2);
    let state = it.world.providers.state("transit").unwrap();
    assert!(state.is_ok());
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_batch_token_is_replaced_and_never_renewed() {
    let it = app_role(json!({"token_type": "batch", "token_ttl": "6s"})).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    works(&it).await;
    assert!(it.proxy.count("/approle/login") >= 2);
    assert_eq!(it.proxy.count("/renew-self"), 0);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_that_ends_unrenewed_is_rejected() {
    let bao = Bao::with_key().await;
    let token = bao
        .token_with(json!({"ttl": "15s", "explicit_max_ttl": "15s"}))
        .await;
    let it = TransitWorld::by_token(bao, &token).await;
    it.world.usable("transit").await;
    tokio::time::sleep(Duration::from_secs(16)).await;
    it.faulty(KeyFault::TokenRejected).await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_login_that_is_lost_is_made_anew_within_the_call() {
    let it = app_role(json!({"token_ttl": "1h"})).await;
    revoke_all(&it).await;
    let provider = it.provider();
    Sealed::by(&provider, "app").await;
    assert_eq!(it.proxy.count("/approle/login"), 2);
    let asked = it.proxy.wraps();
    // A probe may have found it out before.
    assert!((1..=2).contains(&asked), "{asked}: refused, and once more");
}

/// On many threads: all these calls have one deadline, and the proxy works for them beside.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: make test-transit"]
async fn many_who_lose_the_login_make_one_new_one() {
    let it = app_role(json!({"token_ttl": "1h"})).await;
    revoke_all(&it).await;
    let provider = it.provider();
    let calls = (0..50).map(|number| {
        let provider = provider.clone();
        tokio::spawn(async move {
            Sealed::try_by(&provider, &format!("v{number}"))
                .await
                .is_ok()
        })
    });
    for done in futures::future::join_all(calls).await {
        assert!(done.unwrap());
    }
    assert_eq!(it.proxy.count("/approle/login"), 2);
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn logins_that_are_refused_are_few() {
    let it = app_role(json!({"token_ttl": "1h"})).await;
    let secret_ids = "auth/approle/role/secretvault";
    let delete = reqwest::Method::DELETE;
    let begun = Instant::now();
    it.bao.ask(delete, secret_ids, None, None).await;
    revoke_all(&it).await;
    let provider = it.provider();
    for number in 0..200 {
        let refused = Sealed::try_by(&provider, &format!("v{number}")).await.err();
        let reason = world::reason(&refused.unwrap()).unwrap();
        assert_eq!(reason, KeyFault::LoginFailed);
    }
    let logins = it.proxy.count("/approle/login");
    let most = most_logins(begun.elapsed());
    assert!(logins <= most, "{logins} logins for 200 callers: {most}");
}

/// The server accepts the login, and its token from another network only. Many ask at once: one of
/// them may have a login that is new to it when another one has given it up.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: make test-transit"]
async fn logins_whose_tokens_are_of_no_use_are_few() {
    let it = app_role(json!({"token_ttl": "1h"})).await;
    let provider = it.provider();
    tokens_are_good_from(&it, "192.0.2.0/24").await;
    let begun = Instant::now();
    revoke_all(&it).await;
    while begun.elapsed() < Duration::from_secs(4) {
        let calls = (0..8).map(|_| Sealed::try_by(&provider, "app"));
        for refused in futures::future::join_all(calls).await {
            let reason = world::reason(&refused.err().unwrap());
            assert_eq!(reason, Some(KeyFault::PermissionDenied));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let logins = it.proxy.count("/approle/login");
    let most = most_logins(begun.elapsed());
    assert!(logins <= most, "{logins} logins, at most {most} expected");
    // The control: nothing else was wrong.
    tokens_are_good_from(&it, "127.0.0.0/8").await;
    it.world.usable("transit").await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_in_a_file_is_read_anew_when_it_is_rejected() {
    let bao = Bao::with_key().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let first = bao.token().await;
    std::fs::write(&path, format!("{first}\n")).unwrap();
    let auth = json!({"token": {"file": {"path": path}}});
    let it = TransitWorld::by(bao, auth, ApiServer::new()).await;
    it.world.usable("transit").await;
    let second = it.bao.token().await;
    std::fs::write(&path, second).unwrap();
    it.bao.revoke(&first).await;
    works(&it).await;
    assert!(it.world.providers.state("transit").unwrap().is_ok());
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_without_an_end_is_used_as_it_is() {
    let bao = Bao::with_key().await;
    let made = json!({"policies": ["secretvault", "root"]});
    let made = bao.post("auth/token/create", made).await;
    let token = made["auth"]["client_token"].as_str().unwrap().to_owned();
    let it = TransitWorld::by_token(bao, &token).await;
    it.world.usable("transit").await;
    works(&it).await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn one_slow_server_does_not_hold_up_another_provider() {
    let it = TransitWorld::new().await;
    let keyring = secretvault_keyring::Keyring::generate(jiff::Timestamp::now()).unwrap();
    it.world.secret("ring", "keyring", &keyring.to_json());
    it.proxy.set(Doing::Swallow);
    let local = json!({"local": {"keyring": {"secret": {"name": "ring"}}}});
    let transit = world::transit_by_token(&it.proxy);
    let begun = Instant::now();
    it.world
        .declare(&[("transit", transit), ("local", local)])
        .await;
    assert!(it.world.providers.get("local").is_ok());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_token_that_was_revoked_is_rejected_until_another_is_given() {
    let bao = Bao::with_key().await;
    let token = bao.token().await;
    let it = TransitWorld::by_token(bao, &token).await;
    it.world.usable("transit").await;
    it.bao.revoke(&token).await;
    assert_eq!(
        it.faulty(KeyFault::TokenRejected).await,
        "the server at https://bao does not accept the token in key token of Secret \
         transit-token: it has expired, was revoked, or is none: put a new one there"
    );
    let next = it.bao.token().await;
    it.world.secret("transit-token", "token", &next);
    it.world.usable("transit").await;
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_login_that_is_refused_says_which() {
    let bao = Bao::with_key().await;
    let (role_id, _) = bao.app_role(json!({})).await;
    let api = ApiServer::new();
    world::secret(&api, "approle", "secretId", "no-such-secret-id");
    let auth = json!({"appRole": {
        "roleId": role_id, "secretId": {"secret": {"name": "approle", "key": "secretId"}},
    }});
    let it = TransitWorld::by(bao, auth, api).await;
    assert_eq!(
        it.faulty(KeyFault::LoginFailed).await,
        "the server at https://bao refuses the operator's login with AppRole (auth/approle) \
         (status 400: see its log): correct spec.vaultTransit.auth, or the role on the server"
    );
}

/// How many logins there may be at most in that time: the one that was good, the first that is
/// refused or of no use, and those after it. The waits between them double from 200 ms on, up to 4
/// seconds.
pub(crate) fn most_logins(within: Duration) -> usize {
    let milliseconds = usize::try_from(within.as_millis()).unwrap();
    let mut most = 2;
    let (mut wait, mut waited) = (200, 200);
    while waited <= milliseconds {
        most += 1;
        wait = (wait * 2).min(4000);
        waited += wait;
    }
    most
}

/// Has the tokens of later logins be good from that network only.
async fn tokens_are_good_from(it: &TransitWorld, network: &str) {
    let role = json!({"token_bound_cidrs": [network]});
    it.bao.post("auth/approle/role/secretvault", role).await;
}

/// Takes every token of the AppRole back.
async fn revoke_all(it: &TransitWorld) {
    it.bao
        .post("sys/leases/revoke-prefix/auth/approle", json!({}))
        .await;
}
