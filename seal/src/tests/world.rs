//! Two key providers in memory, and requests as the webhook makes them of manifests.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secretvault_crds::{DataKey, SecretVaultSpec};
use secretvault_envelope::{DataKeyPayload, Dek, DekId, Envelope, Plaintext, VaultBinding};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::Object;
use crate::{KeyProvider, KeyProviders, NoKey, NoRandomness, Rights, Wish, WrappedKey, examine};

/// The providers by name.
#[derive(Clone)]
pub(super) struct World(BTreeMap<&'static str, Fake>);

/// A provider whose wrapped keys can be read: what is tested is who takes them.
#[derive(Clone)]
pub(super) struct Fake {
    scope: &'static str,
    pub(super) version: u32,
    pub(super) down: bool,
}

/// Why a fake provider does not help.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    Absent,
    Down,
    Randomness,
}

/// Why nothing was stored.
pub(super) type Refused = NoKey<Fault>;

pub(super) const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

impl World {
    pub(super) fn new() -> Self {
        let fake = |scope| Fake {
            scope,
            version: 1,
            down: false,
        };
        Self([("default", fake("s-1")), ("transit", fake("s-2"))].into())
    }

    pub(super) fn provider(&mut self, name: &str) -> &mut Fake {
        self.0.get_mut(name).unwrap()
    }

    /// What the object is once the request is done, and which rights that needed.
    pub(super) fn request(
        &self,
        stored: Option<&Object>,
        incoming: &Object,
        wish: &Wish<'_>,
    ) -> Result<(Object, Rights), Refused> {
        let stored = stored.map(Object::manifest);
        let examined = examine(stored, incoming.manifest(), wish).map_err(NoKey::Refused)?;
        let key = ready(examined.key(self))?;
        let changes = examined.seal(key.as_ref()).map_err(NoKey::Refused)?;
        let rights = examined.rights();
        let mut sealed = incoming.clone();
        sealed.change(changes);
        Ok((sealed, rights))
    }

    /// The same, for what anybody may do who may update.
    pub(super) fn put(&self, stored: Option<&Object>, incoming: &Object) -> Object {
        let (sealed, rights) = self.request(stored, incoming, &wish("default")).unwrap();
        assert!(!rights.restore);
        sealed
    }

    pub(super) fn store(&self, spec: Value) -> Object {
        self.put(None, &Object::new(spec))
    }

    /// The operator's reseal of a vault that should have this provider.
    pub(super) fn reseal(&self, stored: &Object, provider: &str) -> Result<Object, Refused> {
        let (sealed, rights) = self.request(Some(stored), &raised(stored), &operator(provider))?;
        assert_eq!(rights, Rights::default());
        Ok(sealed)
    }

    /// The operator's rewrap, with the primary key.
    pub(super) fn rewrapped(&self, stored: &Object) -> Object {
        let key = stored.data_key();
        let fake = &self.0[key.provider.as_str()];
        let binding = VaultBinding::new(fake.scope, "shop", &stored.name);
        let dek = ready(fake.unwrap(&binding, &key)).unwrap().unwrap();
        self.wrapping(stored, &dek)
    }

    /// With this data key under the stored one's id.
    pub(super) fn wrapping(&self, stored: &Object, dek: &Dek) -> Object {
        let key = stored.data_key();
        let fake = &self.0[key.provider.as_str()];
        let binding = VaultBinding::new(fake.scope, "shop", &stored.name);
        let wrapped = ready(fake.wrap(&binding, key.id.parse().unwrap(), dek)).unwrap();
        let mut wrapping = stored.clone();
        wrapping.spec["dataKey"]["keyId"] = json!(wrapped.key_id);
        wrapping.spec["dataKey"]["wrapped"] = json!(wrapped.wrapped);
        wrapping
    }

    /// Every secret value of a stored object.
    pub(super) fn values(&self, stored: &Object) -> BTreeMap<String, Vec<u8>> {
        let spec = stored.typed();
        let Some(key) = &spec.data_key else {
            return BTreeMap::new();
        };
        let fake = &self.0[key.provider.as_str()];
        let vault = VaultBinding::new(fake.scope, "shop", &stored.name);
        let dek = ready(fake.unwrap(&vault, key)).unwrap().unwrap();
        let secrets = spec.secrets().map(|(name, text)| {
            let envelope: Envelope = text.parse().unwrap();
            let value = envelope.open_with_dek(&dek, &vault.entry(name)).unwrap();
            (name.to_owned(), value.expose().to_vec())
        });
        secrets.collect()
    }
}

impl Object {
    pub(super) fn typed(&self) -> SecretVaultSpec {
        SecretVaultSpec::deserialize(&self.spec).unwrap()
    }

    pub(super) fn data_key(&self) -> DataKey {
        self.typed().data_key.unwrap()
    }

    /// This object with another field in its spec.
    pub(super) fn with(&self, field: &str, value: Value) -> Self {
        let mut changed = self.clone();
        changed.spec[field] = value;
        changed
    }
}

/// A request of anybody, for a vault that should have this provider.
pub(super) fn wish(provider: &str) -> Wish<'_> {
    Wish {
        provider,
        by_operator: false,
        now: NOW,
    }
}

pub(super) fn operator(provider: &str) -> Wish<'_> {
    Wish {
        by_operator: true,
        ..wish(provider)
    }
}

/// With the counter of data keys raised by one.
pub(super) fn raised(stored: &Object) -> Object {
    raised_by(stored, 1)
}

pub(super) fn raised_by(stored: &Object, steps: u32) -> Object {
    let mut raised = stored.clone();
    raised.spec["dataKey"]["rekey"] = json!(stored.data_key().rekey + steps);
    raised
}

impl KeyProviders for World {
    type Provider = Fake;

    async fn find(&self, name: &str) -> Result<Fake, Fault> {
        self.0.get(name).cloned().ok_or(Fault::Absent)
    }
}

impl KeyProvider for Fake {
    type Error = Fault;

    fn scope(&self) -> &str {
        self.scope
    }

    async fn wrap(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<WrappedKey, Fault> {
        if self.down {
            return Err(Fault::Down);
        }
        let payload = BASE64_STANDARD.encode(DataKeyPayload::encode(vault, id, dek).expose());
        Ok(WrappedKey {
            key_id: format!("v{}", self.version),
            wrapped: format!("v{}:{payload}", self.version),
        })
    }

    async fn unwrap(
        &self,
        vault: &VaultBinding<'_>,
        data_key: &DataKey,
    ) -> Result<Option<Dek>, Fault> {
        if self.down {
            return Err(Fault::Down);
        }
        let prefix = format!("{}:", data_key.key_id);
        let payload = data_key.wrapped.strip_prefix(&prefix);
        let payload = payload.and_then(|it| BASE64_STANDARD.decode(it).ok());
        let opened = payload
            .zip(data_key.id.parse().ok())
            .map(|(payload, id)| DataKeyPayload::decode(&Plaintext::from(payload), vault, id).ok());
        Ok(opened.flatten())
    }
}

impl From<NoRandomness> for Fault {
    fn from(_: NoRandomness) -> Self {
        Self::Randomness
    }
}

/// What a future comes to that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}
