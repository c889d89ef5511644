//! How this replica's servers speak TLS.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage, version::TLS13};

use super::{
    callers::{Callers, CallersError},
    serving::ServingCertificate,
};
use crate::metrics::ServerName;

/// What each server is set to.
pub struct ServersTls {
    release: Arc<ServerConfig>,
    webhook: Arc<ServerConfig>,
}

impl ServersTls {
    /// All serve with the same certificate. Agents prove themselves by tokens; API servers by client
    /// certificates, if there is a file of the authorities that these are of.
    ///
    /// # Errors
    /// Fails when that file is not as it should be, or TLS 1.3 is not to be had.
    pub fn new(
        serving: &Arc<ServingCertificate>,
        webhook_client_ca: Option<&Path>,
    ) -> Result<Self, SetupError> {
        let callers = webhook_client_ca.map(|path| {
            Callers::read(path).map_err(|source| SetupError::WebhookClientCa {
                path: path.to_owned(),
                source,
            })
        });
        Ok(Self {
            release: server_config(Arc::clone(serving), None)?,
            webhook: server_config(Arc::clone(serving), callers.transpose()?)?,
        })
    }

    /// How one of them speaks; none: without TLS.
    pub fn of(&self, server: ServerName) -> Option<Arc<ServerConfig>> {
        match server {
            ServerName::Health => None,
            ServerName::Release => Some(Arc::clone(&self.release)),
            ServerName::Webhook => Some(Arc::clone(&self.webhook)),
        }
    }
}

/// How TLS is spoken: version 1.3 alone, HTTP/2 preferred, no resumption, so that a new certificate
/// counts for every connection. With callers, nobody else gets through a handshake.
///
/// # Errors
/// Fails when the cryptographic provider cannot do TLS 1.3.
pub fn server_config(
    certificate: Arc<ServingCertificate>,
    callers: Option<Callers>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let config = match callers {
        Some(callers) => config.with_client_cert_verifier(callers.verifier()),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Why the servers cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS 1.3 is not to be had.
    #[error("TLS 1.3 is not to be had")]
    Tls(#[from] rustls::Error),
    /// Nobody could prove himself to the webhooks.
    #[error("--webhook-client-ca is {}: write the certificates of the API servers' client authority into it", path.display())]
    WebhookClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CallersError,
    },
}
