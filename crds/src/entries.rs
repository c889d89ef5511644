//! A stored vault's entries: where each of them stands, and what the status says of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use crate::secret_vault::{EntryKind, EntryStatus, SecretVaultSpec, SecretVaultStatus};

impl SecretVaultSpec {
    /// The secret entries and their texts, sorted by name within each map.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.data.iter().chain(&self.binary_data);
        entries.map(|(name, text)| (name.as_str(), text.expose()))
    }

    /// A secret entry's text: an envelope, once it is stored.
    pub fn secret(&self, entry: &str) -> Option<&str> {
        let text = self.data.get(entry);
        let text = text.or_else(|| self.binary_data.get(entry))?;
        Some(text.expose())
    }

    /// A public entry's value. `None`: there is none, or it is not base64 where it should be.
    pub fn public(&self, entry: &str) -> Option<Vec<u8>> {
        match self.public_data.get(entry) {
            Some(text) => Some(text.clone().into_bytes()),
            None => {
                let text = self.public_binary_data.get(entry)?;
                BASE64_STANDARD.decode(text).ok()
            }
        }
    }

    /// Whether this may follow a spec that is immutable: the API server asks the same of every
    /// update, by the schema's rule.
    pub fn keeps_immutable(&self, before: &Self) -> bool {
        let part = |spec: &Self| {
            let entries = (spec.data.clone(), spec.binary_data.clone());
            let public = (spec.public_data.clone(), spec.public_binary_data.clone());
            (
                entries,
                public,
                spec.files.clone(),
                spec.file_defaults.clone(),
            )
        };
        before.immutable != Some(true) || self.immutable == Some(true) && part(self) == part(before)
    }

    /// What the status says of the entries, by name. Since when a value is there is kept from
    /// `before` while its stored text is the same.
    pub fn entry_statuses(
        &self,
        before: Option<&SecretVaultStatus>,
        now: Timestamp,
    ) -> Vec<EntryStatus> {
        let before = before.map_or(&[][..], |before| &before.entries);
        let before = before.iter().map(|entry| (entry.name.as_str(), entry));
        let known: BTreeMap<&str, &EntryStatus> = before.collect();
        let key_id = self.data_key.as_ref().map(|key| &key.key_id);
        let since = |name: &str, revision: &str, at: fn(&EntryStatus) -> &Option<Time>| {
            let known = known.get(name);
            let same = known.filter(|known| known.revision.as_deref() == Some(revision));
            let since = same.and_then(|known| at(known).clone());
            Some(since.unwrap_or_else(|| whole_second(now)))
        };
        let secret = self.secrets().map(|(name, envelope)| {
            let revision = revision(envelope);
            EntryStatus {
                name: name.to_owned(),
                kind: EntryKind::Secret,
                key_id: key_id.cloned(),
                sealed_at: since(name, &revision, |known| &known.sealed_at),
                changed_at: None,
                revision: Some(revision),
            }
        });
        let public = self.public_data.iter().chain(&self.public_binary_data);
        let public = public.map(|(name, value)| {
            let revision = revision(value);
            EntryStatus {
                name: name.clone(),
                kind: EntryKind::Public,
                key_id: None,
                sealed_at: None,
                changed_at: since(name, &revision, |known| &known.changed_at),
                revision: Some(revision),
            }
        });
        let mut statuses: Vec<EntryStatus> = secret.chain(public).collect();
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        statuses
    }
}

/// A moment as the API writes it.
pub fn whole_second(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Which stored text it is: an envelope, which is ciphertext, or a value that is no secret.
fn revision(stored: &str) -> String {
    let digest = Sha256::digest(stored.as_bytes());
    let digits = digest.iter().take(8);
    digits.map(|byte| format!("{byte:02x}")).collect()
}
