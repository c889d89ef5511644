//! A vault's data key and its id.

use std::fmt;
use std::str::FromStr;

use subtle::{Choice, ConstantTimeEq};

use crate::random::{self, RandomError};
use crate::{Binding, EntryKey, Envelope, RootKey};

/// A vault's data key: the root key of its envelopes.
///
/// Wiped on drop; no `Clone`, and a `Debug` that shows nothing. Compares in constant time.
#[derive(Eq, PartialEq)]
pub struct Dek(RootKey);

impl Dek {
    /// Makes a new data key.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        RootKey::generate().map(Self)
    }

    /// Copies a data key; the caller wipes `bytes`.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(RootKey::from_bytes(bytes))
    }

    /// Derives the key that opens this one envelope at this one place.
    pub fn entry_key(&self, binding: &Binding<'_>, envelope: &Envelope) -> EntryKey {
        self.0.derive(envelope.salted().salt(), &binding.context())
    }

    pub(crate) fn root(&self) -> &RootKey {
        &self.0
    }
}

impl ConstantTimeEq for Dek {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dek(..)")
    }
}

/// Names a data key. Not secret. Text: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DekId([u8; DEK_ID_LEN]);

impl DekId {
    /// Makes a random id.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        let mut id = [0; DEK_ID_LEN];
        random::fill(&mut id)?;
        Ok(Self(id))
    }

    /// Makes an id of its bytes.
    pub fn from_bytes(bytes: [u8; DEK_ID_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for DekId {
    type Err = InvalidDekId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text.len() == 2 * DEK_ID_LEN
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = canonical
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or(InvalidDekId)
    }
}

impl fmt::Display for DekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Text that is no data key id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a data key id is 32 lower-case hexadecimal digits")]
pub struct InvalidDekId;

pub(crate) const DEK_ID_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_data_key_shows_nothing() {
        assert_eq!(format!("{:?}", Dek::from_bytes(&[7; 32])), "Dek(..)");
        assert_eq!(format!("{:#?}", Dek::generate().unwrap()), "Dek(..)");
    }

    #[test]
    fn data_keys_are_equal_when_their_bytes_are() {
        assert_eq!(Dek::from_bytes(&[7; 32]), Dek::from_bytes(&[7; 32]));
        assert_ne!(Dek::generate().unwrap(), Dek::generate().unwrap());
    }

    #[test]
    fn an_id_keeps_its_leading_zeros_as_text() {
        let id = DekId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_has_one_spelling_only() {
        let refused = [
            "",
            "000102030405060708090a0b0c0d0ef",
            "000102030405060708090a0b0c0d0eff0",
            "000102030405060708090A0B0C0D0EFF",
            "+00102030405060708090a0b0c0d0eff",
            "000102030405060708090a0b0c0d0ef ",
            "0x0102030405060708090a0b0c0d0eff",
        ];
        for text in refused {
            assert_eq!(text.parse::<DekId>(), Err(InvalidDekId), "{text}");
        }
    }
}
