//! What the agent needs to be let in by the operator.

use std::{io, path::PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use super::connect;

/// Two files, which kubelet renews. Both are read each time.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The operator's CA, in PEM.
    pub ca_file: PathBuf,
    /// The agent's own token.
    pub token_file: PathBuf,
}

impl Credentials {
    /// Whether both are there: what readiness means.
    ///
    /// # Errors
    /// What is missing.
    pub async fn check(&self) -> io::Result<()> {
        connect::check_roots(&tokio::fs::read(&self.ca_file).await?)?;
        self.authorization().await.map(drop)
    }

    /// The `authorization` of a call.
    pub(super) async fn authorization(&self) -> io::Result<MetadataValue<Ascii>> {
        let file = &self.token_file;
        let token = Zeroizing::new(tokio::fs::read_to_string(file).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?);
        let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut value = MetadataValue::try_from(bearer.as_str()).map_err(io::Error::other)?;
        value.set_sensitive(true);
        Ok(value)
    }
}
