//! One command's view of the machine: where things are, and what time it is.

use std::path::PathBuf;

use anyhow::{Context, bail};
use jiff::Timestamp;
use secretvault_vault::VaultRef;

use crate::{
    command::PlaceArgs,
    keys::{self, Kept, KeyringLock, Keys},
    object::Object,
    place, run,
    sealing::{self, Outcome},
    selection::similar,
    store::{Store, Stored, Writing},
};

/// What every command needs.
#[derive(Debug)]
pub struct Session {
    store: Option<PathBuf>,
    keyring: Option<PathBuf>,
    /// The namespace of vaults that are named without one.
    pub namespace: String,
    /// The moment of the command.
    pub now: Timestamp,
}

impl Session {
    /// Takes the arguments.
    pub fn new(place: PlaceArgs) -> Self {
        Self {
            store: place.store,
            keyring: place.keyring,
            namespace: place.namespace,
            now: Timestamp::now(),
        }
    }

    /// Where the vaults are.
    ///
    /// # Errors
    /// Nobody says, and there is no home directory.
    pub fn store_path(&self) -> anyhow::Result<PathBuf> {
        Ok(place::store(self.store.as_deref())?)
    }

    /// Where the keyring is.
    ///
    /// # Errors
    /// Nobody says, and there is no home directory.
    pub fn keyring_path(&self) -> anyhow::Result<PathBuf> {
        Ok(place::keyring(self.keyring.as_deref())?)
    }

    /// The store.
    ///
    /// # Errors
    /// There is none.
    pub fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.store_path()?)?)
    }

    /// The keyring.
    ///
    /// # Errors
    /// There is none, or it is not to be trusted.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        Ok(Keys::new(keys::load(&self.keyring_path()?)?))
    }

    /// The keyring, to wrap with: it stays as it is while the second part lives. Taken after the
    /// store's lock.
    ///
    /// # Errors
    /// As of [`Self::keys`]; or somebody is replacing it.
    pub fn keys_to_write(&self) -> anyhow::Result<(Keys, KeyringLock)> {
        let Kept { keyring, lock } = keys::keep(&self.keyring_path()?, false)?;
        Ok((Keys::new(keyring), lock))
    }

    /// Whether the keyring was named for this command, and is not just the usual one.
    pub fn names_keyring(&self) -> bool {
        self.keyring.is_some() || self.store.is_none()
    }

    /// Reads `[namespace/]name`.
    ///
    /// # Errors
    /// It is no name.
    pub fn vault(&self, text: &str) -> anyhow::Result<VaultRef> {
        Ok(VaultRef::parse(&self.namespace, text)?)
    }

    /// Reads the name of a stored vault, and the vault.
    ///
    /// # Errors
    /// There is no such vault.
    pub fn existing(&self, store: &Store, text: &str) -> anyhow::Result<Stored> {
        let vault = self.vault(text)?;
        if let Some(stored) = store.read(&vault)? {
            return Ok(stored);
        }
        match similar(store, &vault) {
            Some(similar) => bail!("there is no vault {vault}: did you mean {similar}?"),
            None => bail!("there is no vault {vault}: `secretvault list` shows those that are"),
        }
    }

    /// Seals an object over the stored one, stores it, and says so.
    ///
    /// # Errors
    /// It is refused, or cannot be written.
    pub fn put(
        &self,
        writing: &Writing<'_>,
        keys: &Keys,
        stored: Option<&Object>,
        incoming: Object,
    ) -> anyhow::Result<Outcome> {
        let vault = incoming.reference();
        let sealed = sealing::seal(stored, incoming, keys, self.now);
        let (sealed, outcome) = sealed.with_context(|| format!("vault {vault} is refused"))?;
        if outcome != Outcome::Unchanged {
            writing.write(&sealed)?;
        }
        Ok(outcome)
    }

    /// Brings what changed into the commands that run. The change itself is stored already, so what
    /// cannot be brought there is told, and is no failure.
    pub fn changed(&self, store: &Store, keys: Option<&Keys>) {
        run::update::refresh(self, store, keys);
    }
}
