//! Opening: decrypt, then take the padding off. Why an envelope did not open is never told.

use zeroize::Zeroizing;

use crate::seal::{LENGTH_LEN, padded_len};
use crate::{Binding, Dek, EntryKey, Envelope, Plaintext};

impl Envelope {
    /// Opens with the one key that was released for this envelope: the node agent's way.
    ///
    /// # Errors
    /// It does not open.
    pub fn open(&self, key: &EntryKey, binding: &Binding<'_>) -> Result<Plaintext, OpenError> {
        let padded = self.salted().open_with(key, &binding.context())?;
        unpad(padded.expose())
    }

    /// Opens with the vault's data key: the operator's way.
    ///
    /// # Errors
    /// It does not open.
    pub fn open_with_dek(&self, dek: &Dek, binding: &Binding<'_>) -> Result<Plaintext, OpenError> {
        self.open(&dek.entry_key(binding, self), binding)
    }
}

/// Something sealed does not open. It says nothing else: an attacker learns nothing from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("does not open")]
pub struct OpenError;

/// Returns the value of a padded one, if its padding is the one that sealing makes.
fn unpad(padded: &[u8]) -> Result<Plaintext, OpenError> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_LEN>().ok_or(OpenError)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| OpenError)?;
    let (value, padding) = rest.split_at_checked(length).ok_or(OpenError)?;
    if padded.len() != padded_len(length) || padding.iter().any(|byte| *byte != 0) {
        return Err(OpenError);
    }
    Ok(Plaintext::from(Zeroizing::new(value.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_either_way() {
        let sealed = seal(b"hunter2");
        let key = dek().entry_key(&binding(), &sealed);
        assert_eq!(sealed.open(&key, &binding()).unwrap().expose(), b"hunter2");
        assert_eq!(
            sealed.open_with_dek(&dek(), &binding()).unwrap().expose(),
            b"hunter2"
        );
    }

    #[test]
    fn an_empty_value_survives() {
        assert_eq!(
            seal(b"")
                .open_with_dek(&dek(), &binding())
                .unwrap()
                .expose(),
            b""
        );
    }

    #[test]
    fn an_envelope_moved_anywhere_does_not_open() {
        let sealed = seal(b"hunter2");
        let moved = [
            Binding::new("other", "shop", "app", "db/password"),
            Binding::new("scope", "batch", "app", "db/password"),
            Binding::new("scope", "shop", "web", "db/password"),
            Binding::new("scope", "shop", "app", "cache/password"),
        ];
        for place in moved {
            assert_eq!(sealed.open_with_dek(&dek(), &place).unwrap_err(), OpenError);
            let key = dek().entry_key(&binding(), &sealed);
            assert_eq!(sealed.open(&key, &place).unwrap_err(), OpenError);
        }
    }

    #[test]
    fn an_entry_key_does_not_open_the_entrys_next_value() {
        let (last, next) = (seal(b"hunter2"), seal(b"hunter3"));
        let key = dek().entry_key(&binding(), &last);
        assert_eq!(next.open(&key, &binding()).unwrap_err(), OpenError);
    }

    #[test]
    fn another_data_key_does_not_open() {
        let sealed = seal(b"hunter2");
        let other = Dek::from_bytes(&[8; 32]);
        assert_eq!(
            sealed.open_with_dek(&other, &binding()).unwrap_err(),
            OpenError
        );
    }

    #[test]
    fn the_error_never_says_why() {
        assert_eq!(OpenError.to_string(), "does not open");
        assert_eq!(format!("{OpenError:?}"), "OpenError");
    }

    #[test]
    fn only_the_shortest_zero_padding_is_taken_off() {
        assert!(unpad(&padded(60, 64)).is_ok());
        for (length, total) in [
            (60, 128),
            (0, 128),
            (61, 64),
            (u32::MAX, 64),
            (0, 0),
            (0, 3),
        ] {
            assert_eq!(
                unpad(&padded(length, total)).unwrap_err(),
                OpenError,
                "{length} {total}"
            );
        }
        for index in 4 + 7..64 {
            let mut dirty = padded(7, 64);
            dirty[index] = 1;
            assert_eq!(unpad(&dirty).unwrap_err(), OpenError, "{index}");
        }
    }

    fn padded(length: u32, total: usize) -> Vec<u8> {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.resize(total, 0);
        bytes
    }

    fn seal(value: &[u8]) -> Envelope {
        Envelope::seal(&dek(), &binding(), &Plaintext::from(value)).unwrap()
    }

    fn dek() -> Dek {
        Dek::from_bytes(&[7; 32])
    }

    fn binding() -> Binding<'static> {
        Binding::new("scope", "shop", "app", "db/password")
    }
}
