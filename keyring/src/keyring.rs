//! A keyring, and how one is made.

use std::collections::BTreeSet;
use std::{fmt, iter, mem};

use jiff::Timestamp;
use secretvault_envelope::{RandomError, RootKey};
use zeroize::Zeroizing;

use crate::MAX_KEYS;
use crate::key::{InvalidKeyText, KEY_TEXT_LEN, Key, KeyId, decode_key, push_key, random_bytes};

/// The keys of the local provider. Wiped on drop; `Debug` shows ids only.
pub struct Keyring {
    pub(crate) id: String,
    pub(crate) primary: Key,
    pub(crate) others: Vec<Key>,
}

impl Keyring {
    /// Makes a keyring with one new key.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate(now: Timestamp) -> Result<Self, RandomError> {
        Self::of(RootKey::generate()?, now)
    }

    /// Makes a keyring around one's own key; the caller wipes `key`.
    ///
    /// The keyring and its key get new ids, so it unwraps nothing that another keyring wrapped.
    ///
    /// # Errors
    /// The kernel gave no random bytes for the ids.
    pub fn import(key: &[u8; 32], now: Timestamp) -> Result<Self, RandomError> {
        Self::of(RootKey::from_bytes(key), now)
    }

    /// Like [`Keyring::import`], from the text that `openssl rand -base64 32` prints.
    ///
    /// # Errors
    /// The text is not canonical base64 of 32 bytes, or the kernel gave no random bytes.
    pub fn import_base64(text: &str, now: Timestamp) -> Result<Self, ImportError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        Ok(Self::of(decode_key(line)?, now)?)
    }

    /// Makes a new key and has it wrap from now on. The others go on unwrapping.
    ///
    /// # Errors
    /// The keyring is full, or the kernel gave no random bytes.
    pub fn rotate(&mut self, now: Timestamp) -> Result<(), RotateError> {
        if self.keys().count() >= MAX_KEYS {
            return Err(RotateError::Full);
        }
        let next = Key::new(RootKey::generate()?, now)?;
        let last = mem::replace(&mut self.primary, next);
        self.others.insert(0, last);
        Ok(())
    }

    /// Takes out every key but the primary that `in_use` does not name. What they wrapped is lost
    /// with them. Returns their ids.
    pub fn retire(&mut self, in_use: &BTreeSet<KeyId>) -> Vec<KeyId> {
        let (kept, retired) = mem::take(&mut self.others)
            .into_iter()
            .partition::<Vec<_>, _>(|key| in_use.contains(&key.id));
        self.others = kept;
        retired.iter().map(|key| key.id).collect()
    }

    /// Takes out one key. What it wrapped is lost with it.
    ///
    /// # Errors
    /// It is the primary key, or there is none of this id. Then nothing changed.
    pub fn retire_one(&mut self, id: &KeyId) -> Result<(), RetireError> {
        if self.primary.id == *id {
            return Err(RetireError::Primary);
        }
        let place = self.others.iter().position(|key| key.id == *id);
        self.others.remove(place.ok_or(RetireError::Unknown)?);
        Ok(())
    }

    /// Returns the keyring's own id: the scope of what it wraps.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the id of the key that wraps.
    pub fn primary_id(&self) -> &KeyId {
        &self.primary.id
    }

    /// Returns the ids of all keys, the primary first.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys().map(|key| key.id)
    }

    /// Returns the ids of all keys and when they were made, the primary first, then by age, the
    /// youngest first.
    pub fn keys_made(&self) -> impl Iterator<Item = (KeyId, Timestamp)> {
        let mut others: Vec<_> = self.others.iter().map(|it| (it.id, it.created)).collect();
        others.sort_by_key(|(id, created)| (std::cmp::Reverse(*created), *id));
        let primary = (self.primary.id, self.primary.created);
        iter::once(primary).chain(others)
    }

    /// Returns when the key was made that wraps.
    pub fn primary_created(&self) -> Timestamp {
        self.primary.created
    }

    /// Returns the primary key as base64, for a safe. It is the key itself.
    pub fn export_primary(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(KEY_TEXT_LEN));
        push_key(&mut text, &self.primary.secret);
        text
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        iter::once(&self.primary).chain(&self.others)
    }

    fn of(secret: RootKey, now: Timestamp) -> Result<Self, RandomError> {
        let id = format!("{:032x}", random_bytes().map(u128::from_be_bytes)?);
        Ok(Self {
            id,
            primary: Key::new(secret, now)?,
            others: Vec::new(),
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("id", &self.id)
            .field("primary", &self.primary.id)
            .field("keys", &self.keys().count())
            .finish_non_exhaustive()
    }
}

/// Why a keyring got no new key.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// It has as many keys as it may.
    #[error("the keyring has {MAX_KEYS} keys, the most that it may have: retire some")]
    Full,
    /// No key could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Why a key was not taken out of a keyring.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RetireError {
    /// It wraps new data keys.
    #[error("it is the primary key, which wraps new data keys: rotate first")]
    Primary,
    /// The keyring has no such key.
    #[error("the keyring has no such key")]
    Unknown,
}

/// Why no keyring was made around one's own key.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is not 32 bytes.
    #[error(transparent)]
    Key(#[from] InvalidKeyText),
    /// No ids could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

#[cfg(test)]
mod tests {
    use secretvault_envelope::Plaintext;

    use super::*;

    #[test]
    fn debug_of_a_keyring_shows_ids_only() {
        let mut keyring = Keyring::import(&[7; 32], Timestamp::UNIX_EPOCH).unwrap();
        keyring.id = "6f1c0a4be2d94f1a8b7de06b5a0c9e31".to_owned();
        keyring.primary.id = "9d3f5a1c7b2e4860".parse().unwrap();
        assert_eq!(
            format!("{keyring:?}"),
            "Keyring { id: \"6f1c0a4be2d94f1a8b7de06b5a0c9e31\", primary: 9d3f5a1c7b2e4860, keys: 1, .. }"
        );
    }

    #[test]
    fn an_imported_key_is_exported_again() {
        let text = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let keyring = Keyring::import_base64(text, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(keyring.export_primary().as_str(), text);
    }

    #[test]
    fn a_key_of_another_length_is_not_imported() {
        let error = Keyring::import_base64("c2hvcnQ=", Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a key is base64 of 32 bytes, 44 characters; make one with: openssl rand -base64 32"
        );
    }

    #[test]
    fn a_rotated_keyring_wraps_with_a_new_key_and_unwraps_with_the_old() {
        let mut keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let (scope, old) = (keyring.id().to_owned(), *keyring.primary_id());
        let wrapped = keyring.wrap(&Plaintext::from(b"x".as_slice())).unwrap();
        keyring.rotate(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(keyring.id(), scope);
        assert_ne!(*keyring.primary_id(), old);
        assert!(keyring.unwrap(&wrapped.key_id, &wrapped.wrapped).is_ok());
        assert_eq!(keyring.retire(&[old].into()), []);
        assert_eq!(keyring.retire(&BTreeSet::new()), [old]);
        assert!(keyring.unwrap(&wrapped.key_id, &wrapped.wrapped).is_err());
        assert_eq!(keyring.key_ids().count(), 1, "the primary stays");
    }

    #[test]
    fn one_key_is_retired_and_never_the_primary() {
        let mut keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let first = *keyring.primary_id();
        keyring.rotate(Timestamp::UNIX_EPOCH).unwrap();
        let second = *keyring.primary_id();
        keyring.rotate(Timestamp::UNIX_EPOCH).unwrap();
        let primary = *keyring.primary_id();
        assert_eq!(keyring.retire_one(&primary), Err(RetireError::Primary));
        assert_eq!(keyring.retire_one(&first), Ok(()));
        assert_eq!(keyring.retire_one(&first), Err(RetireError::Unknown));
        assert_eq!(keyring.key_ids().collect::<Vec<_>>(), [primary, second]);
    }

    #[test]
    fn ages_are_told_with_the_primary_first_and_the_oldest_last() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut keyring = Keyring::generate(at(5)).unwrap();
        let first = *keyring.primary_id();
        keyring.rotate(at(9)).unwrap();
        let second = *keyring.primary_id();
        keyring.rotate(at(1)).unwrap();
        let primary = *keyring.primary_id();
        assert_eq!(
            keyring.keys_made().collect::<Vec<_>>(),
            [(primary, at(1)), (second, at(9)), (first, at(5))]
        );
        assert_eq!(keyring.primary_created(), at(1));
    }

    #[test]
    fn a_full_keyring_gets_no_further_key() {
        let mut keyring = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        for _ in 1..MAX_KEYS {
            keyring.rotate(Timestamp::UNIX_EPOCH).unwrap();
        }
        let refused = keyring.rotate(Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Err(RotateError::Full)), "{refused:?}");
    }

    #[test]
    fn generated_keyrings_share_nothing() {
        let generate = || Keyring::generate(Timestamp::UNIX_EPOCH).unwrap();
        let (one, two) = (generate(), generate());
        assert_ne!(one.id(), two.id());
        assert_ne!(one.primary_id(), two.primary_id());
        assert_ne!(one.export_primary(), two.export_primary());
    }
}
