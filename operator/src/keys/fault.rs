use secretvault_keyring::{KeyringError, UnwrapError, WrapError};
use secretvault_seal::NoRandomness;

/// Why a provider is not usable. Holds no key material; safe for conditions and messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderFault {
    /// For the condition, and as a metric label.
    pub reason: KeyFault,
    /// For a person: the object, and the remedy.
    pub message: String,
}

/// The closed set of reasons for which a provider is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFault {
    /// The keyring's file cannot be read.
    FileUnreadable,
    /// The keyring is there but is not one.
    KeyringInvalid,
    /// There is no keyring at that place.
    KeyringMissing,
    /// The API server did not answer.
    Unreachable,
    /// The object names no backend that this version knows.
    Unsupported,
}

/// Why a data key could not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The wrapped key opens to something else, or not at all: never why.
    #[error("the vault's data key does not open")]
    DoesNotOpen,
    /// There is no such `KeyProvider`.
    #[error("there is no KeyProvider {provider}: create it, or name another in spec.keyProvider")]
    NoProvider {
        /// The name that was asked for.
        provider: String,
    },
    /// The provider has a fault.
    #[error("KeyProvider {provider} is not ready: {fault}")]
    NotReady {
        /// The provider's name.
        provider: String,
        /// What is wrong with it.
        #[source]
        fault: ProviderFault,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gave no random bytes")]
    Randomness,
    /// The keyring does not hold the key that the data key was wrapped with.
    #[error(
        "the keyring of KeyProvider {provider} has no key {key_id}: restore the keyring that holds it"
    )]
    UnknownKey {
        /// The provider's name.
        provider: String,
        /// The missing key's id.
        key_id: String,
    },
}

impl ProviderFault {
    /// A fault with its message.
    pub fn new(reason: KeyFault, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(super) fn invalid(place: &str, error: &KeyringError) -> Self {
        Self::new(
            KeyFault::KeyringInvalid,
            format!("{place} does not hold a keyring: {error}"),
        )
    }
}

impl KeyFault {
    /// The condition's reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileUnreadable => "FileUnreadable",
            Self::KeyringInvalid => "KeyringInvalid",
            Self::KeyringMissing => "KeyringMissing",
            Self::Unreachable => "Unreachable",
            Self::Unsupported => "Unsupported",
        }
    }
}

impl KeyError {
    pub(super) fn from_unwrap(provider: &str, error: UnwrapError) -> Self {
        match error {
            UnwrapError::DoesNotOpen => Self::DoesNotOpen,
            UnwrapError::UnknownKey(key_id) => Self::UnknownKey {
                provider: provider.to_owned(),
                key_id: key_id.to_string(),
            },
        }
    }
}

impl From<NoRandomness> for KeyError {
    fn from(_: NoRandomness) -> Self {
        Self::Randomness
    }
}

impl From<WrapError> for KeyError {
    fn from(_: WrapError) -> Self {
        Self::Randomness
    }
}
