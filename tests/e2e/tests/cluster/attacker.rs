//! A client of the Delivery service that says whatever an attacker may want to say.
//!
//! It knows what everybody in the cluster knows: the operator's Service, and its CA from the
//! ConfigMap `secretvault-ca`. What it hears is kept byte by byte, so that a test can search it.

mod connection;
mod https;
mod stream;
mod token;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use secretvault_delivery::v1::verdict::Outcome as Verdict;
use secretvault_delivery::v1::{Grant, PodReference, Reason, ReleaseResponse, Volume};
use secretvault_e2e::{Answer as Spoken, STATE, SYSTEM, kubectl, kubectl_with};
use serde_json::Value;
use tonic::{Code, Status};

pub(crate) use self::connection::Connection;
pub(crate) use self::stream::{Stream, Told};
pub(crate) use self::token::{Bound, Key, Token, mint};

/// The operator, as anybody in the cluster reaches it: any replica, a new connection each time.
pub(crate) struct Operator {
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
}

impl Operator {
    /// Looks up the Service and the CA.
    #[must_use]
    pub(crate) fn find() -> Self {
        let service = system(&["get", "service/secretvault-operator", "-o", "json"]);
        let ports = service["spec"]["ports"].as_array().expect("ports");
        let port = ports.iter().find(|port| port["name"] == "release");
        let port = port.expect("a port for releases")["port"].to_string();
        let address = service["spec"]["clusterIP"].as_str().expect("an address");
        let ca = system(&["get", "configmap/secretvault-ca", "-o", "json"]);
        Self {
            address: format!("{address}:{port}").parse().expect("an address"),
            tls: wire::tls13(ca["data"]["ca.crt"].as_str().expect("a CA")),
        }
    }

    /// Asks for one volume, with these `authorization` headers.
    #[must_use]
    pub(crate) fn ask(&self, authorization: &[String], volume: &Volume) -> Answer {
        self.connect().ask(authorization, volume)
    }
}

/// What the operator said.
pub(crate) struct Answer {
    /// What it means.
    pub(crate) outcome: Outcome,
    /// Every byte of it, decrypted.
    pub(crate) raw: Vec<u8>,
}

/// What an answer means.
#[derive(Clone, PartialEq)]
pub(crate) enum Outcome {
    /// The volume's pod gets nothing.
    Denied(Reason, String),
    /// It gets files.
    Granted(Grant),
    /// The whole request is refused.
    Rejected(Code, String),
}

impl Outcome {
    fn rejected(status: &Status) -> Self {
        assert!(
            std::error::Error::source(status).is_none(),
            "the operator was not reached: {status:?}"
        );
        Self::Rejected(status.code(), status.message().to_owned())
    }

    /// The grant, or what else it is.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn granted(self) -> Result<Grant, String> {
        match self {
            Self::Granted(grant) => Ok(grant),
            Self::Denied(..) | Self::Rejected(..) => Err(self.to_string()),
        }
    }

    fn of(response: ReleaseResponse) -> Self {
        let [verdict] = <[_; 1]>::try_from(response.verdicts).expect("one verdict");
        match verdict.outcome.expect("an outcome") {
            Verdict::Denial(denial) => Self::Denied(denial.reason(), denial.message),
            Verdict::Grant(grant) => Self::Granted(grant),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(reason, message) => write!(f, "{reason:?}: {message}"),
            Self::Granted(grant) => write!(f, "granted, {} files", grant.files.len()),
            Self::Rejected(code, message) => write!(f, "{code:?}: {message}"),
        }
    }
}

/// The volume of a pod, as an agent would name it: the pod's own references, this token.
#[must_use]
pub(crate) fn volume(pod: &Value, token: &Token, vaults: &str, items: &str) -> Volume {
    let mut volume = Volume::default();
    volume.pod = Some(reference(pod));
    token.text().clone_into(&mut volume.pod_token);
    vaults.clone_into(&mut volume.vaults);
    items.clone_into(&mut volume.items);
    volume
}

fn reference(pod: &Value) -> PodReference {
    let text = |pointer| {
        let text = pod.pointer(pointer).and_then(Value::as_str);
        text.expect("a pod has names").to_owned()
    };
    PodReference {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
        service_account: text("/spec/serviceAccountName"),
    }
}

/// The pod of a part of SecretVault, on a node; of the operator: any of its pods.
#[must_use]
pub(crate) fn part_of_system(account: &str, node: Option<&str>) -> Value {
    let pods = system(&["get", "pods", "-o", "json"]);
    let mut pods = pods["items"].as_array().expect("pods").iter();
    let found = pods.find(|pod| {
        let spec = &pod["spec"];
        spec["serviceAccountName"] == account
            && pod["status"]["phase"] == "Running"
            && pod["metadata"]["deletionTimestamp"].is_null()
            && node.is_none_or(|node| spec["nodeName"] == node)
    });
    found.expect("SecretVault is installed").clone()
}

/// The token that the agent on a node shows: the same account, pod and audience.
#[must_use]
pub(crate) fn agent_token(node: &str) -> Token {
    let pod = part_of_system(AGENT, Some(node));
    let audience = secretvault_delivery::AGENT_AUDIENCE;
    mint(SYSTEM, AGENT, audience, Bound::to_pod(&pod))
}

/// The header that carries an agent's token.
#[must_use]
pub(crate) fn bearer(token: &Token) -> Vec<String> {
    vec![format!("Bearer {}", token.text())]
}

/// kubectl with a token and nothing else, as somebody would use it who took it from a pod.
#[must_use]
pub(crate) fn kubectl_as(token: &Token, arguments: &[&str], input: &str) -> Spoken {
    let server = "jsonpath={.clusters[0].cluster.server}";
    let server = kubectl(&["config", "view", "-o", server]).expect_success();
    let ca = format!("{STATE}/pki/ca.crt");
    let who = [
        "--kubeconfig=/dev/null",
        "--server",
        &server,
        "--certificate-authority",
        &ca,
        "--token",
        token.text(),
    ];
    kubectl_with(&[&who, arguments].concat(), input)
}

fn system(arguments: &[&str]) -> Value {
    let answer = kubectl(&[&["--namespace", SYSTEM], arguments].concat());
    serde_json::from_str(&answer.expect_success()).expect("JSON")
}

/// The agent's service account.
pub(crate) const AGENT: &str = "secretvault-node-agent";

/// The operator's service account.
pub(crate) const OPERATOR: &str = "secretvault-operator";
