//! How objects are, as labels.

use prometheus_client::encoding::EncodeLabelValue;

use super::closed;

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

closed!(
    KeyProviderState: BadCertificate,
    CredentialMissing,
    FileUnreadable,
    KeyDeleted,
    KeyMissing,
    KeyringInvalid,
    KeyringMissing,
    KeyringReady,
    LoginFailed,
    PermissionDenied,
    Sealed,
    ServerError,
    TokenRejected,
    TransitReady,
    Unknown,
    Unreachable,
    Unsupported,
    VersionTooOld,
    WrongMount,
);

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

closed!(VaultState: Damaged, Empty, KeyUnavailable, Sealed);
