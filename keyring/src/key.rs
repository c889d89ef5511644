//! One key of a keyring, its id and its text.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secretvault_envelope::{RandomError, RootKey};
use zeroize::Zeroizing;

/// A key that wraps data keys. The secret part is a [`RootKey`], which wipes itself.
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) secret: RootKey,
    pub(crate) created: Timestamp,
}

impl Key {
    /// Gives a new key its id.
    pub(crate) fn new(secret: RootKey, created: Timestamp) -> Result<Self, RandomError> {
        Ok(Self {
            id: KeyId::generate()?,
            secret,
            created,
        })
    }
}

/// Names a key of a keyring. Not secret. Text: 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(u64);

impl KeyId {
    fn generate() -> Result<Self, RandomError> {
        random_bytes().map(u64::from_be_bytes).map(Self)
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = is_hexadecimal(text, 16).then(|| u64::from_str_radix(text, 16).ok());
        number.flatten().map(Self).ok_or(InvalidKeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no key id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key id is 16 lower-case hexadecimal digits")]
pub struct InvalidKeyId;

/// Text that is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a key is base64 of 32 bytes, 44 characters; make one with: openssl rand -base64 32")]
pub struct InvalidKeyText;

/// Returns bytes from the kernel's generator, for ids.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Tells whether `text` is `length` lower-case hexadecimal digits.
pub(crate) fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads a key from canonical base64.
pub(crate) fn decode_key(text: &str) -> Result<RootKey, InvalidKeyText> {
    if text.len() != KEY_TEXT_LEN {
        return Err(InvalidKeyText);
    }
    let mut bytes = Zeroizing::new([0; KEY_LEN + 1]);
    let written = BASE64_STANDARD.decode_slice(text, bytes.as_mut_slice());
    match (written, bytes.first_chunk()) {
        (Ok(KEY_LEN), Some(key)) => Ok(RootKey::from_bytes(key)),
        _ => Err(InvalidKeyText),
    }
}

/// Appends a key as base64. The caller has reserved the room, so that no copy is left behind.
pub(crate) fn push_key(text: &mut Zeroizing<String>, key: &RootKey) {
    let mut encoded = Zeroizing::new([0; KEY_TEXT_LEN]);
    let written = BASE64_STANDARD.encode_slice(key.expose(), encoded.as_mut_slice());
    debug_assert!(matches!(written, Ok(KEY_TEXT_LEN)));
    text.extend(encoded.iter().map(|byte| char::from(*byte)));
}

/// Characters of a key as text.
pub(crate) const KEY_TEXT_LEN: usize = 44;
const KEY_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text() {
        let key = RootKey::generate().unwrap();
        let mut text = Zeroizing::new(String::with_capacity(KEY_TEXT_LEN));
        push_key(&mut text, &key);
        assert_eq!(decode_key(&text), Ok(key));
    }

    #[test]
    fn a_key_has_one_length_and_one_spelling() {
        let refused = [
            "",
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", // without its padding
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw==", // 31 bytes
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH", // 33 bytes
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=", // unused bits not zero
            "_wcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", // the alphabet for URLs
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n", // a line's end
        ];
        for text in refused {
            assert_eq!(decode_key(text), Err(InvalidKeyText), "{text}");
        }
        assert!(decode_key("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").is_ok());
    }

    #[test]
    fn a_key_id_has_one_spelling() {
        let id: KeyId = "00aa5a1c7b2e4860".parse().unwrap();
        assert_eq!(id.to_string(), "00aa5a1c7b2e4860");
        for text in [
            "",
            "00AA5A1C7B2E4860",
            "00aa5a1c7b2e486",
            "+0aa5a1c7b2e4860",
            "00aa5a1c7b2e48600",
        ] {
            assert_eq!(text.parse::<KeyId>(), Err(InvalidKeyId), "{text}");
        }
    }
}
