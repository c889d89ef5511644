//! How objects are, as labels.

use prometheus_client::encoding::EncodeLabelValue;

/// How a key provider is: the reason of its condition `Ready`.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum KeyProviderState {
    /// Its server's certificate is not trusted.
    BadCertificate,
    /// What the operator logs in with is not there.
    CredentialMissing,
    /// Its keyring's file cannot be read.
    FileUnreadable,
    /// Its Transit key was there, and is gone.
    KeyDeleted,
    /// Its Transit key is not there.
    KeyMissing,
    /// Its keyring is none.
    KeyringInvalid,
    /// Its keyring is not there.
    KeyringMissing,
    /// It can wrap and unwrap, with a keyring.
    KeyringReady,
    /// Its server refuses the login.
    LoginFailed,
    /// Its server refuses the use of the key.
    PermissionDenied,
    /// Its server is sealed.
    Sealed,
    /// Its server answers what it should not.
    ServerError,
    /// Its server refuses the token.
    TokenRejected,
    /// It can wrap and unwrap, with a Transit key.
    TransitReady,
    /// What it is cannot be told: the API server does not answer.
    Unknown,
    /// Its server does not answer.
    Unreachable,
    /// This version does not know its kind.
    Unsupported,
    /// Its server decrypts no version that old any more.
    VersionTooOld,
    /// Its server has no Transit engine there.
    WrongMount,
}

impl KeyProviderState {
    pub(super) const ALL: [Self; 19] = [
        Self::BadCertificate,
        Self::CredentialMissing,
        Self::FileUnreadable,
        Self::KeyDeleted,
        Self::KeyMissing,
        Self::KeyringInvalid,
        Self::KeyringMissing,
        Self::KeyringReady,
        Self::LoginFailed,
        Self::PermissionDenied,
        Self::Sealed,
        Self::ServerError,
        Self::TokenRejected,
        Self::TransitReady,
        Self::Unknown,
        Self::Unreachable,
        Self::Unsupported,
        Self::VersionTooOld,
        Self::WrongMount,
    ];
}

/// How a vault is: the reason of its condition `Ready`.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum VaultState {
    /// Some entry does not open.
    Damaged,
    /// It has no entries.
    Empty,
    /// Its key cannot be had.
    KeyUnavailable,
    /// Every secret entry opens.
    Sealed,
}

impl VaultState {
    pub(super) const ALL: [Self; 4] = [
        Self::Damaged,
        Self::Empty,
        Self::KeyUnavailable,
        Self::Sealed,
    ];
}
