//! Who may call the webhooks at all: an API server that is configured to prove itself.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};

/// Those with a client certificate of one of these authorities.
#[derive(Clone, Debug)]
pub struct Callers(Arc<dyn ClientCertVerifier>);

impl Callers {
    /// Reads the authorities from a PEM file of one or more certificates.
    ///
    /// # Errors
    /// Fails when the file cannot be read, holds no certificate, or holds one that is none.
    pub fn read(path: &Path) -> Result<Self, CallersError> {
        let mut authorities = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path)? {
            authorities.add(certificate?)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities.into(), provider);
        Ok(Self(verifier.build()?))
    }

    /// What judges them.
    pub(super) fn verifier(self) -> Arc<dyn ClientCertVerifier> {
        self.0
    }
}

/// Why nobody could prove himself.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// A certificate cannot be an authority's.
    #[error("it holds a certificate that is none of an authority")]
    Authority(#[from] rustls::Error),
    /// There is none.
    #[error("it holds no certificate")]
    Empty(#[from] VerifierBuilderError),
    /// The file is not there, not for us, or no PEM.
    #[error("it is no readable PEM file")]
    Unreadable(#[from] pem::Error),
}
