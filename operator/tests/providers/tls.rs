//! Certificates for servers of tests.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;

/// A certificate that signs itself, and its key.
pub(crate) struct Certificate(CertifiedKey<KeyPair>);

impl Certificate {
    /// One for `127.0.0.1`.
    pub(crate) fn of_loopback() -> Self {
        provide();
        Self(rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.cert.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.0.signing_key.serialize_pem()
    }

    /// As `spec.vaultTransit.caBundle` has it.
    pub(crate) fn bundle(&self) -> String {
        BASE64_STANDARD.encode(self.pem())
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.0.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.0.cert.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// As the operator does, first of all.
pub(crate) fn provide() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
