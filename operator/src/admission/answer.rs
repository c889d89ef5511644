use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use kube::Resource;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};
use kube::core::response::{Status, StatusCause, StatusDetails};
use secretvault_seal::{Change, NoEditor, NoKey, Refusal};

use super::metrics::VaultOutcome;
use crate::audit::Unrecorded;
use crate::keys::{KeyError, NamespaceUnknown};

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
    /// What decides about the key provider could not be read.
    #[error(transparent)]
    Namespace(#[from] NamespaceUnknown),
    /// The vault has editors, and the requester is none of what he writes.
    #[error(
        "spec.editors does not let you {missing}: ask for a rule there, which can be about entries only, or for the verb \"manage\" on secretvaults in namespace {namespace} (the ClusterRole admin has it)"
    )]
    NoEditor {
        missing: NoEditor,
        namespace: String,
    },
    /// The key provider is not for this namespace.
    #[error(
        "spec.keyProvider: KeyProvider {provider} may not wrap the data keys of vaults in namespace {namespace} (its spec.allowedNamespaces): name another one in spec.keyProvider, or ask who administers the cluster to allow the namespace"
    )]
    NotAllowed { provider: String, namespace: String },
    /// The manifest cannot be sealed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Something that was asked did not answer in time.
    #[error("sealing took too long: the API server or a key provider is slow; try again")]
    TooLate,
    /// Nothing is stored that is not in the audit log.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// The patch could not be built.
    #[error("the sealed manifest could not be written")]
    Unwritable,
}

impl From<NoKey<KeyError>> for Denied {
    fn from(error: NoKey<KeyError>) -> Self {
        match error {
            NoKey::Provider(error) => error.into(),
            NoKey::Refused(refusal) => refusal.into(),
        }
    }
}

impl Denied {
    /// The HTTP status and the Kubernetes reason (`metav1.StatusReason`) of the answer.
    fn code(&self) -> (u16, &'static str) {
        match self {
            Self::CannotAsk { .. }
            | Self::Key(_)
            | Self::Namespace(_)
            | Self::TooLate
            | Self::Unrecorded(_) => (503, "ServiceUnavailable"),
            Self::Forbidden { .. } | Self::NoEditor { .. } => (403, "Forbidden"),
            Self::NotAllowed { .. } | Self::Refused(_) => (422, "Invalid"),
            Self::Unwritable => (500, "InternalError"),
        }
    }

    /// As it is counted, and logged.
    pub(crate) fn outcome(&self) -> VaultOutcome {
        match self {
            Self::CannotAsk { .. } | Self::Namespace(_) => VaultOutcome::CannotAsk,
            Self::Forbidden { .. } => VaultOutcome::Forbidden,
            Self::Key(_) => VaultOutcome::NoKey,
            Self::NoEditor { .. } => VaultOutcome::NoEditor,
            Self::NotAllowed { .. } => VaultOutcome::NotAllowed,
            Self::Refused(_) => VaultOutcome::Refused,
            Self::TooLate => VaultOutcome::TooLate,
            Self::Unrecorded(_) => VaultOutcome::Unrecorded,
            Self::Unwritable => VaultOutcome::Unwritable,
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
        Err(denied) => return deny(request, response, denied),
    };
    patched.unwrap_or_else(|denied| deny(request, response, &denied))
}

fn deny(
    request: &AdmissionRequest<DynamicObject>,
    response: AdmissionResponse,
    denied: &Denied,
) -> AdmissionResponse {
    let field = match denied {
        Denied::NotAllowed { .. } => "spec.keyProvider",
        Denied::Refused(_) => "manifest",
        Denied::CannotAsk { .. }
        | Denied::Forbidden { .. }
        | Denied::Key(_)
        | Denied::Namespace(_)
        | Denied::NoEditor { .. }
        | Denied::TooLate
        | Denied::Unrecorded(_)
        | Denied::Unwritable => return refuse(response, denied.code(), &denied.to_string()),
    };
    invalid(request, response, field, &denied.to_string())
}

/// The answer to an object that is not as it must be.
///
/// With details of what is wrong, which kubectl then prints *alone*: without them it also prints the
/// patch that it sent, with all its plain values, into terminals and the logs of CI.
pub(super) fn invalid<T: Resource>(
    request: &AdmissionRequest<T>,
    response: AdmissionResponse,
    field: &str,
    message: &str,
) -> AdmissionResponse {
    let mut response = refuse(response, (422, "Invalid"), message);
    response.result.details = Some(StatusDetails {
        name: request.name.clone(),
        group: request.kind.group.clone(),
        kind: request.kind.kind.clone(),
        uid: String::new(),
        causes: vec![StatusCause {
            reason: "FieldValueInvalid".to_owned(),
            message: message.to_owned(),
            field: field.to_owned(),
        }],
        retry_after_seconds: 0,
    });
    response
}

/// The answer to what may well be admitted a little later.
pub(super) fn unavailable(response: AdmissionResponse, message: &str) -> AdmissionResponse {
    refuse(response, (503, "ServiceUnavailable"), message)
}

fn refuse(
    response: AdmissionResponse,
    (code, reason): (u16, &str),
    message: &str,
) -> AdmissionResponse {
    let mut response = response.deny(message);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::KeyError;

    fn request() -> AdmissionRequest<DynamicObject> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "kind": {"group": "secretvault.dev", "version": "v1alpha1", "kind": "SecretVault"},
                "resource": {
                    "group": "secretvault.dev", "version": "v1alpha1", "resource": "secretvaults",
                },
                "name": "app",
                "namespace": "shop",
                "operation": "UPDATE",
                "userInfo": {},
            },
        });
        let review: kube::core::admission::AdmissionReview<DynamicObject> =
            serde_json::from_value(review).unwrap();
        review.try_into().unwrap()
    }

    fn denied(denied: Denied) -> Status {
        answer(&request(), &Err(denied)).result
    }

    /// kubectl's condition for leaving out the patch: `Invalid`, and details with a kind.
    #[test]
    fn a_refused_manifest_is_answered_so_that_kubectl_does_not_print_it() {
        let status = denied(Refusal::ForeignDataKey.into());
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        let details = status.details.unwrap();
        let named = [details.kind, details.name].map(|it| it.to_owned());
        assert_eq!(named, ["SecretVault", "app"]);
        assert_eq!(details.causes[0].message, status.message);
    }

    #[test]
    fn a_missing_key_is_not_the_manifests_fault() {
        let status = denied(KeyError::Randomness.into());
        assert_eq!(
            (status.code, status.reason.as_str()),
            (503, "ServiceUnavailable")
        );
        assert!(status.details.is_none());
    }
}
