//! One vault as this replica sees it: parsed once, when it arrives.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::DynamicObject;
use secretvault_crds::SecretVault;
use secretvault_vault::{Vault, VaultRef};
use tracing::warn;

/// What is there under a vault's name.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A vault to decide by.
    Readable(Arc<SeenVault>),
    /// An object that is no vault to this version of the operator. Nothing is released of it, and
    /// nothing that was is taken away.
    Unreadable {
        /// Namespace and name.
        reference: VaultRef,
        /// `metadata.uid`.
        uid: String,
        /// `metadata.generation`.
        generation: i64,
    },
}

/// A vault, as it is stored and as decisions see it.
#[derive(Debug)]
pub struct SeenVault {
    /// The object, without its managed fields.
    pub object: Arc<SecretVault>,
    /// Its checked form.
    pub vault: Vault,
}

impl Seen {
    /// Parses an object, whatever it holds.
    pub(super) fn parse(mut object: DynamicObject, before: Option<&Self>) -> Self {
        object.metadata.managed_fields = None;
        let unreadable = Self::unreadable(&object);
        match object.try_parse::<SecretVault>() {
            Ok(object) => Self::check(object, before),
            // The decoder's words may quote the object: they stay unsaid.
            Err(_) => unreadable.warned("the object does not decode", before),
        }
    }

    fn check(object: SecretVault, before: Option<&Self>) -> Self {
        match object.parse() {
            Ok(vault) => Self::Readable(Arc::new(SeenVault {
                object: Arc::new(object),
                vault,
            })),
            Err(error) => Self::unreadable(&object).warned(&error.to_string(), before),
        }
    }

    fn unreadable(object: &impl ResourceExt) -> Self {
        Self::Unreadable {
            reference: VaultRef::new(object.namespace().unwrap_or_default(), object.name_any()),
            uid: object.uid().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or_default(),
        }
    }

    /// Warns, unless this generation was already found unreadable.
    fn warned(self, reason: &str, before: Option<&Self>) -> Self {
        let known = before.is_some_and(|before| {
            matches!(before, Self::Unreadable { .. }) && before.version() == self.version()
        });
        if !known {
            let vault = self.reference();
            warn!(namespace = %vault.namespace, vault = %vault.name, reason, "vault is unreadable");
        }
        self
    }

    /// Namespace and name.
    pub fn reference(&self) -> VaultRef {
        match self {
            Self::Readable(seen) => seen.vault.reference.clone(),
            Self::Unreadable { reference, .. } => reference.clone(),
        }
    }

    /// `metadata.uid` and `metadata.generation`.
    pub fn version(&self) -> (&str, i64) {
        match self {
            Self::Readable(seen) => (&seen.vault.uid, seen.vault.generation),
            Self::Unreadable {
                uid, generation, ..
            } => (uid, *generation),
        }
    }

    /// Whether this is the vault with this UID, at this generation or a later one.
    pub fn is_at_least(&self, uid: &str, generation: i64) -> bool {
        let (seen_uid, seen_generation) = self.version();
        seen_uid == uid && seen_generation >= generation
    }
}

#[cfg(test)]
impl From<SecretVault> for Seen {
    fn from(object: SecretVault) -> Self {
        Self::check(object, None)
    }
}
