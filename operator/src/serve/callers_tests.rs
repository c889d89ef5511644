//! What becomes of those who do, and do not, prove themselves.

use std::io::Write;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::NamedTempFile;

use super::tests::{ask, client, connect, hello, running_with};
use super::*;
use crate::tls::{Callers, CallersError};

/// An authority of client certificates.
struct ClientAuthority {
    parameters: CertificateParams,
    key: KeyPair,
}

impl ClientAuthority {
    fn create() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { parameters, key }
    }

    fn file(&self) -> NamedTempFile {
        let certificate = self.parameters.self_signed(&self.key).unwrap();
        file(&certificate.pem())
    }

    /// A client that has a certificate of it, for this use.
    fn client(
        &self,
        authority: &crate::tls::Authority,
        usage: ExtendedKeyUsagePurpose,
    ) -> rustls::ClientConfig {
        let mut parameters = CertificateParams::new(vec!["kube-apiserver".into()]).unwrap();
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.parameters, &self.key);
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What such a client is answered; empty: nothing.
async fn answered(to: SocketAddr, config: rustls::ClientConfig) -> String {
    // With TLS 1.3 a client learns only from the server's first bytes that it was refused.
    match connect(to, config).await {
        Ok(mut stream) => ask(&mut stream).await,
        Err(_) => String::new(),
    }
}

#[tokio::test]
async fn only_who_has_a_client_certificate_of_the_authority_is_answered() {
    let clients = ClientAuthority::create();
    let callers = Callers::read(clients.file().path()).unwrap();
    let server = running_with(hello(), Some(callers)).await;
    let client_use = ExtendedKeyUsagePurpose::ClientAuth;
    let allowed = clients.client(&server.authority, client_use.clone());
    assert!(answered(server.address, allowed).await.ends_with("hello"));

    let nobody = client(&server.authority);
    let stranger = ClientAuthority::create().client(&server.authority, client_use);
    let server_use = ExtendedKeyUsagePurpose::ServerAuth;
    let for_servers = clients.client(&server.authority, server_use);
    for refused in [nobody, stranger, for_servers] {
        assert_eq!(answered(server.address, refused).await, "");
    }
}

#[test]
fn a_file_without_an_authority_is_refused_by_its_name() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, says) in [
        ("", "it holds no certificate"),
        ("nothing", "it holds no certificate"),
        (broken, "it holds a certificate that is none"),
    ] {
        let error = Callers::read(file(text).path()).unwrap_err();
        assert!(error.to_string().starts_with(says), "{text:?}: {error}");
    }
    let missing = Callers::read("/nowhere/ca.crt".as_ref()).unwrap_err();
    assert!(matches!(missing, CallersError::Unreadable(_)), "{missing}");
}
