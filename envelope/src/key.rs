//! Root keys, from which keys are derived, and entry keys, each of which opens one box.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::OpenError;
use crate::random::{self, RandomError};

/// 256 secret bits that never encrypt by themselves: a data key, or a key of a keyring.
///
/// Wiped on drop; no `Clone`, and a `Debug` that shows nothing. Compares in constant time.
#[derive(ZeroizeOnDrop)]
pub struct RootKey(Box<[u8; ROOT_KEY_LEN]>);

impl RootKey {
    /// Makes a key of 32 random bytes.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        let mut key = Self(Box::new([0; ROOT_KEY_LEN]));
        random::fill(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// Copies a key; the caller wipes `bytes`.
    pub fn from_bytes(bytes: &[u8; ROOT_KEY_LEN]) -> Self {
        let mut key = Box::new([0; ROOT_KEY_LEN]);
        key.copy_from_slice(bytes);
        Self(key)
    }

    /// Returns the key.
    pub fn expose(&self) -> &[u8; ROOT_KEY_LEN] {
        &self.0
    }

    /// Derives the key and the nonce of the one box with this salt and context.
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA256 gives up to 8160 bytes, 44 are asked for"
    )]
    pub(crate) fn derive(&self, salt: &[u8; SALT_LEN], context: &[u8]) -> EntryKey {
        let (mut pseudorandom_key, hkdf) = Hkdf::<Sha256>::extract(Some(salt), self.0.as_slice());
        pseudorandom_key.as_mut_slice().zeroize();
        let mut derived = EntryKey(Box::new([0; ENTRY_KEY_LEN]));
        hkdf.expand(context, derived.0.as_mut_slice())
            .expect("44 bytes are at most 8160");
        scrub_stack();
        derived
    }
}

impl ConstantTimeEq for RootKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl PartialEq for RootKey {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for RootKey {}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// The key and the nonce of one envelope: what is released to a node. Opens this envelope only.
///
/// Wiped on drop; no `Clone`, and a `Debug` that shows nothing.
#[derive(ZeroizeOnDrop)]
pub struct EntryKey(Box<[u8; ENTRY_KEY_LEN]>);

impl EntryKey {
    /// Returns key and nonce, 44 bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Encrypts `buffer` in place and returns the tag, or `None` beyond what GCM can encrypt.
    pub(crate) fn encrypt(&self, context: &[u8], buffer: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let (cipher, nonce) = self.cipher()?;
        let tag = cipher.encrypt_inout_detached(&nonce, context, buffer.into());
        drop(cipher);
        scrub_stack();
        tag.ok().map(Into::into)
    }

    /// Decrypts `buffer` in place; on an error it is still encrypted.
    pub(crate) fn decrypt(
        &self,
        context: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        let (cipher, nonce) = self.cipher().ok_or(OpenError)?;
        let opened =
            cipher.decrypt_inout_detached(&nonce, context, buffer.into(), &Tag::from(*tag));
        drop(cipher);
        scrub_stack();
        opened.map_err(|_| OpenError)
    }

    fn cipher(&self) -> Option<(Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>)> {
        let (key, nonce) = self.0.split_first_chunk::<ROOT_KEY_LEN>()?;
        let cipher = Aes256Gcm::new(<&Key<Aes256Gcm>>::from(key));
        Some((cipher, Nonce::try_from(nonce).ok()?))
    }
}

impl TryFrom<&[u8]> for EntryKey {
    type Error = EntryKeyLength;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        let bytes: &[u8; ENTRY_KEY_LEN] = bytes.try_into().map_err(|_| EntryKeyLength)?;
        let mut key = Box::new([0; ENTRY_KEY_LEN]);
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }
}

impl fmt::Debug for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryKey(..)")
    }
}

/// An entry key that is not 44 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an entry key is 44 bytes")]
pub struct EntryKeyLength;

/// Overwrites the stack below its caller, where the cryptographic crates leave blocks of keys and
/// values: a thread that waits for work afterwards would keep them all the while.
#[inline(never)]
fn scrub_stack() {
    std::hint::black_box(&mut [0_u8; SCRUBBED]);
}

/// Bytes of stack: more than HKDF and AES-GCM use, also when they are not optimised.
const SCRUBBED: usize = 32 * 1024;

pub(crate) const ROOT_KEY_LEN: usize = 32;
pub(crate) const SALT_LEN: usize = 32;
pub(crate) const TAG_LEN: usize = 16;

/// AES-256 key and 96-bit nonce.
const ENTRY_KEY_LEN: usize = 32 + 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_keys_shows_nothing() {
        let root = RootKey::from_bytes(&[7; 32]);
        assert_eq!(format!("{root:?}"), "RootKey(..)");
        assert_eq!(
            format!("{:#?}", root.derive(&[1; 32], b"context")),
            "EntryKey(..)"
        );
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(RootKey::generate().unwrap(), RootKey::generate().unwrap());
    }

    #[test]
    fn another_salt_or_context_derives_another_key_and_nonce() {
        let root = RootKey::from_bytes(&[7; 32]);
        let first = root.derive(&[1; 32], b"context");
        for other in [
            root.derive(&[2; 32], b"context"),
            root.derive(&[1; 32], b"contexT"),
        ] {
            assert_ne!(first.expose()[..32], other.expose()[..32]);
            assert_ne!(first.expose()[32..], other.expose()[32..]);
        }
    }

    #[test]
    fn an_entry_key_is_read_from_exactly_44_bytes() {
        assert_eq!(
            EntryKey::try_from([1; 44].as_slice()).unwrap().expose(),
            [1; 44]
        );
        for length in [0, 32, 43, 45] {
            let bytes = vec![1; length];
            assert_eq!(
                EntryKey::try_from(bytes.as_slice()).unwrap_err(),
                EntryKeyLength
            );
        }
    }
}
