//! Login with a token of the operator's own service account, against a server that only answers.
//! On the real method it is tested on the cluster.

use std::time::{Duration, Instant};

use secretvault_operator::keys::KeyFault;
use serde_json::{Value, json};

use crate::api::ApiServer;
use crate::login::most_logins;
use crate::proxy::{Doing, Proxy};
use crate::world::{World, transit_spec};

const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const TOKEN: &str = "/api/v1/namespaces/secretvault/serviceaccounts/operator/token";

fn api() -> ApiServer {
    let api = ApiServer::new();
    api.set(
        REVIEW,
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
            "status": {"userInfo": {"username": "system:serviceaccount:secretvault:operator"}},
        }),
    );
    api.set(
        TOKEN,
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": []},
            "status": {"token": "a.b.c", "expirationTimestamp": "2026-01-01T00:00:00Z"},
        }),
    );
    api
}

fn spec(proxy: &Proxy, auth: &Value) -> Value {
    let auth = json!({"kubernetes": auth});
    transit_spec(&proxy.address, &proxy.certificate.bundle(), &auth)
}

fn login() -> String {
    json!({
        "request_id": "r", "lease_id": "", "lease_duration": 0, "renewable": false, "data": null,
        "warnings": null, "wrap_info": null,
        "auth": {
            "client_token": "s.login", "accessor": "a", "policies": ["p"],
            "token_policies": ["p"], "metadata": {"role": "sv"}, "lease_duration": 3600,
            "renewable": true, "entity_id": "e", "token_type": "service", "orphan": true,
        },
    })
    .to_string()
}

#[tokio::test]
async fn the_login_brings_the_role_and_a_token_for_its_audience() {
    let proxy = Proxy::before(None).await;
    proxy.set(Doing::Answer(200, login()));
    let auth = json!({"role": "sv", "mount": "clusters/one", "audience": "bao"});
    let api = api();
    let world = World::on(api.clone(), &[("transit", spec(&proxy, &auth))]).await;
    // The login is no answer to encrypting.
    let fault = world.fault("transit").await;
    assert_eq!(fault.reason, KeyFault::ServerError);
    let bodies = proxy.bodies("/v1/auth/clusters/one/login");
    assert_eq!(bodies[0], json!({"role": "sv", "jwt": "a.b.c"}));
    let asked = &api.asked(TOKEN)[0]["spec"];
    assert_eq!(asked["audiences"], json!(["bao"]));
    assert_eq!(asked["expirationSeconds"], 600);
    assert!(proxy.count("/v1/transit/encrypt/secretvault") >= 1);
}

#[tokio::test]
async fn a_role_that_the_server_refuses_is_told_with_its_names() {
    let proxy = Proxy::before(None).await;
    let refusal = json!({"errors": ["permission denied for SECRET-DETAIL"]});
    proxy.set(Doing::Answer(403, refusal.to_string()));
    let world = World::on(api(), &[("transit", spec(&proxy, &json!({"role": "sv"})))]).await;
    let fault = world.fault("transit").await;
    assert_eq!(fault.reason, KeyFault::LoginFailed);
    assert_eq!(
        fault.message.replace(&proxy.address, "https://bao"),
        "the server at https://bao refuses the operator's login as role sv (auth/kubernetes) (it \
         accepts no such login, or has no such mount): correct spec.vaultTransit.auth, or the role \
         on the server"
    );
}

#[tokio::test]
async fn without_a_token_of_its_own_the_operator_says_what_it_lacks() {
    let proxy = Proxy::before(None).await;
    let api = api();
    api.remove(TOKEN);
    let world = World::on(api, &[("transit", spec(&proxy, &json!({"role": "sv"})))]).await;
    let fault = world.fault("transit").await;
    assert_eq!(fault.reason, KeyFault::CredentialMissing);
    assert!(fault.message.contains("serviceaccounts/token"), "{fault}");
    assert_eq!(proxy.total(), 0);
}

#[tokio::test]
async fn a_login_whose_token_is_never_accepted_is_not_made_for_every_caller() {
    let proxy = Proxy::before(None).await;
    let refusal = json!({"errors": ["permission denied"]}).to_string();
    let answers = vec![("/login", 200, login()), ("/secretvault", 403, refusal)];
    proxy.set(Doing::ByPath(answers));
    let begun = Instant::now();
    let world = World::on(api(), &[("transit", spec(&proxy, &json!({"role": "sv"})))]).await;
    assert_eq!(
        world.fault("transit").await.reason,
        KeyFault::PermissionDenied
    );
    while begun.elapsed() < Duration::from_secs(2) {
        world.providers.refresh().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let logins = proxy.count("/login");
    let most = most_logins(begun.elapsed());
    assert!(logins <= most, "{logins} logins, at most {most} expected");
}
