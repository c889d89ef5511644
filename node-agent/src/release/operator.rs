//! The operator, as the agent calls it.

use std::{io, path::PathBuf, time::Duration};

use secretvault_delivery::{
    MAX_MESSAGE_BYTES,
    v1::{
        Grant, ReleaseRequest, Verdict, Volume, delivery_client::DeliveryClient, verdict::Outcome,
    },
};
use tokio::time::timeout;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};
use zeroize::Zeroizing;

use super::{Address, ReleaseError, connect, line::Line};

/// What the agent needs to be let in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The operator's CA, in PEM.
    pub ca_file: PathBuf,
    /// The agent's own token, which kubelet renews.
    pub token_file: PathBuf,
}

/// A client that connects when it must, and as often as it must.
#[derive(Debug)]
pub struct Operator {
    line: Line,
    credentials: Credentials,
}

impl Operator {
    /// Makes the client. Connects at the first call.
    pub fn new(address: Address, credentials: Credentials) -> Self {
        Self {
            line: Line::new(address, credentials.ca_file.clone()),
            credentials,
        }
    }

    /// Ends connections that have become old. Never returns.
    pub async fn tend(&self) {
        self.line.tend().await;
    }

    /// Asks for one volume.
    ///
    /// # Errors
    /// No grant, and why. Never takes longer than `patience`.
    pub async fn release(
        &self,
        volume: &Volume,
        patience: Duration,
    ) -> Result<Grant, ReleaseError> {
        let answered = timeout(patience, self.release_patiently(volume, patience)).await;
        let answer = answered.unwrap_or(Err(ReleaseError::TimedOut(patience)));
        if answer.as_ref().is_err_and(ReleaseError::is_of_one_replica) {
            self.line.hang_up();
        }
        answer
    }

    /// Whether the operator's CA and our own token are there: what readiness means.
    ///
    /// # Errors
    /// What is missing.
    pub async fn check_credentials(&self) -> io::Result<()> {
        connect::check_roots(&tokio::fs::read(&self.credentials.ca_file).await?)?;
        self.authorization().await.map(drop)
    }

    async fn release_patiently(
        &self,
        volume: &Volume,
        patience: Duration,
    ) -> Result<Grant, ReleaseError> {
        let first = self.call(volume, patience).await;
        // Also a connection that died while it was idle shows only now.
        if first.as_ref().is_err_and(ReleaseError::is_of_one_replica) {
            self.line.hang_up();
            return self.call(volume, patience).await;
        }
        first
    }

    async fn call(&self, volume: &Volume, patience: Duration) -> Result<Grant, ReleaseError> {
        let mut request = Request::new(ReleaseRequest {
            volumes: vec![volume.clone()],
        });
        request.set_timeout(patience);
        let authorization = self
            .authorization()
            .await
            .map_err(ReleaseError::AgentToken)?;
        request
            .metadata_mut()
            .insert("authorization", authorization);
        let mut client = DeliveryClient::new(self.line.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let answer = client.release(request).await;
        let answer = answer.map_err(|status| ReleaseError::from_status(&status))?;
        only_verdict(answer.into_inner().verdicts)
    }

    /// Read each time: kubelet renews the file, and it lies in memory.
    async fn authorization(&self) -> io::Result<MetadataValue<Ascii>> {
        let file = &self.credentials.token_file;
        let token = Zeroizing::new(tokio::fs::read_to_string(file).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?);
        let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut value = MetadataValue::try_from(bearer.as_str()).map_err(io::Error::other)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn only_verdict(verdicts: Vec<Verdict>) -> Result<Grant, ReleaseError> {
    let [verdict] = <[Verdict; 1]>::try_from(verdicts)
        .map_err(|_| ReleaseError::Malformed("not one verdict for one volume"))?;
    match verdict.outcome {
        Some(Outcome::Grant(grant)) => Ok(grant),
        Some(Outcome::Denial(denial)) => Err(ReleaseError::from_denial(&denial)),
        None => Err(ReleaseError::Malformed("a verdict without an outcome")),
    }
}
