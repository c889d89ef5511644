//! Who asks: what a token review says of an agent and of a pod, and whether that is enough.
//!
//! Pure checks over `TokenReviewStatus`, each with its own named refusal. Two tokens take part: the
//! agent's own, for [`secretvault_delivery::AGENT_AUDIENCE`], and the one that kubelet minted for
//! the pod, for [`secretvault_delivery::POD_AUDIENCE`]. Both must be bound to a *pod*: a token that
//! is bound to a node only carries `node-name` too, so the node's name alone proves nothing.

use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use secretvault_delivery::v1::PodReference;
use thiserror::Error;

/// An accepted node agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentIdentity {
    /// The node that the agent's own pod is bound to: the only node it may ask for.
    pub node: String,
}

impl AgentIdentity {
    /// Accepts a reviewed token as the agent's, if it is `account`'s own.
    ///
    /// `account` is the agent's whole user name: see [`service_account_user`].
    ///
    /// # Errors
    /// The token is not valid for us, not bound to a pod on a node, or another account's.
    pub fn accept(status: &TokenReviewStatus, account: &str) -> Result<Self, IdentityError> {
        let token = BoundToken::accept(status, secretvault_delivery::AGENT_AUDIENCE)?;
        if token.username != account {
            return Err(IdentityError::NotTheAgent);
        }
        Ok(Self {
            node: token.node.to_owned(),
        })
    }
}

/// A pod as its reviewed token names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    /// The pod's service account.
    pub service_account: String,
    /// The node that the pod is bound to.
    pub node: String,
}

impl PodIdentity {
    /// Accepts a reviewed token as one that kubelet minted for a pod.
    ///
    /// # Errors
    /// The token is not valid for us, not a service account's, or not bound to a pod on a node.
    pub fn accept(status: &TokenReviewStatus) -> Result<Self, IdentityError> {
        let token = BoundToken::accept(status, secretvault_delivery::POD_AUDIENCE)?;
        let (namespace, service_account) = parse_service_account_user(token.username)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: token.pod_name.to_owned(),
            uid: token.pod_uid.to_owned(),
            service_account: service_account.to_owned(),
            node: token.node.to_owned(),
        })
    }

    /// Checks that the pod lives on the agent's own node.
    ///
    /// # Errors
    /// It is bound to another node.
    pub fn on_node_of(&self, agent: &AgentIdentity) -> Result<(), IdentityError> {
        if self.node != agent.node {
            return Err(IdentityError::OtherNode);
        }
        Ok(())
    }

    /// Checks that the pod which the agent named is the one that the token is bound to.
    ///
    /// # Errors
    /// A field differs.
    pub fn is_named_by(&self, claimed: &PodReference) -> Result<(), IdentityError> {
        let fields = [
            (PodField::Namespace, &self.namespace, &claimed.namespace),
            (PodField::Name, &self.name, &claimed.name),
            (PodField::Uid, &self.uid, &claimed.uid),
            (
                PodField::ServiceAccount,
                &self.service_account,
                &claimed.service_account,
            ),
        ];
        match fields
            .into_iter()
            .find(|(_, reviewed, claimed)| reviewed != claimed)
        {
            Some((field, _, _)) => Err(IdentityError::OtherPod(field)),
            None => Ok(()),
        }
    }
}

/// The user name that Kubernetes gives to a service account.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Why a reviewed token is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// A claim of the bound pod is missing, empty, or there more than once.
    #[error("the token is not bound to a pod on a node: {} is not there exactly once", .0.key())]
    Claim(Claim),
    /// The API server does not know the token, or it has expired.
    #[error("the token is not valid (any more)")]
    NotAuthenticated,
    /// The token is another account's than the agent's.
    #[error("the token is not the node agent's")]
    NotTheAgent,
    /// The token is a user's or a node's.
    #[error("the token is not a service account's")]
    NotAServiceAccount,
    /// Anything but exactly our audience was confirmed.
    #[error("the token is for another audience")]
    OtherAudience,
    /// The pod's token is bound to another node than the agent's.
    #[error("the pod is not on the agent's node")]
    OtherNode,
    /// The agent named another pod than the token does.
    #[error("the token is another pod's: the {} differs", .0.as_str())]
    OtherPod(PodField),
}

/// A field of the pod that an agent names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodField {
    /// The pod's name.
    Name,
    /// The pod's namespace.
    Namespace,
    /// The pod's service account.
    ServiceAccount,
    /// The pod's UID.
    Uid,
}

impl PodField {
    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Namespace => "namespace",
            Self::ServiceAccount => "service account",
            Self::Uid => "UID",
        }
    }
}

/// What a pod-bound token must say beyond the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The node that the pod is bound to.
    NodeName,
    /// The pod's name.
    PodName,
    /// The pod's UID.
    PodUid,
}

impl Claim {
    /// The key in `status.user.extra`.
    pub fn key(self) -> &'static str {
        match self {
            Self::NodeName => "authentication.kubernetes.io/node-name",
            Self::PodName => "authentication.kubernetes.io/pod-name",
            Self::PodUid => "authentication.kubernetes.io/pod-uid",
        }
    }

    fn of(self, status: &TokenReviewStatus) -> Result<&str, IdentityError> {
        let extra = status.user.as_ref().and_then(|user| user.extra.as_ref());
        match extra
            .and_then(|extra| extra.get(self.key()))
            .map(Vec::as_slice)
        {
            Some([value]) if !value.is_empty() => Ok(value),
            _ => Err(IdentityError::Claim(self)),
        }
    }
}

/// What both kinds of token have in common.
struct BoundToken<'a> {
    username: &'a str,
    pod_name: &'a str,
    pod_uid: &'a str,
    node: &'a str,
}

impl<'a> BoundToken<'a> {
    fn accept(status: &'a TokenReviewStatus, audience: &str) -> Result<Self, IdentityError> {
        if status.authenticated != Some(true) {
            return Err(IdentityError::NotAuthenticated);
        }
        // An authenticator that knows no audiences answers with none.
        if status.audiences.as_deref() != Some(&[audience.to_owned()]) {
            return Err(IdentityError::OtherAudience);
        }
        let username = status
            .user
            .as_ref()
            .and_then(|user| user.username.as_deref());
        let username = username.ok_or(IdentityError::NotAServiceAccount)?;
        parse_service_account_user(username)?;
        Ok(Self {
            username,
            pod_name: Claim::PodName.of(status)?,
            pod_uid: Claim::PodUid.of(status)?,
            node: Claim::NodeName.of(status)?,
        })
    }
}

fn parse_service_account_user(username: &str) -> Result<(&str, &str), IdentityError> {
    username
        .strip_prefix(SERVICE_ACCOUNT_PREFIX)
        .and_then(|rest| rest.split_once(':'))
        .filter(|(namespace, name)| {
            !namespace.is_empty() && !name.is_empty() && !name.contains(':')
        })
        .ok_or(IdentityError::NotAServiceAccount)
}

const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

#[cfg(test)]
pub(crate) mod tests;
