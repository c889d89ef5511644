//! An envelope as text.

use std::fmt;
use std::str::FromStr;

use crate::SaltedBox;
use crate::seal::{MAX_PADDED_LEN, PADDING_STEP};

/// A sealed value. Not secret; its `Debug` is short, so that logs are.
///
/// `FromStr` takes the canonical text only, so two envelopes are equal exactly when their texts
/// are.
#[derive(Clone, Eq, PartialEq)]
pub struct Envelope(SaltedBox);

impl Envelope {
    pub(crate) fn from_salted(salted: SaltedBox) -> Self {
        Self(salted)
    }

    pub(crate) fn salted(&self) -> &SaltedBox {
        &self.0
    }
}

impl FromStr for Envelope {
    type Err = InvalidEnvelope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidEnvelope)?;
        let salted = SaltedBox::decode(encoded, MAX_BOX_LEN).map_err(|_| InvalidEnvelope)?;
        let padded = salted.plaintext_len();
        if padded == 0 || !padded.is_multiple_of(PADDING_STEP) {
            return Err(InvalidEnvelope);
        }
        Ok(Self(salted))
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(sv1)")
    }
}

/// Tells whether a text claims to be sealed: an envelope, or sealed for Git. It may still be
/// malformed or not open.
pub fn looks_sealed(text: &str) -> bool {
    text.starts_with(PREFIX) || text.starts_with(GIT_PREFIX)
}

/// Text that is no envelope of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an envelope: \"sv1:\" and canonical base64url of a whole envelope expected")]
pub struct InvalidEnvelope;

/// Bytes of the longest envelope's text.
pub const MAX_ENVELOPE_LEN: usize = PREFIX.len() + (MAX_BOX_LEN * 4).div_ceil(3);

const PREFIX: &str = "sv1:";
const GIT_PREFIX: &str = "git1:";
const MAX_BOX_LEN: usize = SaltedBox::OVERHEAD + MAX_PADDED_LEN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Dek, MAX_VALUE_LEN, Plaintext};

    #[test]
    fn an_envelope_is_read_back_from_its_text() {
        let sealed = seal(7);
        assert_eq!(sealed.to_string().parse(), Ok(sealed));
    }

    #[test]
    fn the_longest_envelope_is_as_long_as_documented() {
        let text = seal(MAX_VALUE_LEN).to_string();
        assert_eq!(text.len(), MAX_ENVELOPE_LEN);
        assert_eq!(MAX_ENVELOPE_LEN, 699_204);
        assert!(text.parse::<Envelope>().is_ok());
        let longer = format!("sv1:{}", "A".repeat((MAX_BOX_LEN + 64) * 4 / 3 + 1));
        assert_eq!(longer.parse::<Envelope>(), Err(InvalidEnvelope));
    }

    #[test]
    fn only_a_box_of_whole_steps_of_64_is_read() {
        for padded in [0, 1, 63, 65, 127] {
            let text = format!("sv1:{}", base64url(SaltedBox::OVERHEAD + padded));
            assert_eq!(text.parse::<Envelope>(), Err(InvalidEnvelope), "{padded}");
        }
        for padded in [64, 128] {
            let text = format!("sv1:{}", base64url(SaltedBox::OVERHEAD + padded));
            assert!(text.parse::<Envelope>().is_ok(), "{padded}");
        }
    }

    #[test]
    fn debug_of_an_envelope_shows_no_length() {
        assert_eq!(format!("{:?}", seal(7)), "Envelope(sv1)");
        assert_eq!(format!("{:#?}", seal(700)), "Envelope(sv1)");
    }

    #[test]
    fn every_value_within_one_step_makes_a_text_of_one_length() {
        let length = |value| seal(value).to_string().len();
        assert_eq!(length(0), length(60));
        assert_ne!(length(60), length(61));
    }

    #[test]
    fn a_text_looks_sealed_by_its_prefix_alone() {
        assert!(looks_sealed("sv1:"));
        assert!(looks_sealed("git1:AAAA"));
        for plain in ["", "sv1", "sv2:AAAA", " sv1:AAAA", "SV1:AAAA", "git:AAAA"] {
            assert!(!looks_sealed(plain), "{plain}");
        }
    }

    /// Spells so many zero bytes.
    fn base64url(length: usize) -> String {
        "A".repeat((length * 4).div_ceil(3))
    }

    fn seal(length: usize) -> Envelope {
        let binding = Binding::new("scope", "shop", "app", "key");
        let value = Plaintext::from(vec![1; length]);
        Envelope::seal(&Dek::from_bytes(&[7; 32]), &binding, &value).unwrap()
    }
}
