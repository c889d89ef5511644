//! Why a volume is not published, and what kubelet and the metrics hear of it.

use std::io;

use prometheus_client::encoding::EncodeLabelValue;
use secretvault_vault::FilePath;
use secretvault_volume::PathCollision;
use tonic::{Code, Status};

use crate::{
    csi::RequestError,
    release::{DenialReason, ReleaseError},
    volume::{BudgetError, VolumeError},
};

/// A publish or a refresh that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no room.
    #[error("{error}")]
    Budget {
        /// For what.
        error: BudgetError,
        /// Held files that go all the same.
        withdrawn: Vec<FilePath>,
    },
    /// Other volumes are before it.
    #[error("this node's agent has other volumes to write first")]
    Busy,
    /// The volume was taken away, or the agent stops.
    #[error("{0}")]
    Interrupted(&'static str),
    /// Files that cannot be in one tree.
    #[error("the operator's answer makes no sense")]
    Paths(#[from] PathCollision),
    /// No grant.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What must be remembered cannot be.
    #[error("cannot keep the volume's state")]
    State(#[source] io::Error),
    /// The node.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// The reasons as metrics and logs name them: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Reason {
    /// The operator does not accept this agent.
    AgentRejected,
    /// A replica is behind what is held.
    Behind,
    /// An envelope or a data key does not open.
    Damaged,
    /// No rule allows it.
    Forbidden,
    /// Stopped or overtaken.
    Interrupted,
    /// The request is wrong.
    InvalidRequest,
    /// No usable key.
    KeyUnavailable,
    /// An answer that breaks the protocol.
    Malformed,
    /// No room on the node.
    NoRoom,
    /// The node's kernel refused.
    Node,
    /// A vault or entry does not exist.
    NotFound,
    /// The pod does not live, or not here.
    PodMismatch,
    /// The pod's token is not valid.
    TokenRejected,
    /// The operator does not answer, or cannot serve.
    Unavailable,
}

impl PublishError {
    /// The kind of the error.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Budget { .. } => Reason::NoRoom,
            Self::Busy => Reason::Unavailable,
            Self::Interrupted(_) => Reason::Interrupted,
            Self::Paths(_) => Reason::Malformed,
            Self::Release(error) => release_reason(error),
            Self::Request(_) => Reason::InvalidRequest,
            Self::State(_) | Self::Volume(_) => Reason::Node,
        }
    }

    /// Whether asking again with the same request can help. Where it cannot, holding the call back
    /// would only keep kubelet from sending a better one.
    pub fn may_pass(&self) -> bool {
        match self {
            // Another request or another vault makes it smaller: kubelet asks again by itself.
            Self::Budget {
                error: BudgetError::Volume { .. },
                ..
            } => false,
            Self::Budget {
                error: BudgetError::Node { .. },
                ..
            }
            | Self::Busy
            | Self::Interrupted(_)
            | Self::Paths(_)
            | Self::Release(_)
            | Self::Request(_)
            | Self::State(_)
            | Self::Volume(_) => self.reason().may_pass(),
        }
    }

    /// Held files that go all the same: a denial takes them away, or a grant that does not fit
    /// leaves them out.
    pub(super) fn withdrawn(&self) -> &[FilePath] {
        match self {
            Self::Budget { withdrawn, .. }
            | Self::Release(ReleaseError::Denied { withdrawn, .. }) => withdrawn,
            Self::Busy
            | Self::Interrupted(_)
            | Self::Paths(_)
            | Self::Release(_)
            | Self::Request(_)
            | Self::State(_)
            | Self::Volume(_) => &[],
        }
    }

    /// The text for kubelet, which puts it into the pod's Event: the error and its causes. No part
    /// of it ever holds a value or a token.
    pub fn message(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        text
    }
}

impl Reason {
    /// The gRPC code. kubelet tries again after every one of them; a code only says whether
    /// something may be attached. Nothing is, whenever one of these is answered.
    pub fn code(self) -> Code {
        match self {
            Self::AgentRejected | Self::Behind | Self::KeyUnavailable | Self::Unavailable => {
                Code::Unavailable
            }
            Self::Damaged => Code::DataLoss,
            Self::Forbidden => Code::PermissionDenied,
            Self::Interrupted => Code::Aborted,
            Self::InvalidRequest => Code::InvalidArgument,
            Self::Malformed | Self::Node => Code::Internal,
            Self::NoRoom => Code::ResourceExhausted,
            Self::NotFound => Code::NotFound,
            Self::PodMismatch => Code::FailedPrecondition,
            Self::TokenRejected => Code::Unauthenticated,
        }
    }

    /// Whether what is said so may pass.
    fn may_pass(self) -> bool {
        match self {
            Self::AgentRejected
            | Self::Behind
            | Self::Damaged
            | Self::Forbidden
            | Self::KeyUnavailable
            | Self::Malformed
            | Self::NoRoom
            | Self::Node
            | Self::NotFound
            | Self::Unavailable => true,
            Self::Interrupted | Self::InvalidRequest | Self::PodMismatch | Self::TokenRejected => {
                false
            }
        }
    }
}

impl From<BudgetError> for PublishError {
    fn from(error: BudgetError) -> Self {
        let withdrawn = Vec::new();
        Self::Budget { error, withdrawn }
    }
}

impl From<&PublishError> for Status {
    fn from(error: &PublishError) -> Self {
        Status::new(error.reason().code(), error.message())
    }
}

fn release_reason(error: &ReleaseError) -> Reason {
    match error {
        ReleaseError::AgentRejected(_) => Reason::AgentRejected,
        ReleaseError::AgentToken(_)
        | ReleaseError::TimedOut(_)
        | ReleaseError::TooLarge
        | ReleaseError::Unavailable(_)
        | ReleaseError::Unreachable(_) => Reason::Unavailable,
        ReleaseError::Behind { .. } => Reason::Behind,
        ReleaseError::Denied { reason, .. } => denial_reason(*reason),
        ReleaseError::DoesNotOpen { .. } => Reason::Damaged,
        ReleaseError::Malformed(_) => Reason::Malformed,
    }
}

fn denial_reason(reason: DenialReason) -> Reason {
    match reason {
        DenialReason::Behind => Reason::Behind,
        DenialReason::Damaged => Reason::Damaged,
        DenialReason::Forbidden => Reason::Forbidden,
        DenialReason::InvalidRequest => Reason::InvalidRequest,
        DenialReason::KeyUnavailable => Reason::KeyUnavailable,
        DenialReason::NotFound => Reason::NotFound,
        DenialReason::PodMismatch => Reason::PodMismatch,
        DenialReason::TokenRejected => Reason::TokenRejected,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::csi::TokenError;

    fn denied(reason: DenialReason) -> PublishError {
        let message = "why".to_owned();
        ReleaseError::Denied {
            reason,
            message,
            withdrawn: Vec::new(),
        }
        .into()
    }

    fn text() -> String {
        "why".to_owned()
    }

    fn no_room() -> PublishError {
        let (bytes, left, limit) = (2, 1, 9);
        BudgetError::Node { bytes, left, limit }.into()
    }

    fn io() -> io::Error {
        io::Error::other("why")
    }

    /// Every error there is, with its code and whether a held call is tried again.
    fn all() -> Vec<(PublishError, Code, bool)> {
        let mut all = vec![
            (
                BudgetError::Volume { bytes: 2, limit: 1 }.into(),
                Code::ResourceExhausted,
                false,
            ),
            (no_room(), Code::ResourceExhausted, true),
            (PublishError::Interrupted("why"), Code::Aborted, false),
            (PublishError::State(io()), Code::Internal, true),
            (
                RequestError::NotReadOnly.into(),
                Code::InvalidArgument,
                false,
            ),
            (
                RequestError::Token(TokenError::Missing).into(),
                Code::InvalidArgument,
                false,
            ),
        ];
        let (vault, entry) = (text(), text());
        for (error, code) in [
            (ReleaseError::AgentRejected(text()), Code::Unavailable),
            (ReleaseError::AgentToken(io()), Code::Unavailable),
            (ReleaseError::Behind { vault: text() }, Code::Unavailable),
            (ReleaseError::DoesNotOpen { vault, entry }, Code::DataLoss),
            (ReleaseError::Malformed("why"), Code::Internal),
            (
                ReleaseError::TimedOut(Duration::from_secs(1)),
                Code::Unavailable,
            ),
            (ReleaseError::TooLarge, Code::Unavailable),
            (ReleaseError::Unavailable(text()), Code::Unavailable),
            (ReleaseError::Unreachable(text()), Code::Unavailable),
        ] {
            all.push((error.into(), code, true));
        }
        for (reason, code, waits) in DENIALS {
            all.push((denied(reason), code, waits));
        }
        all
    }

    const DENIALS: [(DenialReason, Code, bool); 8] = [
        (DenialReason::Behind, Code::Unavailable, true),
        (DenialReason::Damaged, Code::DataLoss, true),
        (DenialReason::Forbidden, Code::PermissionDenied, true),
        (DenialReason::InvalidRequest, Code::InvalidArgument, false),
        (DenialReason::KeyUnavailable, Code::Unavailable, true),
        (DenialReason::NotFound, Code::NotFound, true),
        (DenialReason::PodMismatch, Code::FailedPrecondition, false),
        (DenialReason::TokenRejected, Code::Unauthenticated, false),
    ];

    #[test]
    fn each_error_has_its_code_and_says_whether_waiting_helps() {
        for (error, code, waits) in all() {
            assert_eq!(error.reason().code(), code, "{error:?}");
            assert_eq!(error.may_pass(), waits, "{error:?}");
            assert!(!error.message().is_empty());
        }
    }

    #[test]
    fn the_message_holds_the_causes() {
        let error = PublishError::State(io::Error::other("no space left"));
        assert_eq!(
            error.message(),
            "cannot keep the volume's state: no space left"
        );
        let denied = denied(DenialReason::Forbidden);
        assert_eq!(Status::from(&denied).message(), "why");
    }
}
