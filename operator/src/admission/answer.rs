use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};
use kube::core::response::Status;
use secretvault_seal::{Change, Refusal};

use crate::keys::KeyError;

/// Why a request is not admitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// The API server could not be asked for the requester's rights.
    #[error("your right to {verb} this vault could not be checked: try again")]
    CannotAsk { verb: &'static str },
    /// The requester lacks a right.
    #[error(
        "{what} needs the verb \"{verb}\" on secretvaults in namespace {namespace}: ask for a role that has it (the ClusterRole admin does)"
    )]
    Forbidden {
        verb: &'static str,
        what: &'static str,
        namespace: String,
    },
    /// No key, so nothing can be sealed.
    #[error("no usable key: {0}")]
    Key(#[from] KeyError),
    /// The manifest cannot be sealed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The patch could not be built.
    #[error("the sealed manifest could not be written")]
    Unwritable,
}

impl Denied {
    /// The HTTP status and the Kubernetes reason (`metav1.StatusReason`) of the answer.
    fn code(&self) -> (u16, &'static str) {
        match self {
            Self::CannotAsk { .. } | Self::Key(_) => (503, "ServiceUnavailable"),
            Self::Forbidden { .. } => (403, "Forbidden"),
            Self::Refused(_) => (422, "Invalid"),
            Self::Unwritable => (500, "InternalError"),
        }
    }

    /// The metric label.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::CannotAsk { .. } => "cannot_ask",
            Self::Forbidden { .. } => "forbidden",
            Self::Key(_) => "no_key",
            Self::Refused(_) => "refused",
            Self::Unwritable => "unwritable",
        }
    }
}

/// The answer to one request.
pub(crate) fn answer(
    request: &AdmissionRequest<DynamicObject>,
    decision: &Result<Vec<Change>, Denied>,
) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let patched = match decision {
        Ok(changes) if changes.is_empty() => return response,
        Ok(changes) => patch(changes).and_then(|patch| {
            response
                .clone()
                .with_patch(patch)
                .map_err(|_| Denied::Unwritable)
        }),
        Err(denied) => return deny(response, denied),
    };
    patched.unwrap_or_else(|denied| deny(response, &denied))
}

fn deny(response: AdmissionResponse, denied: &Denied) -> AdmissionResponse {
    let (code, reason) = denied.code();
    let mut response = response.deny(denied.to_string());
    response.result = Status {
        code,
        reason: reason.to_owned(),
        ..response.result
    };
    response
}

fn patch(changes: &[Change]) -> Result<Patch, Denied> {
    let operations = changes.iter().map(|change| {
        let path = PointerBuf::parse(change.pointer.as_str()).map_err(|_| Denied::Unwritable)?;
        Ok(PatchOperation::Add(AddOperation {
            path,
            value: change.value.clone(),
        }))
    });
    operations.collect::<Result<_, _>>().map(Patch)
}
