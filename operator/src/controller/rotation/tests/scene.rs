//! Vaults, a keyring that can be rotated, another provider, and a controller that leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secretvault_crds::{DataKey, KeyProviderSpec, SecretVault, SecretVaultSpec};
use secretvault_envelope::{Dek, DekId, Envelope, Plaintext, VaultBinding};
use secretvault_keyring::Keyring;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::super::*;
use super::server::{Server, open};
use crate::audit::memory::Memory;
use crate::keys::{KeyFault, NamespaceFacts, Policy, Provider, ProviderFault, Source};

pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) standing: Standing,
    pub(super) metrics: RotationMetrics,
    pub(super) log: Memory,
    keyring: Keyring,
    /// What is in the vaults.
    values: BTreeMap<String, String>,
    task: Option<JoinHandle<()>>,
}

impl Scene {
    /// So many vaults, sealed with the keyring's only key.
    pub(super) async fn begin(count: usize) -> Self {
        let keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let vaults = Vaults::of([]);
        let providers = Providers::new();
        let standing = Standing::new(vaults.clone(), providers.clone());
        let server = Server::new(providers, vaults);
        let mut scene = Self {
            server,
            standing,
            metrics: RotationMetrics::default(),
            log: Memory::default(),
            keyring,
            values: BTreeMap::new(),
            task: None,
        };
        scene.provides();
        scene.namespace(None);
        for index in 0..count {
            scene.vault(&format!("v{index}")).await;
        }
        scene
    }

    /// The controller works.
    pub(super) fn lead(&mut self) {
        let controller = RotationController {
            client: self.server.client(),
            standing: self.standing.clone(),
            audit: self.log.audit(),
            metrics: self.metrics.clone(),
        };
        self.task = Some(tokio::spawn(async move { controller.work().await }));
    }

    /// The process is killed, and another one comes to lead.
    pub(super) fn kill(&mut self) {
        self.task.take().unwrap().abort();
        let (vaults, providers) = (&self.standing.vaults, &self.standing.providers);
        let namespaces = self.standing.namespaces();
        self.standing = Standing::new(vaults.clone(), providers.clone());
        self.standing.told(namespaces.unwrap());
        self.lead();
    }

    /// The keyring gets a new key.
    pub(super) fn rotate(&mut self) {
        self.keyring.rotate(Timestamp::now()).unwrap();
        self.provides();
    }

    /// The provider `other` is there, with a keyring of its own.
    pub(super) fn other(&self) {
        let keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let provider = Provider::local("other", keyring, Source::File("/other".into()));
        self.standing
            .providers
            .set("other", &Ok(Arc::new(provider)));
    }

    /// A provider cannot be used.
    pub(super) fn fails(&self, name: &str) {
        let fault = ProviderFault::new(KeyFault::KeyringMissing, "restore it");
        self.standing.providers.set(name, &Err(fault));
    }

    /// What `default` says of vaults.
    pub(super) fn policy(&self, spec: &KeyProviderSpec) {
        let providers = &self.standing.providers;
        let state = providers.state("default").unwrap();
        providers.set_with("default", &state, &Arc::new(Policy::of(spec)));
    }

    pub(super) fn provides(&self) {
        let keyring = Keyring::parse(&self.keyring.to_json()).unwrap();
        let provider = Provider::local("default", keyring, Source::File("/keyring".into()));
        let providers = &self.standing.providers;
        providers.set("default", &Ok(Arc::new(provider)));
    }

    /// The namespace names a provider.
    pub(super) fn namespace(&self, provider: Option<&str>) {
        let facts = NamespaceFacts {
            name: "shop".into(),
            key_provider: provider.map(Into::into),
            ..NamespaceFacts::default()
        };
        let all = [("shop".to_owned(), facts)];
        self.standing.told(Arc::new(all.into()));
    }

    pub(super) async fn vault(&mut self, name: &str) {
        let provider = self.standing.providers.get("default").unwrap();
        let binding = VaultBinding::new(provider.scope(), "shop", name);
        let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
        let wrapped = provider.wrap(&binding, id, &dek).await.unwrap();
        let value = format!("value of {name}");
        let plain = Plaintext::from(value.clone().into_bytes());
        let envelope = Envelope::seal(&dek, &binding.entry("a"), &plain).unwrap();
        self.values.insert(name.to_owned(), value);
        let mut spec = SecretVaultSpec {
            data_key: Some(DataKey {
                provider: "default".into(),
                key_id: wrapped.key_id,
                id: id.to_string(),
                wrapped: wrapped.wrapped,
                created: Some(secretvault_crds::whole_second(Timestamp::now())),
                ..DataKey::default()
            }),
            ..SecretVaultSpec::default()
        };
        spec.data.insert("a".into(), envelope.to_string().into());
        let mut vault = SecretVault::new(name, spec);
        vault.metadata.namespace = Some("shop".into());
        vault.metadata.uid = Some(format!("uid-{name}"));
        self.server.store(vault);
    }

    /// Somebody edits a vault.
    pub(super) fn edit(&self, name: &str, change: impl FnOnce(&mut SecretVaultSpec)) {
        let mut vault = self.server.stored(name);
        change(&mut vault.spec);
        self.server.store(vault);
    }

    /// So many seconds pass, and the API server says all the time that there is nothing else.
    pub(super) async fn settle(&self, seconds: u64) {
        for _ in 0..seconds {
            self.standing.vaults.bookmark();
            self.silence(1).await;
        }
    }

    /// So many seconds pass, in which the API server says nothing.
    pub(super) async fn silence(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    /// How many vaults have this provider, under its primary key.
    pub(super) fn current(&self, provider: &str) -> usize {
        let primary = self.standing.providers.get(provider).unwrap();
        let all = self.server.all().into_iter();
        all.filter_map(|vault| vault.spec.data_key)
            .filter(|it| it.provider == provider && primary.is_current(&it.key_id))
            .count()
    }

    /// Every vault opens to what was in it.
    pub(super) async fn nothing_is_lost(&self) {
        let all = self.server.all();
        assert_eq!(all.len(), self.values.len());
        for vault in all {
            let data_key = vault.spec.data_key.as_ref().unwrap();
            let name = vault.metadata.name.as_deref().unwrap();
            let providers = &self.standing.providers;
            let dek = open(providers, &vault, data_key).await;
            let scope = providers.get(&data_key.provider).unwrap();
            let binding = VaultBinding::new(scope.scope(), "shop", name);
            let envelope: Envelope = vault.spec.data["a"].expose().parse().unwrap();
            let opened = envelope.open_with_dek(&dek, &binding.entry("a")).unwrap();
            assert_eq!(opened.expose(), self.values[name].as_bytes(), "{name}");
        }
    }

    pub(super) fn trouble(&self, name: &str) -> Option<String> {
        let vault = VaultRef::new("shop", name);
        let message = self.standing.troubles.message(&vault);
        message.map(|message| message.to_string())
    }

    pub(super) fn overview(&self) -> Overview {
        self.standing.overview(Timestamp::now()).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
