//! Why a volume gets nothing: every refusal, and the protocol's reason for it.

use secretvault_delivery::v1::{Denial, Reason};
use secretvault_vault::plan::Refusal;
use secretvault_vault::request::RequestError;
use secretvault_vault::{EntryName, FilePath, PlaceholderError, VaultRef};
use thiserror::Error;

use super::asked::AskedError;
use super::identity::IdentityError;
use super::pod::PodError;
use crate::keys::KeyError;

/// Why one volume is denied. The text is for the pod's Event: it says what to do, holds no value,
/// and tells nothing of namespaces that the pod may not see.
#[derive(Debug, Error)]
pub(super) enum Denied {
    /// What the agent says of the volume cannot be true.
    #[error("the node agent's request cannot be read: {0}")]
    Asked(#[from] AskedError),
    /// We have not seen yet what the volume shows already.
    #[error("vault {vault}: this operator replica has not seen its last change yet, try again")]
    Behind { vault: VaultRef },
    /// A stored text that is neither an envelope nor a public value.
    #[error("vault {vault}: the stored form of entry {entry} is damaged: apply its value again")]
    DamagedEntry { vault: VaultRef, entry: EntryName },
    /// The wrapped data key is not this vault's.
    #[error(
        "vault {vault}: its data key does not open: restore spec.dataKey and the keyring from one \
         and the same backup, or delete the vault and apply it again"
    )]
    DamagedKey { vault: VaultRef },
    /// The token proves less than it must, or something else.
    #[error("the pod's token is rejected: {0}")]
    Identity(#[from] IdentityError),
    /// The key provider cannot help now.
    #[error("vault {vault}: no usable key: {error}")]
    Key { vault: VaultRef, error: KeyError },
    /// The key provider does not answer.
    #[error("vault {vault}: no usable key: the KeyProvider {provider} did not answer in time")]
    KeyTimeout { vault: VaultRef, provider: String },
    /// Sealed entries, and nothing to open them with.
    #[error(
        "vault {vault}: spec.dataKey is missing: restore it from a backup, or delete the vault \
         and apply it again"
    )]
    NoDataKey { vault: VaultRef },
    /// A path variable that cannot be filled in.
    #[error("volume attribute {0}")]
    Placeholder(#[from] PlaceholderError),
    /// The pod does not live, or not there.
    #[error("{0}")]
    Pod(#[from] PodError),
    /// The decision's own refusals.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The volume's attributes cannot be read.
    #[error("volume attribute {0}")]
    Request(#[from] RequestError),
    /// A value sealed for Git.
    #[error(
        "vault {vault}: entry {entry} is sealed for Git, which this version does not open: apply \
         its plain value"
    )]
    SealedForGit { vault: VaultRef, entry: EntryName },
    /// More than one message can carry.
    #[error(
        "the volume's files have more than {} MiB together: choose fewer with items, or use \
         several volumes",
        limit / (1024 * 1024)
    )]
    TooLarge { limit: usize },
    /// An object that this version cannot read.
    #[error("vault {vault} cannot be read by this version of the operator: see its status")]
    Unreadable { vault: VaultRef },
}

impl Denied {
    /// The reason that the agent acts by.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Asked(_) | Self::Placeholder(_) | Self::Request(_) | Self::TooLarge { .. } => {
                Reason::InvalidRequest
            }
            Self::Behind { .. } => Reason::Behind,
            Self::DamagedEntry { .. }
            | Self::DamagedKey { .. }
            | Self::NoDataKey { .. }
            | Self::SealedForGit { .. }
            | Self::Unreadable { .. } => Reason::Damaged,
            Self::Identity(error) => identity_reason(*error),
            Self::Key { .. } | Self::KeyTimeout { .. } => Reason::KeyUnavailable,
            Self::Pod(_) => Reason::PodMismatch,
            Self::Refusal(refusal) => refusal_reason(refusal),
        }
    }

    /// The key error of a vault, told apart: a key that is not there now, or never will be.
    pub(super) fn of_key(vault: &VaultRef, error: KeyError) -> Self {
        let vault = vault.clone();
        match error {
            KeyError::DoesNotOpen => Self::DamagedKey { vault },
            KeyError::Failed { .. }
            | KeyError::MigratesInCircle { .. }
            | KeyError::MigratesNowhere { .. }
            | KeyError::MigratesTooFar { .. }
            | KeyError::NoProvider { .. }
            | KeyError::NotReady { .. }
            | KeyError::Randomness
            | KeyError::UnknownKey { .. } => Self::Key { vault, error },
        }
    }
}

/// A denial, and what it takes away all the same.
#[derive(Debug)]
pub(super) struct Denying {
    pub(super) why: Denied,
    /// Held files that the pod may not have any more.
    pub(super) withdrawn: Vec<FilePath>,
}

impl From<Denied> for Denying {
    fn from(why: Denied) -> Self {
        Self {
            why,
            withdrawn: Vec::new(),
        }
    }
}

impl From<&Denying> for Denial {
    fn from(denying: &Denying) -> Self {
        Self {
            reason: denying.why.reason().into(),
            message: denying.why.to_string(),
            withdrawn: denying.withdrawn.iter().map(FilePath::to_string).collect(),
        }
    }
}

fn identity_reason(error: IdentityError) -> Reason {
    match error {
        IdentityError::OtherNode => Reason::PodMismatch,
        IdentityError::Claim(_)
        | IdentityError::NotAServiceAccount
        | IdentityError::NotAuthenticated
        | IdentityError::NotTheAgent
        | IdentityError::OtherAudience
        | IdentityError::OtherPod(_) => Reason::TokenRejected,
    }
}

fn refusal_reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Behind { .. } => Reason::Behind,
        Refusal::Forbidden { .. } => Reason::Forbidden,
        Refusal::NotFound { .. } => Reason::NotFound,
        Refusal::AccessTooLarge { .. }
        | Refusal::ItemsTooLarge
        | Refusal::PathCollision { .. }
        | Refusal::PrefixTooLong { .. } => Reason::InvalidRequest,
    }
}
