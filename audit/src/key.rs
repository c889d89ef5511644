//! The key that signs checkpoints, and the one that verifies them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hash::from_hex;

/// What a signing key is made of: 32 random bytes. Wiped on drop; no `Debug`, `Clone` or `Serialize`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A new one.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate() -> Result<Self, NotAKey> {
        let mut seed = Self([0; 32]);
        rand::fill(&mut seed.0).map_err(|_| NotAKey::Random)?;
        Ok(seed)
    }

    /// The bytes, to be stored.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Seed {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Seed {
    type Error = NotAKey;

    fn try_from(bytes: &[u8]) -> Result<Self, NotAKey> {
        bytes.try_into().map(Self).map_err(|_| NotAKey::Seed)
    }
}

/// Signs checkpoints. No `Debug` shows it, and it is no `Clone` or `Serialize`.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key of this seed.
    ///
    /// # Errors
    /// The seed makes no key.
    pub fn from_seed(seed: &Seed) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed.0).map_err(|_| NotAKey::Seed)?;
        let public = pair.public_key().as_ref().try_into();
        Ok(Self {
            public: PublicKey(public.map_err(|_| NotAKey::Seed)?),
            pair,
        })
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        // One that could not be made is zeros, and does not verify.
        if let Ok(signature) = self.pair.try_sign(message)
            && signature.as_ref().len() == SIGNATURE_LEN
        {
            bytes.copy_from_slice(signature.as_ref());
        }
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

/// Verifies checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----` as of `openssl pkey -pubout`, of an Ed25519 key.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn from_pem(text: &str) -> Result<Self, NotAKey> {
        let body = text.trim().strip_prefix(BEGIN);
        let body = body.and_then(|body| body.strip_suffix(END));
        let body: String = body.ok_or(NotAKey::Pem)?.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(body).map_err(|_| NotAKey::Pem)?;
        let key = bytes.strip_prefix(&SPKI);
        let key = key.and_then(|key| key.try_into().ok());
        key.map(Self).ok_or(NotAKey::Pem)
    }

    /// The same as text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let body = BASE64_STANDARD.encode([&SPKI[..], &self.0].concat());
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(self.0).into();
        KeyId([a, b, c, d, e, f, g, h])
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(message, signature).is_ok()
    }
}

/// The name of a key: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct KeyId([u8; 8]);

impl FromStr for KeyId {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        from_hex(text).map(Self).ok_or(NotAKey::Id)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// No name of a key.
    #[error("no id of a key: 16 hexadecimal digits in lower case are one")]
    Id,
    /// No public key.
    #[error("no public Ed25519 key in PEM: {BEGIN}")]
    Pem,
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
    /// No private key.
    #[error("no private Ed25519 key: 32 bytes are one")]
    Seed,
}

pub(crate) const SIGNATURE_LEN: usize = 64;

/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_read_as_it_is_written_and_as_openssl_writes_it() {
        let key = SigningKey::from_seed(&Seed::from([7; 32])).unwrap();
        assert_eq!(
            PublicKey::from_pem(&key.public().to_pem()).as_ref(),
            Ok(key.public())
        );
        let folded = key.public().to_pem().replace("MCow", "\r\nMC\r\now");
        assert_eq!(PublicKey::from_pem(&folded).as_ref(), Ok(key.public()));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let pem = SigningKey::from_seed(&Seed::from([7; 32])).unwrap();
        let pem = pem.public().to_pem();
        let private = pem.replace("PUBLIC", "PRIVATE");
        let other = pem.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu"); // X25519
        for text in ["", &pem[1..], &private, &other, &pem.replace("MCow", "")] {
            assert_eq!(PublicKey::from_pem(text), Err(NotAKey::Pem), "{text}");
        }
    }

    #[test]
    fn debug_shows_the_keys_name_only() {
        let key = SigningKey::from_seed(&Seed::from([7; 32])).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.id()));
    }
}
