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
    /// The Transit server's certificate is not signed by those that the provider trusts, or not
    /// made for its address.
    BadCertificate,
    /// What the operator logs in with is not where the provider says, or is none.
    CredentialMissing,
    /// The keyring's file cannot be read.
    FileUnreadable,
    /// The Transit key was usable before, and is gone.
    KeyDeleted,
    /// The Transit engine has no such key.
    KeyMissing,
    /// The keyring is there but is not one.
    KeyringInvalid,
    /// There is no keyring at that place.
    KeyringMissing,
    /// The Transit server refuses the operator's login.
    LoginFailed,
    /// The Transit server's policy does not let the operator use the key.
    PermissionDenied,
    /// The Transit server is sealed, or not set up yet.
    Sealed,
    /// The Transit server answered with something that it should not have.
    ServerError,
    /// The Transit server no longer accepts the token that the provider was given.
    TokenRejected,
    /// The API server, or the Transit server, did not answer.
    Unreachable,
    /// The object names no backend that this version knows.
    Unsupported,
    /// The Transit key's `min_decryption_version` is above the version that a data key needs.
    VersionTooOld,
    /// The Transit server has no Transit engine at that path.
    WrongMount,
}

/// Why a data key could not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The wrapped key opens to something else, or not at all: never why.
    #[error("the vault's data key does not open")]
    DoesNotOpen,
    /// The provider is ready, but cannot do it with this data key.
    #[error("KeyProvider {provider} does not unwrap it: {fault}")]
    Failed {
        /// The provider's name.
        provider: String,
        /// What is wrong.
        #[source]
        fault: ProviderFault,
    },
    /// The providers' `migrateTo` lead round and round.
    #[error(
        "the KeyProviders move to one another in a circle: {chain}: take spec.migrateTo out of one \
         of them"
    )]
    MigratesInCircle {
        /// The names in their order: "a -> b -> a".
        chain: String,
    },
    /// The providers' `migrateTo` lead to one that is not there.
    #[error(
        "there is no KeyProvider {missing}, to which others move ({chain}): create it, or change \
         spec.migrateTo"
    )]
    MigratesNowhere {
        /// The names in their order, the missing one last.
        chain: String,
        /// The missing one.
        missing: String,
    },
    /// The providers' `migrateTo` lead on and on.
    #[error(
        "more than {limit} KeyProviders move to one another: {chain}: shorten the chain of \
         spec.migrateTo"
    )]
    MigratesTooFar {
        /// The names in their order.
        chain: String,
        /// The most steps that are followed.
        limit: usize,
    },
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
    /// The provider does not have the key that the data key was wrapped with.
    #[error(
        "KeyProvider {provider} has no key {key_id}: restore the keyring that holds it, or the Transit key"
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
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::BadCertificate,
        Self::CredentialMissing,
        Self::FileUnreadable,
        Self::KeyDeleted,
        Self::KeyMissing,
        Self::KeyringInvalid,
        Self::KeyringMissing,
        Self::LoginFailed,
        Self::PermissionDenied,
        Self::Sealed,
        Self::ServerError,
        Self::TokenRejected,
        Self::Unreachable,
        Self::Unsupported,
        Self::VersionTooOld,
        Self::WrongMount,
    ];

    /// The condition's reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadCertificate => "BadCertificate",
            Self::CredentialMissing => "CredentialMissing",
            Self::FileUnreadable => "FileUnreadable",
            Self::KeyDeleted => "KeyDeleted",
            Self::KeyMissing => "KeyMissing",
            Self::KeyringInvalid => "KeyringInvalid",
            Self::KeyringMissing => "KeyringMissing",
            Self::LoginFailed => "LoginFailed",
            Self::PermissionDenied => "PermissionDenied",
            Self::Sealed => "Sealed",
            Self::ServerError => "ServerError",
            Self::TokenRejected => "TokenRejected",
            Self::Unreachable => "Unreachable",
            Self::Unsupported => "Unsupported",
            Self::VersionTooOld => "VersionTooOld",
            Self::WrongMount => "WrongMount",
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
