//! Wrapping data key payloads with the primary key, and unwrapping them with any.

use secretvault_envelope::{
    DataKeyPayload, Dek, DekId, Plaintext, RandomError, SaltedBox, SealError, VaultBinding,
};

use crate::{KeyId, Keyring};

/// Bytes of a payload that is wrapped. A vault's data key payload has at most a quarter of it.
pub const MAX_PAYLOAD_LEN: usize = 4096;

impl Keyring {
    /// Wraps a payload with the primary key.
    ///
    /// # Errors
    /// The payload is above [`MAX_PAYLOAD_LEN`], or the kernel gave no random bytes.
    pub fn wrap(&self, payload: &Plaintext) -> Result<Wrapped, WrapError> {
        let too_large = WrapError::TooLarge {
            limit: MAX_PAYLOAD_LEN,
        };
        if payload.expose().len() > MAX_PAYLOAD_LEN {
            return Err(too_large);
        }
        let key_id = self.primary.id;
        let context = self.context(key_id);
        match SaltedBox::seal(&self.primary.secret, &context, payload.expose()) {
            Ok(sealed) => Ok(Wrapped {
                key_id,
                wrapped: sealed.to_string(),
            }),
            Err(SealError::Random(error)) => Err(error.into()),
            Err(SealError::TooLarge { .. }) => Err(too_large),
        }
    }

    /// Unwraps what this keyring wrapped with the key of this id.
    ///
    /// # Errors
    /// The keyring has no such key, or the text does not open with it.
    pub fn unwrap(&self, key_id: &KeyId, wrapped: &str) -> Result<Plaintext, UnwrapError> {
        let key = self.keys().find(|key| key.id == *key_id);
        let key = key.ok_or(UnwrapError::UnknownKey(*key_id))?;
        let sealed = SaltedBox::decode(wrapped, SaltedBox::OVERHEAD + MAX_PAYLOAD_LEN)
            .map_err(|_| UnwrapError::DoesNotOpen)?;
        let opened = sealed.open(&key.secret, &self.context(key.id));
        opened.map_err(|_| UnwrapError::DoesNotOpen)
    }

    /// Wraps a vault's data key with the primary key. The payload says whose it is.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn wrap_data_key(
        &self,
        vault: &VaultBinding<'_>,
        id: DekId,
        dek: &Dek,
    ) -> Result<Wrapped, WrapError> {
        self.wrap(&DataKeyPayload::encode(vault, id, dek))
    }

    /// Unwraps a vault's data key, with the texts that the vault's object has.
    ///
    /// # Errors
    /// The keyring has no such key, the text does not open with it, or what it holds is another
    /// vault's data key or one of another id.
    pub fn unwrap_data_key(
        &self,
        vault: &VaultBinding<'_>,
        id: &str,
        key_id: &str,
        wrapped: &str,
    ) -> Result<Dek, UnwrapError> {
        let key_id: KeyId = key_id.parse().map_err(|_| UnwrapError::DoesNotOpen)?;
        let payload = self.unwrap(&key_id, wrapped)?;
        let id: DekId = id.parse().map_err(|_| UnwrapError::DoesNotOpen)?;
        DataKeyPayload::decode(&payload, vault, id).map_err(|_| UnwrapError::DoesNotOpen)
    }

    fn context(&self, key_id: KeyId) -> Vec<u8> {
        secretvault_envelope::context(LOCAL_WRAP_LABEL, &[self.id(), &key_id.to_string()])
    }
}

/// A payload under a key of the keyring. Not secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrapped {
    /// The key that unwraps it.
    pub key_id: KeyId,
    /// The wrapped payload, canonical base64url.
    pub wrapped: String,
}

/// Why a payload was not unwrapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnwrapError {
    /// The text does not open with the key; never why.
    #[error("does not open")]
    DoesNotOpen,
    /// The keyring has no key of this id.
    #[error("the keyring has no key {0}")]
    UnknownKey(KeyId),
}

/// Why a payload was not wrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// No salt could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The payload is larger than any that unwraps.
    #[error("the payload is larger than {limit} bytes")]
    TooLarge {
        /// The largest size that is wrapped.
        limit: usize,
    },
}

const LOCAL_WRAP_LABEL: &str = "secretvault/local-wrap/v1";

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_was_wrapped_unwraps() {
        let keyring = keyring();
        let wrapped = keyring.wrap(&payload()).unwrap();
        assert_eq!(wrapped.key_id, *keyring.primary_id());
        assert_eq!(
            keyring.unwrap(&wrapped.key_id, &wrapped.wrapped),
            Ok(payload())
        );
    }

    #[test]
    fn what_was_wrapped_unwraps_after_a_rotation() {
        let mut keyring = keyring();
        let wrapped = keyring.wrap(&payload()).unwrap();
        let new = Keyring::generate(Timestamp::UNIX_EPOCH).unwrap().primary;
        let old = std::mem::replace(&mut keyring.primary, new);
        keyring.others.push(old);
        assert_eq!(
            keyring.unwrap(&wrapped.key_id, &wrapped.wrapped),
            Ok(payload())
        );
        assert_ne!(keyring.wrap(&payload()).unwrap().key_id, wrapped.key_id);
    }

    #[test]
    fn a_key_that_the_keyring_lacks_is_named() {
        let keyring = keyring();
        let wrapped = keyring.wrap(&payload()).unwrap();
        let unknown: KeyId = "00000000000000aa".parse().unwrap();
        let error = keyring.unwrap(&unknown, &wrapped.wrapped).unwrap_err();
        assert_eq!(error, UnwrapError::UnknownKey(unknown));
        assert_eq!(error.to_string(), "the keyring has no key 00000000000000aa");
    }

    #[test]
    fn another_keyring_with_the_same_key_and_key_id_does_not_unwrap() {
        let keyring = keyring();
        let wrapped = keyring.wrap(&payload()).unwrap();
        let Keyring {
            primary, others, ..
        } = keyring;
        let other = Keyring {
            id: "f".repeat(32),
            primary,
            others,
        };
        let error = other.unwrap(&wrapped.key_id, &wrapped.wrapped).unwrap_err();
        assert_eq!(error, UnwrapError::DoesNotOpen);
    }

    #[test]
    fn a_data_key_comes_back_for_its_own_vault_and_id_alone() {
        let keyring = keyring();
        let (dek, id) = (Dek::generate().unwrap(), DekId::generate().unwrap());
        let vault = VaultBinding::new(keyring.id(), "shop", "app");
        let Wrapped { key_id, wrapped } = keyring.wrap_data_key(&vault, id, &dek).unwrap();
        let unwrap = |name: &str, id: &str, key_id: &str| {
            let vault = VaultBinding::new(keyring.id(), "shop", name);
            keyring.unwrap_data_key(&vault, id, key_id, &wrapped)
        };
        let (id, key_id) = (id.to_string(), key_id.to_string());
        assert_eq!(unwrap("app", &id, &key_id), Ok(dek));
        let other = DekId::generate().unwrap().to_string();
        for (name, id, key_id) in [
            ("other", &id, &key_id),
            ("app", &other, &key_id),
            ("app", &"x".to_owned(), &key_id),
            ("app", &id, &"x".to_owned()),
        ] {
            let refused = unwrap(name, id, key_id);
            assert_eq!(
                refused,
                Err(UnwrapError::DoesNotOpen),
                "{name} {id} {key_id}"
            );
        }
    }

    #[test]
    fn wrapping_twice_gives_two_texts() {
        let keyring = keyring();
        assert_ne!(
            keyring.wrap(&payload()).unwrap(),
            keyring.wrap(&payload()).unwrap()
        );
    }

    #[test]
    fn a_payload_is_wrapped_up_to_4_kib() {
        let keyring = keyring();
        let largest = Plaintext::from(vec![1; MAX_PAYLOAD_LEN]);
        let wrapped = keyring.wrap(&largest).unwrap();
        assert_eq!(
            keyring.unwrap(&wrapped.key_id, &wrapped.wrapped),
            Ok(largest)
        );
        let too_large = keyring.wrap(&Plaintext::from(vec![1; MAX_PAYLOAD_LEN + 1]));
        assert!(matches!(
            too_large.unwrap_err(),
            WrapError::TooLarge {
                limit: MAX_PAYLOAD_LEN
            }
        ));
    }

    fn keyring() -> Keyring {
        Keyring::generate(Timestamp::UNIX_EPOCH).unwrap()
    }

    fn payload() -> Plaintext {
        Plaintext::from(b"payload".as_slice())
    }
}
