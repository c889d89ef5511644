//! A value that is open.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// An opened value, or one that is about to be sealed. Wiped on drop, spare capacity too.
///
/// Compares in constant time for values of one length.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Returns the value.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Plaintext {
    fn from(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }
}

impl From<Zeroizing<Vec<u8>>> for Plaintext {
    fn from(value: Zeroizing<Vec<u8>>) -> Self {
        Self(value)
    }
}

impl From<String> for Plaintext {
    fn from(value: String) -> Self {
        Self::from(value.into_bytes())
    }
}

impl From<&[u8]> for Plaintext {
    fn from(value: &[u8]) -> Self {
        Self::from(value.to_vec())
    }
}

impl ConstantTimeEq for Plaintext {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.expose().ct_eq(other.expose())
    }
}

impl PartialEq for Plaintext {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Plaintext {}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_value_nor_length() {
        assert_eq!(
            format!("{:?}", Plaintext::from(String::from("hunter2"))),
            "Plaintext(..)"
        );
        assert_eq!(
            format!("{:#?}", Plaintext::from(Vec::new())),
            "Plaintext(..)"
        );
    }

    #[test]
    fn values_are_equal_when_their_bytes_are() {
        assert_eq!(
            Plaintext::from(b"one".as_slice()),
            Plaintext::from(b"one".to_vec())
        );
        assert_ne!(
            Plaintext::from(b"one".as_slice()),
            Plaintext::from(b"two".as_slice())
        );
        assert_ne!(
            Plaintext::from(b"one".as_slice()),
            Plaintext::from(b"one ".as_slice())
        );
    }
}
