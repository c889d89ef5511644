//! The construction under both formats: `salt ‖ ciphertext ‖ tag`.

use std::fmt;

use base64::Engine;
use base64::display::Base64Display;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::key::{EntryKey, RootKey, SALT_LEN, TAG_LEN};
use crate::random;
use crate::seal::MAX_PADDED_LEN;
use crate::{OpenError, Plaintext, SealError};

/// A plaintext, encrypted under a key of its own. Text: canonical base64url without padding.
#[derive(Clone, Eq, PartialEq)]
pub struct SaltedBox {
    salt: [u8; SALT_LEN],
    ciphertext: Vec<u8>,
    tag: [u8; TAG_LEN],
}

impl SaltedBox {
    /// Bytes of a box beyond those of its plaintext.
    pub const OVERHEAD: usize = SALT_LEN + TAG_LEN;

    /// Seals `plaintext` with a random salt.
    ///
    /// # Errors
    /// The plaintext is longer than the longest padded value, or the kernel gave no random bytes.
    pub fn seal(root: &RootKey, context: &[u8], plaintext: &[u8]) -> Result<Self, SealError> {
        let mut salt = [0; SALT_LEN];
        random::fill(&mut salt)?;
        Self::seal_with_salt(root, context, salt, plaintext)
    }

    /// Seals `plaintext` with a given salt. A salt must never be used for two plaintexts.
    pub(crate) fn seal_with_salt(
        root: &RootKey,
        context: &[u8],
        salt: [u8; SALT_LEN],
        plaintext: &[u8],
    ) -> Result<Self, SealError> {
        let too_large = SealError::TooLarge {
            limit: MAX_PADDED_LEN,
        };
        if plaintext.len() > MAX_PADDED_LEN {
            return Err(too_large);
        }
        let mut buffer = Zeroizing::new(plaintext.to_vec());
        let key = root.derive(&salt, context);
        let tag = key.encrypt(context, &mut buffer).ok_or(too_large)?;
        Ok(Self {
            salt,
            ciphertext: std::mem::take(&mut *buffer),
            tag,
        })
    }

    /// Reads a box of at most `limit` bytes.
    ///
    /// # Errors
    /// The text is not canonical base64url, or the box is shorter than salt and tag or longer than
    /// `limit`; lengths are checked before anything is allocated.
    pub fn decode(text: &str, limit: usize) -> Result<Self, NotCanonical> {
        let length = decoded_len(text)?;
        if length < Self::OVERHEAD || length > limit {
            return Err(NotCanonical);
        }
        let mut bytes = vec![0; length];
        let written = BASE64_URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .map_err(|_| NotCanonical)?;
        let (salt, rest) = bytes.split_first_chunk().ok_or(NotCanonical)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(NotCanonical)?;
        if written != length {
            return Err(NotCanonical);
        }
        Ok(Self {
            salt: *salt,
            ciphertext: ciphertext.to_vec(),
            tag: *tag,
        })
    }

    /// Opens the box.
    ///
    /// # Errors
    /// It does not open.
    pub fn open(&self, root: &RootKey, context: &[u8]) -> Result<Plaintext, OpenError> {
        self.open_with(&root.derive(&self.salt, context), context)
    }

    pub(crate) fn open_with(&self, key: &EntryKey, context: &[u8]) -> Result<Plaintext, OpenError> {
        let mut buffer = Zeroizing::new(self.ciphertext.clone());
        key.decrypt(context, &mut buffer, &self.tag)?;
        Ok(Plaintext::from(buffer))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [self.salt.as_slice(), &self.ciphertext, &self.tag].concat()
    }

    pub(crate) fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    pub(crate) fn plaintext_len(&self) -> usize {
        self.ciphertext.len()
    }
}

impl fmt::Display for SaltedBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.to_bytes(), &BASE64_URL_SAFE_NO_PAD).fmt(f)
    }
}

impl fmt::Debug for SaltedBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaltedBox(..)")
    }
}

/// Text that no box has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not canonical base64url of a permitted length")]
pub struct NotCanonical;

/// Returns how many bytes a text of this length decodes to, without decoding it.
fn decoded_len(text: &str) -> Result<usize, NotCanonical> {
    let whole = (text.len() / 4).checked_mul(3).ok_or(NotCanonical)?;
    match text.len() % 4 {
        0 => Ok(whole),
        2 => Ok(whole + 1),
        3 => Ok(whole + 2),
        _ => Err(NotCanonical),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_plaintext_opens_under_its_key_and_context_only() {
        let root = RootKey::from_bytes(&[7; 32]);
        let sealed = SaltedBox::seal(&root, b"here", b"hunter2").unwrap();
        assert_eq!(sealed.open(&root, b"here").unwrap().expose(), b"hunter2");
        assert_eq!(sealed.open(&root, b"there").unwrap_err(), OpenError);
        assert_eq!(
            sealed
                .open(&RootKey::from_bytes(&[8; 32]), b"here")
                .unwrap_err(),
            OpenError
        );
    }

    #[test]
    fn sealing_twice_gives_two_boxes() {
        let root = RootKey::from_bytes(&[7; 32]);
        let seal = || SaltedBox::seal(&root, b"here", b"hunter2").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_box_is_read_up_to_its_limit_and_no_further() {
        let root = RootKey::from_bytes(&[7; 32]);
        let text = SaltedBox::seal(&root, b"here", b"four")
            .unwrap()
            .to_string();
        assert!(SaltedBox::decode(&text, 52).is_ok());
        assert_eq!(SaltedBox::decode(&text, 51), Err(NotCanonical));
    }

    #[test]
    fn text_shorter_than_salt_and_tag_is_no_box() {
        for length in 0..64 {
            assert_eq!(
                SaltedBox::decode(&"A".repeat(length), 1000),
                Err(NotCanonical)
            );
        }
        assert!(SaltedBox::decode(&"A".repeat(64), 1000).is_ok());
    }

    #[test]
    fn a_flood_of_text_is_refused_before_it_is_decoded() {
        let flood = "!".repeat(1 << 20);
        assert_eq!(SaltedBox::decode(&flood, 1000), Err(NotCanonical));
    }
}
