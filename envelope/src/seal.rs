//! Sealing: pad, then encrypt under a key of the envelope's own.

use zeroize::Zeroizing;

use crate::binding::length_prefix;
use crate::key::SALT_LEN;
use crate::random::{self, RandomError};
use crate::{Binding, Dek, Envelope, Plaintext, SaltedBox};

/// Bytes of a value. Bounds what one entry costs every reader; etcd refuses not much more.
pub const MAX_VALUE_LEN: usize = 512 * 1024;

impl Envelope {
    /// Seals a value for one entry of one vault.
    ///
    /// # Errors
    /// The value is above [`MAX_VALUE_LEN`], or the kernel gave no random bytes.
    pub fn seal(dek: &Dek, binding: &Binding<'_>, value: &Plaintext) -> Result<Self, SealError> {
        let mut salt = [0; SALT_LEN];
        random::fill(&mut salt)?;
        Self::seal_with_salt(dek, binding, value, salt)
    }

    /// Seals with a given salt, for vectors. A salt must never be used for two values.
    pub(crate) fn seal_with_salt(
        dek: &Dek,
        binding: &Binding<'_>,
        value: &Plaintext,
        salt: [u8; SALT_LEN],
    ) -> Result<Self, SealError> {
        let padded = pad(value.expose())?;
        let context = binding.context();
        SaltedBox::seal_with_salt(dek.root(), &context, salt, &padded).map(Self::from_salted)
    }
}

/// Why a value was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No salt could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The value is larger than an entry may be.
    #[error("the value is larger than {limit} bytes")]
    TooLarge {
        /// The largest size that is sealed.
        limit: usize,
    },
}

/// Returns `u32(length) ‖ value ‖ zeros`.
fn pad(value: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if value.len() > MAX_VALUE_LEN {
        return Err(SealError::TooLarge {
            limit: MAX_VALUE_LEN,
        });
    }
    let length = padded_len(value.len());
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(&length_prefix(value.len()));
    padded.extend_from_slice(value);
    padded.resize(length, 0);
    Ok(padded)
}

/// Returns the size of a padded value.
pub(crate) const fn padded_len(value_len: usize) -> usize {
    value_len
        .saturating_add(LENGTH_LEN)
        .next_multiple_of(PADDING_STEP)
}

/// Bytes of the longest padded value.
pub(crate) const MAX_PADDED_LEN: usize = padded_len(MAX_VALUE_LEN);
pub(crate) const LENGTH_LEN: usize = 4;
pub(crate) const PADDING_STEP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_value_is_its_length_itself_and_zeros() {
        let padded = pad(b"hunter2").unwrap();
        assert_eq!(padded.len(), 64);
        assert_eq!(padded[..11], *b"\0\0\0\x07hunter2");
        assert_eq!(padded[11..], [0; 53]);
    }

    #[test]
    fn padding_ends_at_the_next_step_of_64() {
        for (value, padded) in [(0, 64), (1, 64), (59, 64), (60, 64), (61, 128), (124, 128)] {
            assert_eq!(pad(&vec![1; value]).unwrap().len(), padded, "{value}");
        }
    }

    #[test]
    fn padding_a_value_never_moves_its_buffer() {
        for value in [0, 60, 61, MAX_VALUE_LEN] {
            let padded = pad(&vec![1; value]).unwrap();
            assert_eq!(padded.capacity(), padded_len(value));
        }
    }

    #[test]
    fn a_value_is_sealed_up_to_512_kib_and_not_beyond() {
        let dek = Dek::from_bytes(&[7; 32]);
        let binding = Binding::new("scope", "shop", "app", "key");
        let largest = Plaintext::from(vec![1; MAX_VALUE_LEN]);
        let too_large = Plaintext::from(vec![1; MAX_VALUE_LEN + 1]);
        assert!(Envelope::seal(&dek, &binding, &largest).is_ok());
        let error = Envelope::seal(&dek, &binding, &too_large).unwrap_err();
        assert_eq!(error.to_string(), "the value is larger than 524288 bytes");
    }
}
