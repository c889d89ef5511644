//! What a replica knows of its providers, and how it comes to know what it does not.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use secretvault_crds::DataKey;
use secretvault_envelope::{Dek, DekId, VaultBinding};
use secretvault_keyring::Keyring;
use secretvault_operator::keys::{KeyError, KeyFault, NamespaceFacts, Provider};
use serde_json::{Value, json};

use crate::api::ApiServer;
use crate::bao::Bao;
use crate::proxy::Proxy;
use crate::world::{self, Sealed, World, transit_by_token};

fn local(secret: &str) -> Value {
    json!({"local": {"keyring": {"secret": {"name": secret}}}})
}

fn keyring() -> Keyring {
    Keyring::generate(Timestamp::now()).unwrap()
}

async fn with_keyring(keyring: &Keyring) -> World {
    let api = ApiServer::new();
    world::secret(&api, "ring", "keyring", &keyring.to_json());
    World::on(api, &[("default", local("ring"))]).await
}

/// A data key that another replica sealed.
fn sealed(keyring: &Keyring) -> (Dek, DataKey) {
    let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
    let vault = VaultBinding::new(keyring.id(), "shop", "app");
    let wrapped = keyring.wrap_data_key(&vault, id, &dek).unwrap();
    let data_key = DataKey {
        provider: "default".to_owned(),
        id: id.to_string(),
        key_id: wrapped.key_id.to_string(),
        wrapped: wrapped.wrapped,
        ..DataKey::default()
    };
    (dek, data_key)
}

#[tokio::test]
async fn a_keyring_that_is_being_made_is_waited_for() {
    let world = World::on(ApiServer::new(), &[("default", local("ring"))]).await;
    let made = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        world.secret("ring", "keyring", &keyring().to_json());
    };
    let (found, ()) = tokio::join!(world.providers.find("default"), made);
    assert!(found.is_ok(), "{:?}", found.err());
}

#[tokio::test]
async fn a_keyring_that_nobody_makes_is_told_as_missing() {
    let world = World::on(ApiServer::new(), &[("default", local("ring"))]).await;
    let error = world.providers.find("default").await.err().unwrap();
    let missing = matches!(&error, KeyError::NotReady { fault, .. } if fault.reason == KeyFault::KeyringMissing);
    assert!(missing, "{error}");
}

#[tokio::test]
async fn a_key_that_another_replica_made_just_now_is_looked_for_once_more() {
    let mut keyring = keyring();
    let world = with_keyring(&keyring).await;
    keyring.rotate(Timestamp::now()).unwrap();
    world.secret("ring", "keyring", &keyring.to_json());
    let (dek, data_key) = sealed(&keyring);
    let binding = VaultBinding::new(keyring.id(), "shop", "app");
    let stale = world.provider("default").unwrap(&binding, &data_key).await;
    assert!(
        matches!(stale, Err(KeyError::UnknownKey { .. })),
        "{stale:?}"
    );
    let opened = world.providers.open("shop", "app", &data_key).await;
    let opened = opened.unwrap();
    assert_eq!((opened.dek, opened.scope.as_str()), (dek, keyring.id()));
}

#[tokio::test]
async fn admission_too_looks_for_such_a_key_once_more() {
    use secretvault_seal::KeyProvider as _;
    let mut keyring = keyring();
    let world = with_keyring(&keyring).await;
    let found = secretvault_seal::KeyProviders::find(&world.providers, "default");
    let found = found.await.unwrap();
    keyring.rotate(Timestamp::now()).unwrap();
    world.secret("ring", "keyring", &keyring.to_json());
    let (dek, data_key) = sealed(&keyring);
    let binding = VaultBinding::new(keyring.id(), "shop", "app");
    assert_eq!(found.unwrap(&binding, &data_key).await.unwrap(), Some(dek));
    let elsewhere = VaultBinding::new("another", "shop", "app");
    let refused = found.unwrap(&elsewhere, &data_key).await.unwrap();
    assert_eq!(refused, None, "a scope that the caller does not mean");
    let other = VaultBinding::new(keyring.id(), "shop", "other");
    assert_eq!(found.unwrap(&other, &data_key).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_that_nobody_has_is_told_after_that_look() {
    let world = with_keyring(&keyring()).await;
    let (_, data_key) = sealed(&keyring());
    let refused = world.providers.open("shop", "app", &data_key).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, KeyError::UnknownKey { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        format!(
            "KeyProvider default has no key {}: restore the keyring that holds it, or the Transit key",
            data_key.key_id
        )
    );
}

#[tokio::test]
async fn a_provider_that_was_made_just_now_is_found() {
    let world = with_keyring(&keyring()).await;
    world::list(
        &world.api,
        &[
            json!({"metadata": {"name": "default"}, "spec": {
                "local": {"keyring": {"secret": {"name": "ring"}}}, "migrateTo": "next",
            }}),
            json!({"metadata": {"name": "next"}, "spec": local("ring")}),
        ],
    );
    let unknown = world.providers.effective("next");
    assert!(matches!(unknown, Err(KeyError::NoProvider { .. })));
    assert_eq!(
        world.providers.find_effective("next").await.unwrap(),
        "next"
    );
    assert_eq!(world.providers.effective("default").unwrap(), "next");
    assert!(world.providers.find_effective("gone").await.is_err());
}

#[tokio::test]
async fn a_policy_counts_even_where_the_provider_is_not_usable() {
    let spec = json!({
        "local": {"keyring": {"secret": {"name": "gone"}}},
        "allowedNamespaces": {"names": ["shop"]},
    });
    let world = World::of(&[("default", spec)]).await;
    assert!(world.providers.get("default").is_err());
    let named = |name: &str| NamespaceFacts {
        name: name.to_owned(),
        ..NamespaceFacts::default()
    };
    assert!(world.providers.allows("default", &named("shop")));
    assert!(!world.providers.allows("default", &named("other")));
    assert!(!world.providers.allows("unknown", &named("shop")));
}

#[tokio::test]
async fn what_was_usable_stays_so_while_the_api_server_is_away() {
    let keyring = keyring();
    let world = with_keyring(&keyring).await;
    let (dek, data_key) = sealed(&keyring);
    world
        .api
        .fail(Some(http::StatusCode::INTERNAL_SERVER_ERROR));
    world.providers.refresh().await;
    world.api.fail(None);
    world.api.hang(true);
    world.providers.refresh().await;
    let opened = world.providers.open("shop", "app", &data_key).await;
    assert_eq!(opened.unwrap().dek, dek);
}

#[tokio::test]
async fn only_what_changes_is_counted() {
    let mut keyring = keyring();
    let world = with_keyring(&keyring).await;
    let mut changes = world.providers.changes();
    world.providers.refresh().await;
    changes.mark_unchanged();
    world.providers.refresh().await;
    tokio::task::yield_now().await;
    assert!(!changes.has_changed().unwrap());
    keyring.rotate(Timestamp::now()).unwrap();
    world.secret("ring", "keyring", &keyring.to_json());
    world.providers.refresh().await;
    changes.changed().await.unwrap();
}

/// However slow the machine is, so many rounds take so long.
#[tokio::test]
async fn changes_without_end_are_read_with_pauses() {
    let api = ApiServer::new();
    world::secret(&api, "ring", "keyring", &keyring().to_json());
    let provider = json!({
        "metadata": {"name": "default", "resourceVersion": "2"}, "spec": local("ring"),
    });
    let providers = "/apis/secretvault.dev/v1alpha1/keyproviders";
    api.tell(providers, json!({"type": "MODIFIED", "object": provider}));
    let begun = Instant::now();
    let world = World::on(api, &[("default", local("ring"))]).await;
    let ring = "/api/v1/namespaces/secretvault/secrets/ring";
    for _ in 0..3000 {
        if world.api.asked(ring).len() >= 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (elapsed, rounds) = (begun.elapsed(), world.api.asked(ring).len());
    assert!(rounds >= 6, "{rounds}");
    assert!(elapsed >= Duration::from_millis(1250), "{elapsed:?}");
}

#[tokio::test]
async fn the_keys_of_a_keyring_say_since_when_they_are() {
    let mut keyring = keyring();
    keyring.rotate(Timestamp::now()).unwrap();
    let world = with_keyring(&keyring).await;
    let infos = world.provider("default").key_infos();
    assert_eq!(infos.len(), 2);
    assert_eq!(infos[0].id, keyring.primary_id().to_string());
    assert!(infos.iter().all(|info| info.created.is_some()));
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_key_that_another_process_saw_usable_is_deleted_and_not_missing() {
    let bao = Bao::start().await;
    let token = bao.token().await;
    let proxy = Proxy::before(Some((&bao.address, &bao.certificate))).await;
    let api = ApiServer::new();
    world::secret(&api, "transit-token", "token", &token);
    let source = format!(
        "Transit key secretvault at {} (mount transit): a stolen backup of etcd yields nothing",
        proxy.address
    );
    for (source, expected) in [
        (source.as_str(), KeyFault::KeyDeleted),
        (
            "Transit key another at https://bao (mount transit)",
            KeyFault::KeyMissing,
        ),
    ] {
        let world = World::on(api.clone(), &[]).await;
        world::list(
            &world.api,
            &[json!({
                "metadata": {"name": "transit"}, "spec": transit_by_token(&proxy),
                "status": {"primaryKeyId": "v3", "keyringSource": source},
            })],
        );
        assert_eq!(world.fault("transit").await.reason, expected);
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_transit_key_is_bound_to_the_cluster_or_to_the_scope_that_is_given() {
    let bao = Bao::with_key().await;
    let token = bao.token().await;
    let proxy = Proxy::before(Some((&bao.address, &bao.certificate))).await;
    let api = ApiServer::new();
    world::secret(&api, "transit-token", "token", &token);
    let mut scoped = transit_by_token(&proxy);
    scoped["vaultTransit"]["scope"] = json!("everywhere");
    let objects = [("transit", transit_by_token(&proxy)), ("scoped", scoped)];
    let world = World::on(api, &objects).await;
    let (plain, scoped): (_, std::sync::Arc<Provider>) =
        (world.usable("transit").await, world.usable("scoped").await);
    assert_eq!(
        (plain.scope(), scoped.scope()),
        ("cluster-uid", "everywhere")
    );
    assert_eq!(
        plain.source().to_string(),
        format!(
            "Transit key secretvault at {} (mount transit)",
            proxy.address
        )
    );
    let sealed = Sealed::by(&plain, "app").await;
    let refused = sealed.opens(&scoped).await;
    assert!(matches!(refused, Err(KeyError::DoesNotOpen)), "{refused:?}");
}
