//! Why there is no grant.

use std::{error::Error as _, io, time::Duration};

use secretvault_delivery::v1::{Denial, Reason as WireReason};
use secretvault_vault::FilePath;
use tonic::{Code, Status};

/// A release that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The operator does not accept this node agent.
    #[error("the operator does not accept this node agent: {0}")]
    AgentRejected(String),
    /// Our own token or our way to the operator is not set up.
    #[error("cannot read the node agent's own token")]
    AgentToken(#[source] io::Error),
    /// An answer from before the one that we hold.
    #[error("the operator's answer about vault {vault} is older than what the volume holds")]
    Behind {
        /// `namespace/name`.
        vault: String,
    },
    /// The operator says no, and why.
    #[error("{message}")]
    Denied {
        /// Its kind.
        reason: DenialReason,
        /// For the pod's Event.
        message: String,
        /// Held files that go all the same.
        withdrawn: Vec<FilePath>,
    },
    /// An envelope did not open: never why.
    #[error("entry {entry} of vault {vault} does not open: apply it anew, or restore the vault")]
    DoesNotOpen {
        /// `namespace/name`.
        vault: String,
        /// The entry's name.
        entry: String,
    },
    /// The answer is not what was agreed.
    #[error("the operator's answer makes no sense: {0}")]
    Malformed(&'static str),
    /// No answer in time.
    #[error("the operator did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The operator is there, and cannot serve.
    #[error("the operator cannot serve: {0}")]
    Unavailable(String),
    /// The answer about several volumes is larger than one answer may be: not so about each.
    #[error("the operator's answer about several volumes is too large")]
    TooLarge,
    /// There is no way to it.
    #[error("cannot reach the operator: {0}")]
    Unreachable(String),
}

/// The reasons of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// The replica has not seen this generation yet.
    Behind,
    /// An envelope or a data key does not open.
    Damaged,
    /// No rule allows it.
    Forbidden,
    /// The attributes cannot be read.
    InvalidRequest,
    /// No usable key at the moment.
    KeyUnavailable,
    /// A vault or an entry does not exist.
    NotFound,
    /// The pod does not live, or not on this node.
    PodMismatch,
    /// The pod's token is not valid.
    TokenRejected,
}

impl ReleaseError {
    /// What a gRPC error of the whole call means.
    pub(super) fn from_status(status: &Status) -> Self {
        let message = described(status);
        if status.source().is_some() {
            return Self::Unreachable(message);
        }
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => Self::AgentRejected(message),
            Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unavailable
            | Code::Unknown => Self::Unavailable(message),
            Code::AlreadyExists
            | Code::DataLoss
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::NotFound
            | Code::Ok
            | Code::OutOfRange
            | Code::Unimplemented => Self::Malformed("it refuses the request as a whole"),
        }
    }

    /// Whether another replica may do better.
    pub(super) fn is_of_one_replica(&self) -> bool {
        match self {
            Self::Denied { reason, .. } => {
                matches!(reason, DenialReason::Behind | DenialReason::KeyUnavailable)
            }
            Self::Behind { .. }
            | Self::TimedOut(_)
            | Self::Unavailable(_)
            | Self::Unreachable(_) => true,
            Self::AgentRejected(_)
            | Self::AgentToken(_)
            | Self::DoesNotOpen { .. }
            | Self::Malformed(_)
            | Self::TooLarge => false,
        }
    }

    /// A denial, if its reason is one that we know.
    pub(super) fn from_denial(denial: &Denial) -> Self {
        let reason = match denial.reason() {
            WireReason::Behind => DenialReason::Behind,
            WireReason::Damaged => DenialReason::Damaged,
            WireReason::Forbidden => DenialReason::Forbidden,
            WireReason::InvalidRequest => DenialReason::InvalidRequest,
            WireReason::KeyUnavailable => DenialReason::KeyUnavailable,
            WireReason::NotFound => DenialReason::NotFound,
            WireReason::PodMismatch => DenialReason::PodMismatch,
            WireReason::TokenRejected => DenialReason::TokenRejected,
            WireReason::Unspecified => return Self::Malformed("a denial without a reason"),
        };
        let withdrawn = denial.withdrawn.iter().map(|path| path.parse()).collect();
        let Ok(withdrawn) = withdrawn else {
            return Self::Malformed("a path that is none");
        };
        Self::Denied {
            reason,
            message: denial.message.clone(),
            withdrawn,
        }
    }
}

/// What a gRPC error says. The innermost causes say most: "transport error" alone helps nobody.
pub(super) fn described(status: &Status) -> String {
    if status.source().is_none() {
        return status.message().to_owned();
    }
    let mut text: Vec<String> = Vec::new();
    let mut next = status.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.iter().any(|known| known.contains(&cause_text)) {
            text.push(cause_text);
        }
        next = cause.source();
    }
    text.join(": ")
}
