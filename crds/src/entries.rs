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
    /// update, by the schema's rule. Under a new data key the same values have other envelopes; that
    /// they are the same values is for whoever seals to see to.
    pub fn keeps_immutable(&self, before: &Self) -> bool {
        let part = |spec: &Self| {
            let public = (spec.public_data.clone(), spec.public_binary_data.clone());
            (public, spec.files.clone(), spec.file_defaults.clone())
        };
        let same_entries = self.data == before.data && self.binary_data == before.binary_data;
        let resealed = || self.has_other_data_key(before) && self.has_secret_names_of(before);
        before.immutable != Some(true)
            || self.immutable == Some(true)
                && part(self) == part(before)
                && (same_entries || resealed())
    }

    fn has_other_data_key(&self, before: &Self) -> bool {
        let keys = self.data_key.as_ref().zip(before.data_key.as_ref());
        keys.is_some_and(|(key, before)| key.id != before.id)
    }

    fn has_secret_names_of(&self, before: &Self) -> bool {
        self.data.keys().eq(before.data.keys())
            && self.binary_data.keys().eq(before.binary_data.keys())
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

    /// Which contents these are: whatever a pod finds in its files, and nothing else. Who may have
    /// it, what it is for and which key wraps it are not part of it; nor is it that the values were
    /// sealed anew.
    pub fn content_revision(&self) -> String {
        let stored = self.stored_revision();
        let resealed = self.data_key.as_ref().and_then(|it| it.resealed.as_ref());
        match resealed.filter(|resealed| resealed.to == stored) {
            Some(resealed) => resealed.from.clone(),
            None => stored,
        }
    }

    /// A digest of the entries as they are stored, and of how they land.
    pub fn stored_revision(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |text: &[u8]| {
            // With their lengths, texts cannot be divided in another way.
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        };
        for (name, text) in self.secrets() {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        for map in [&self.public_data, &self.public_binary_data] {
            add(b"public");
            for (name, text) in map {
                add(name.as_bytes());
                add(text.as_bytes());
            }
        }
        // They serialize: they came as JSON.
        add(&serde_json::to_vec(&self.files).unwrap_or_default());
        add(&serde_json::to_vec(&self.file_defaults).unwrap_or_default());
        digits(&digest.finalize())
    }

    /// Since which generation these contents are there, and which they are.
    pub fn content(
        &self,
        before: Option<&SecretVaultStatus>,
        generation: Option<i64>,
    ) -> (Option<i64>, String) {
        let revision = self.content_revision();
        let same = before.filter(|it| it.content_revision.as_deref() == Some(&revision));
        let since = same.and_then(|before| before.content_generation);
        (since.or(generation), revision)
    }
}

/// A moment as the API writes it.
pub fn whole_second(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Which stored text it is: an envelope, which is ciphertext, or a value that is no secret.
fn revision(stored: &str) -> String {
    digits(&Sha256::digest(stored.as_bytes()))
}

fn digits(digest: &[u8]) -> String {
    let bytes = digest.iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        data_key::{DataKey, Resealed},
        files::{FileDefaults, FileRule},
    };

    use super::*;

    fn spec() -> SecretVaultSpec {
        let mut spec = SecretVaultSpec::default();
        spec.data.insert("a".into(), "sv1:A".into());
        spec.public_data.insert("host".into(), "db".into());
        spec
    }

    fn changed(change: impl FnOnce(&mut SecretVaultSpec)) -> SecretVaultSpec {
        let mut spec = spec();
        change(&mut spec);
        spec
    }

    #[test]
    fn contents_are_entries_and_how_they_land_and_nothing_else() {
        let base = spec();
        let same = [
            changed(|spec| spec.description = Some("words".into())),
            changed(|spec| spec.access = Some(Vec::new())),
            changed(|spec| spec.data_key = Some(DataKey::default())),
        ];
        for spec in same {
            assert_eq!(spec.content_revision(), base.content_revision());
        }
        let others = [
            changed(|spec| drop(spec.data.insert("a".into(), "sv1:B".into()))),
            changed(|spec| drop(spec.data.insert("b".into(), "sv1:A".into()))),
            changed(|spec| drop(spec.public_data.insert("host".into(), "other".into()))),
            changed(|spec| {
                spec.public_binary_data = std::mem::take(&mut spec.public_data);
            }),
            changed(|spec| spec.file_defaults = Some(FileDefaults::default())),
            changed(|spec| spec.files.push(FileRule::default())),
        ];
        let revisions: std::collections::BTreeSet<String> = others
            .iter()
            .chain([&base])
            .map(SecretVaultSpec::content_revision)
            .collect();
        assert_eq!(revisions.len(), others.len() + 1);
    }

    /// The same values under another data key, as a reseal leaves them.
    fn resealed(before: &SecretVaultSpec, envelope: &str) -> SecretVaultSpec {
        let mut spec = before.clone();
        spec.data.insert("a".into(), envelope.into());
        spec.data_key = Some(DataKey {
            resealed: Some(Resealed {
                from: before.content_revision(),
                to: spec.stored_revision(),
            }),
            ..DataKey::default()
        });
        spec
    }

    #[test]
    fn values_that_are_sealed_anew_are_the_same_contents() {
        let base = spec();
        let once = resealed(&base, "sv1:B");
        let twice = resealed(&once, "sv1:C");
        for spec in [&once, &twice] {
            assert_ne!(spec.stored_revision(), base.stored_revision());
            assert_eq!(spec.content_revision(), base.content_revision());
        }
    }

    #[test]
    fn what_changes_after_a_reseal_is_another_content() {
        let base = spec();
        let once = resealed(&base, "sv1:B");
        let mut edited = once.clone();
        edited.data.insert("a".into(), "sv1:C".into());
        assert_eq!(edited.content_revision(), edited.stored_revision());
        assert_ne!(edited.content_revision(), base.content_revision());
        let mut moved = once.clone();
        moved.files.push(FileRule::default());
        assert_ne!(moved.content_revision(), base.content_revision());
        // Sealed anew once more, it is what it was after the edit.
        let again = resealed(&edited, "sv1:D");
        assert_eq!(again.content_revision(), edited.content_revision());
    }

    #[test]
    fn contents_are_as_old_as_the_generation_that_last_changed_them() {
        let (since, revision) = spec().content(None, Some(3));
        assert_eq!(since, Some(3));
        let before = SecretVaultStatus {
            content_generation: since,
            content_revision: Some(revision),
            ..SecretVaultStatus::default()
        };
        assert_eq!(spec().content(Some(&before), Some(4)).0, Some(3));
        let other = changed(|spec| drop(spec.data.insert("a".into(), "sv1:B".into())));
        assert_eq!(other.content(Some(&before), Some(5)).0, Some(5));
    }
}
