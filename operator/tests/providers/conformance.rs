//! What every provider must do, whatever holds its keys.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use secretvault_crds::DataKey;
use secretvault_envelope::VaultBinding;
use secretvault_keyring::Keyring;
use secretvault_operator::keys::{KeyError, KeyFault, Provider};
use serde_json::json;
use tempfile::TempDir;

use crate::api::ApiServer;
use crate::bao::Bao;
use crate::proxy::{Doing, Proxy};
use crate::world::{self, Sealed, World, transit_by_token};

#[tokio::test]
async fn a_keyring_in_a_secret_conforms() {
    conforms(Subject::in_secret().await).await;
}

#[tokio::test]
async fn a_keyring_in_a_file_conforms() {
    conforms(Subject::in_file().await).await;
}

/// On many threads: many calls have one deadline, and the proxy works for them beside.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenBao: make test-transit"]
async fn a_transit_key_conforms() {
    conforms(Subject::in_transit().await).await;
}

async fn conforms(mut subject: Subject) {
    it_wraps_and_unwraps(&subject).await;
    it_rewraps(&subject).await;
    it_refuses_another_providers(&subject).await;
    it_refuses_what_was_tampered_with(&subject).await;
    it_refuses_another_vaults(&subject).await;
    it_outlives_cancelled_calls(&subject).await;
    it_serves_many_at_once(&subject).await;
    it_rotates(&mut subject).await;
    it_says_what_is_wrong_and_recovers(&mut subject).await;
}

async fn it_wraps_and_unwraps(subject: &Subject) {
    let provider = subject.provider();
    let sealed = Sealed::by(&provider, "app").await;
    assert!(sealed.opens(&provider).await.unwrap());
    assert_eq!(sealed.data_key.key_id, provider.primary_key_id());
    assert!(provider.is_current(&sealed.data_key.key_id));
    assert_eq!(provider.key_infos()[0].id, provider.primary_key_id());
    assert!(!provider.scope().is_empty());
    assert!(sealed.data_key.wrapped.len() <= 4096, "fits the schema");
    let another = Sealed::by(&provider, "app").await;
    assert_ne!(another.data_key.wrapped, sealed.data_key.wrapped);
}

async fn it_rewraps(subject: &Subject) {
    let provider = subject.provider();
    let mut sealed = Sealed::by(&provider, "app").await;
    let again = sealed.rewrapped(&provider).await.unwrap();
    assert_ne!(again.wrapped, sealed.data_key.wrapped);
    assert_eq!(again.key_id, provider.primary_key_id());
    sealed.data_key = again;
    assert!(sealed.opens(&provider).await.unwrap());
}

async fn it_refuses_another_providers(subject: &Subject) {
    let (provider, other) = (subject.provider(), subject.other());
    let mut foreign = Sealed::by(&other, "app").await;
    let refused = |result: Result<bool, KeyError>| match result {
        Err(KeyError::DoesNotOpen | KeyError::UnknownKey { .. }) => {}
        result => panic!("{result:?}"),
    };
    refused(foreign.opens(&provider).await);
    foreign.data_key.key_id = provider.primary_key_id();
    refused(foreign.opens(&provider).await);
    let rewrapped = foreign.rewrapped(&provider).await;
    assert!(matches!(rewrapped, Err(KeyError::DoesNotOpen)));
}

async fn it_refuses_what_was_tampered_with(subject: &Subject) {
    let provider = subject.provider();
    let sealed = Sealed::by(&provider, "app").await;
    let text = &sealed.data_key.wrapped;
    let mut altered: Vec<String> = (0..text.len())
        .step_by(7)
        .map(|at| flip(text, at))
        .collect();
    altered.extend([
        String::new(),
        text[..text.len() - 4].to_owned(),
        format!("{text}AAAA"),
        format!(" {text}"),
    ]);
    for wrapped in altered {
        assert_does_not_open(&provider, &sealed, |key| key.wrapped.clone_from(&wrapped)).await;
    }
    let another = Sealed::by(&provider, "app").await.data_key.id;
    assert_does_not_open(&provider, &sealed, |key| key.id.clone_from(&another)).await;
    assert_does_not_open(&provider, &sealed, |key| key.id = "x".to_owned()).await;
    assert_does_not_open(&provider, &sealed, |key| key.key_id = "x".to_owned()).await;
    assert_does_not_open(&provider, &sealed, |key| key.key_id = String::new()).await;
    assert!(sealed.opens(&provider).await.unwrap(), "the untouched one");
}

async fn assert_does_not_open(
    provider: &Provider,
    sealed: &Sealed,
    change: impl FnOnce(&mut DataKey),
) {
    let mut data_key = sealed.data_key.clone();
    change(&mut data_key);
    let opened = provider.unwrap(&sealed.binding(provider), &data_key).await;
    assert!(
        matches!(
            opened,
            Err(KeyError::DoesNotOpen | KeyError::UnknownKey { .. })
        ),
        "{data_key:?}: {opened:?}"
    );
}

/// Another character of the same alphabet, or another one where that is none.
fn flip(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = match bytes[at] {
        b'A' => b'B',
        b'1' => b'2',
        _ => b'A',
    };
    String::from_utf8(bytes).unwrap()
}

async fn it_refuses_another_vaults(subject: &Subject) {
    let provider = subject.provider();
    let sealed = Sealed::by(&provider, "app").await;
    for (scope, namespace, vault) in [
        (provider.scope(), "shop", "other"),
        (provider.scope(), "shops", "app"),
        ("another", "shop", "app"),
    ] {
        let binding = VaultBinding::new(scope, namespace, vault);
        let opened = provider.unwrap(&binding, &sealed.data_key).await;
        assert!(matches!(opened, Err(KeyError::DoesNotOpen)), "{vault}");
        // Whoever has it rewrapped, has nothing that opens either.
        if let Ok(wrapped) = provider.rewrap(&binding, &sealed.data_key).await {
            let again = DataKey {
                key_id: wrapped.key_id,
                wrapped: wrapped.wrapped,
                ..sealed.data_key.clone()
            };
            let opened = provider.unwrap(&binding, &again).await;
            assert!(matches!(opened, Err(KeyError::DoesNotOpen)), "{vault}");
        }
    }
    assert!(sealed.opens(&provider).await.unwrap());
}

async fn it_outlives_cancelled_calls(subject: &Subject) {
    let provider = subject.provider();
    // Nothing has opened this one yet: a wrapped key that only the server's rewrapping made.
    let sealed = Sealed::by(&provider, "app").await;
    let fresh = Arc::new(Sealed {
        data_key: sealed.rewrapped(&provider).await.unwrap(),
        ..sealed
    });
    for microseconds in [0, 50, 200, 1000] {
        let (one, provider) = (Arc::clone(&fresh), Arc::clone(&provider));
        let call = tokio::spawn(async move { one.opens(&provider).await });
        tokio::time::sleep(Duration::from_micros(microseconds)).await;
        call.abort();
        let _ = call.await;
    }
    assert!(fresh.opens(&provider).await.unwrap());
    assert!(
        Sealed::by(&provider, "app")
            .await
            .opens(&provider)
            .await
            .unwrap()
    );
}

async fn it_serves_many_at_once(subject: &Subject) {
    let provider = subject.provider();
    let each = (0..50).map(|number| {
        let provider = Arc::clone(&provider);
        tokio::spawn(async move {
            let sealed = Sealed::by(&provider, &format!("app-{number}")).await;
            let again = sealed.rewrapped(&provider).await.unwrap();
            let again = Sealed {
                data_key: again,
                ..sealed
            };
            again.opens(&provider).await.unwrap()
        })
    });
    for outcome in join_all(each).await {
        assert!(outcome.unwrap());
    }
}

async fn it_rotates(subject: &mut Subject) {
    let mut sealed = Sealed::by(&subject.provider(), "app").await;
    let before = sealed.data_key.key_id.clone();
    subject.rotate().await;
    let provider = subject.provider();
    assert_ne!(provider.primary_key_id(), before);
    assert!(!provider.is_current(&before));
    assert!(sealed.opens(&provider).await.unwrap(), "under the old key");
    sealed.data_key = sealed.rewrapped(&provider).await.unwrap();
    assert_eq!(sealed.data_key.key_id, provider.primary_key_id());
    assert!(sealed.opens(&provider).await.unwrap());
}

async fn it_says_what_is_wrong_and_recovers(subject: &mut Subject) {
    let sealed = Sealed::by(&subject.provider(), "app").await;
    let expected = subject.damage().await;
    let fault = subject.world.fault("subject").await;
    assert_eq!(fault.reason, expected, "{fault}");
    if let Ok(provider) = subject.world.providers.get("subject") {
        let refused = Sealed::try_by(&provider, "app").await.err().unwrap();
        assert_eq!(world::reason(&refused), Some(expected));
        let refused = sealed.rewrapped(&provider).await.unwrap_err();
        assert_eq!(world::reason(&refused), Some(expected));
    }
    subject.mend().await;
    let provider = subject.world.usable("subject").await;
    assert!(sealed.opens(&provider).await.unwrap());
    assert!(
        Sealed::by(&provider, "app")
            .await
            .opens(&provider)
            .await
            .unwrap()
    );
}

/// A provider `subject`, and another one of its kind.
struct Subject {
    world: World,
    holder: Holder,
}

/// What holds the keys.
enum Holder {
    File { folder: TempDir, keyring: Keyring },
    Secret { keyring: Keyring },
    Transit { bao: Box<Bao>, proxy: Proxy },
}

impl Subject {
    async fn in_secret() -> Self {
        let (keyring, other) = (generated(), generated());
        let api = ApiServer::new();
        world::secret(&api, "subject", "keyring", &keyring.to_json());
        world::secret(&api, "other", "keyring", &other.to_json());
        let spec = |name: &str| json!({"local": {"keyring": {"secret": {"name": name}}}});
        let objects = [("subject", spec("subject")), ("other", spec("other"))];
        Self {
            world: World::on(api, &objects).await,
            holder: Holder::Secret { keyring },
        }
    }

    async fn in_file() -> Self {
        let (keyring, other) = (generated(), generated());
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, keyring: &Keyring| {
            let path = folder.path().join(name);
            std::fs::write(&path, keyring.to_json().as_bytes()).unwrap();
            json!({"local": {"keyring": {"file": {"path": path}}}})
        };
        let objects = [
            ("subject", write("subject", &keyring)),
            ("other", write("other", &other)),
        ];
        Self {
            world: World::of(&objects).await,
            holder: Holder::File { folder, keyring },
        }
    }

    async fn in_transit() -> Self {
        let bao = Bao::with_key().await;
        bao.post("transit/keys/other", json!({})).await;
        let other = crate::bao::LEAST.replace("/secretvault\"", "/other\"");
        bao.set_policy(&format!("{}\n{other}", crate::bao::LEAST))
            .await;
        let token = bao.token().await;
        let proxy = Proxy::before(Some((&bao.address, &bao.certificate))).await;
        let api = ApiServer::new();
        world::secret(&api, "transit-token", "token", &token);
        let mut second = transit_by_token(&proxy);
        second["vaultTransit"]["key"] = json!("other");
        let objects = [("subject", transit_by_token(&proxy)), ("other", second)];
        let world = World::on(api, &objects).await;
        world.usable("subject").await;
        world.usable("other").await;
        Self {
            world,
            holder: Holder::Transit {
                bao: Box::new(bao),
                proxy,
            },
        }
    }

    fn provider(&self) -> Arc<Provider> {
        self.world.provider("subject")
    }

    fn other(&self) -> Arc<Provider> {
        self.world.provider("other")
    }

    /// Makes a new key that wraps.
    async fn rotate(&mut self) {
        match &mut self.holder {
            Holder::File { keyring, .. } | Holder::Secret { keyring } => {
                keyring.rotate(Timestamp::now()).unwrap();
            }
            Holder::Transit { bao, .. } => {
                bao.post("transit/keys/secretvault/rotate", json!({})).await;
            }
        }
        self.mend().await;
    }

    /// Takes the keys away: the fault that this is.
    async fn damage(&mut self) -> KeyFault {
        match &self.holder {
            Holder::File { folder, .. } => {
                std::fs::remove_file(folder.path().join("subject")).unwrap();
                KeyFault::KeyringMissing
            }
            Holder::Secret { .. } => {
                self.world
                    .api
                    .remove("/api/v1/namespaces/secretvault/secrets/subject");
                KeyFault::KeyringMissing
            }
            Holder::Transit { proxy, .. } => {
                proxy.set(Doing::Cut);
                KeyFault::Unreachable
            }
        }
    }

    async fn mend(&mut self) {
        match &self.holder {
            Holder::File { folder, keyring } => {
                let path = folder.path().join("subject");
                std::fs::write(path, keyring.to_json().as_bytes()).unwrap();
            }
            Holder::Secret { keyring } => {
                self.world.secret("subject", "keyring", &keyring.to_json());
            }
            Holder::Transit { proxy, .. } => proxy.set(Doing::Pass),
        }
        self.world.providers.refresh().await;
    }
}

fn generated() -> Keyring {
    Keyring::generate(Timestamp::now()).unwrap()
}
