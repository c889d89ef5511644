//! Requests as the API server sends them, answered with key providers in memory.

mod audited;
mod editors;
mod scene;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Denied, in_time};
use crate::keys::fake::ApiServer;
use crate::keys::{KeyFault, ProviderFault};
use scene::{OPERATOR, RIGHTS, Scene, USER, allowing, asked, moving, plain, raised};

#[tokio::test(start_paused = true)]
async fn a_new_vault_is_wrapped_by_the_provider_that_it_should_have() {
    let scene = Scene::new();
    let provider = async |spec: &Value| {
        let stored = scene.put(USER, None, spec).await;
        stored["dataKey"]["provider"].as_str().unwrap().to_owned()
    };
    assert_eq!(provider(&plain()).await, "default");
    let mut own = plain();
    own["keyProvider"] = json!("prod");
    assert_eq!(provider(&own).await, "prod");
    scene.says("default", &moving("prod"));
    assert_eq!(provider(&plain()).await, "prod");
    // The namespace's own choice.
    let scene = Scene::new();
    scene.namespace(&json!({"secretvault.dev/key-provider": "prod"}));
    let stored = scene.put(USER, None, &plain()).await;
    assert_eq!(stored["dataKey"]["provider"], "prod");
    own["keyProvider"] = json!("default");
    let stored = scene.put(USER, None, &own).await;
    assert_eq!(stored["dataKey"]["provider"], "default");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_not_for_the_namespace_wraps_nothing_new() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    scene.says("default", &allowing("other"));
    let mut moved = scene.put(USER, Some(&stored), &plain()).await;
    moved["keyProvider"] = json!("prod");
    scene.says("prod", &allowing("other"));
    for (stored, spec) in [
        (None, plain()),
        (None, stored.clone()),
        (Some(&stored), raised(&stored)),
        (Some(&stored), moved),
    ] {
        let refused = scene.refused(stored, &spec).await;
        assert_eq!(refused.code, 422);
        assert_eq!(refused.field.as_deref(), Some("spec.keyProvider"));
        let provider = spec["keyProvider"].as_str().unwrap_or("default");
        let expected = format!(
            "spec.keyProvider: KeyProvider {provider} may not wrap the data keys of vaults in \
             namespace shop (its spec.allowedNamespaces): name another one in spec.keyProvider"
        );
        assert!(refused.message.starts_with(&expected), "{refused:?}");
    }
    scene.says("default", &allowing("shop"));
    scene.put(USER, None, &plain()).await;
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_sealed_stays_usable_where_its_provider_is_no_longer_allowed() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    scene.says("default", &allowing("other"));
    let mut edited = stored.clone();
    edited["data"]["a"] = json!("new");
    edited["data"]["b"] = json!("more");
    let edited = scene.put(USER, Some(&stored), &edited).await;
    assert_eq!(edited["dataKey"], stored["dataKey"]);
    let rewrapped = scene.rewrapped(&edited).await;
    assert_eq!(
        scene.put(OPERATOR, Some(&edited), &rewrapped).await,
        rewrapped
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_operator_itself_brings_in_a_rewrapped_key() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let rewrapped = scene.rewrapped(&stored).await;
    assert_ne!(rewrapped, stored);
    for user in [
        USER,
        "system:serviceaccount:shop:secretvault-operator",
        "system:serviceaccount:secretvault:secretvault-operator2",
        "system:serviceaccount:secretvault:secretvault-node-agent",
        "secretvault-operator",
        "",
    ] {
        assert_eq!(
            scene.put(user, Some(&stored), &rewrapped).await,
            stored,
            "{user}"
        );
    }
    scene.allow(false);
    let refused = scene.refused(Some(&stored), &rewrapped).await;
    assert_eq!(refused.code, 403);
    // Not even the right to restore is asked for.
    let asked = scene.server.asked(RIGHTS).len();
    assert_eq!(
        scene.put(OPERATOR, Some(&stored), &rewrapped).await,
        rewrapped
    );
    assert_eq!(scene.server.asked(RIGHTS).len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_does_not_know_its_own_name_takes_nobody_for_the_operator() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let rewrapped = scene.rewrapped(&stored).await;
    for user in [OPERATOR, ""] {
        let (response, sealed) = asked(&scene.webhook(), user, Some(&stored), &rewrapped).await;
        assert!(response.allowed);
        assert_eq!(sealed, stored, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reseal_needs_no_right_beyond_update_and_takes_the_provider_that_is_due() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    scene.allow(false);
    let resealed = scene.put(USER, Some(&stored), &raised(&stored)).await;
    assert_ne!(resealed["data"], stored["data"]);
    assert_ne!(resealed["dataKey"]["id"], stored["dataKey"]["id"]);
    assert_eq!(resealed["dataKey"]["rekey"], 1);
    scene.says("default", &moving("prod"));
    // An edit of something else moves nothing.
    let mut edited = resealed.clone();
    edited["data"]["a"] = json!("new");
    let edited = scene.put(USER, Some(&resealed), &edited).await;
    assert_eq!(edited["dataKey"], resealed["dataKey"]);
    let moved = scene.put(OPERATOR, Some(&edited), &raised(&edited)).await;
    assert_eq!(moved["dataKey"]["provider"], "prod");
    assert!(scene.server.asked(RIGHTS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_provider_moves_the_vault_in_the_same_request() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let mut moved = plain();
    moved["keyProvider"] = json!("prod");
    let moved = scene.put(USER, Some(&stored), &moved).await;
    assert_eq!(moved["dataKey"]["provider"], "prod");
    assert_eq!(moved["dataKey"]["rekey"], 1);
    let resealed = &moved["dataKey"]["resealed"];
    assert!(resealed["from"].is_string() && resealed["to"].is_string());
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_says_is_told_word_for_word() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let fault = ProviderFault::new(KeyFault::KeyringMissing, "there is no Secret x: restore it");
    scene.providers.set("default", &Err(fault));
    let mut edited = stored.clone();
    edited["data"]["a"] = json!("new");
    for (stored, spec) in [
        (None, plain()),
        (Some(&stored), edited),
        (Some(&stored), raised(&stored)),
    ] {
        let refused = scene.refused(stored, &spec).await;
        assert_eq!((refused.code, refused.field), (503, None));
        let expected = "no usable key: KeyProvider default is not ready: there is no Secret x: \
                        restore it";
        assert_eq!(refused.message, expected);
    }
    // What needs no key goes on.
    let mut described = stored.clone();
    described["description"] = json!("words");
    assert_eq!(scene.put(USER, Some(&stored), &described).await, described);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_nowhere_is_told_as_such() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let mut absent = plain();
    absent["keyProvider"] = json!("absent");
    let mut backup = stored.clone();
    backup["dataKey"]["provider"] = json!("absent");
    for (stored, spec) in [(None, &absent), (Some(&stored), &absent), (None, &backup)] {
        let refused = scene.refused(stored, spec).await;
        assert_eq!(refused.code, 503);
        let expected = "no usable key: there is no KeyProvider absent";
        assert!(refused.message.starts_with(expected), "{refused:?}");
    }
    scene.says("default", &moving("prod"));
    scene.says("prod", &moving("default"));
    let refused = scene.refused(None, &plain()).await;
    assert_eq!(refused.code, 503);
    let circle = "default -> prod -> default";
    assert!(refused.message.contains(circle), "{refused:?}");
    // Who names none of them is not stopped by them.
    let mut edited = stored.clone();
    edited["data"]["a"] = json!("new");
    scene.put(USER, Some(&stored), &edited).await;
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_for_the_namespace_only_new_keys_wait() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let scene = Scene {
        server: ApiServer::new(),
        ..scene
    };
    scene.server.fail(Some(StatusCode::INTERNAL_SERVER_ERROR));
    for (stored, spec) in [(None, plain()), (Some(&stored), raised(&stored))] {
        let refused = scene.refused(stored, &spec).await;
        assert_eq!(refused.code, 503);
        let expected = "the API server did not answer for namespace shop: try again";
        assert_eq!(refused.message, expected);
    }
    let mut edited = stored.clone();
    edited["data"]["a"] = json!("new");
    scene.put(USER, Some(&stored), &edited).await;
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_told_also_where_there_is_no_key() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    scene.allow(false);
    let mut opened = stored.clone();
    opened["access"] = json!([{"serviceAccounts": ["*"]}]);
    opened["data"]["a"] = json!("new");
    let fault = ProviderFault::new(KeyFault::KeyringMissing, "gone");
    scene.providers.set("default", &Err(fault));
    let refused = scene.refused(Some(&stored), &opened).await;
    assert_eq!(refused.code, 403);
    assert!(refused.message.contains("\"manage\""), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_is_answered_before_it_gives_up() {
    let scene = Scene::new();
    let stored = scene.put(USER, None, &plain()).await;
    let mut opened = stored.clone();
    opened["access"] = json!([{"serviceAccounts": ["*"]}]);
    scene.server.hang(true);
    let asked = tokio::time::Instant::now();
    let refused = scene.refused(Some(&stored), &opened).await;
    assert_eq!(refused.code, 503);
    assert!(asked.elapsed() < std::time::Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_takes_too_long_is_a_refusal_in_time() {
    let asked = tokio::time::Instant::now();
    let decided = in_time(std::future::pending::<Result<(), Denied>>()).await;
    assert!(matches!(decided, Err(Denied::TooLate)));
    assert!(asked.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_can_never_match_is_admitted_with_a_warning() {
    let scene = Scene::new();
    let mut spec = plain();
    spec["access"] = json!([{"serviceAccounts": ["web"]}, {"entries": ["no/*"]}]);
    let (response, _) = scene.review(USER, None, &spec).await;
    assert!(response.allowed);
    let words = "spec.access[1].entries: no entry of this vault is covered, so this rule allows \
                 nothing";
    assert_eq!(response.warnings, Some(vec![words.to_owned()]));
    spec["access"][1]["entries"] = json!(["**"]);
    let (response, stored) = scene.review(USER, None, &spec).await;
    assert!(response.allowed && response.warnings.is_none());
    // What is refused is not advised upon.
    spec["access"][1]["entries"] = json!(["no/*"]);
    scene.allow(false);
    let (response, _) = scene.review(USER, Some(&stored), &spec).await;
    assert!(!response.allowed && response.warnings.is_none());
}
