//! One connection to the operator: TCP, then TLS 1.3 with the operator's own CA and no other.

use std::{io, path::Path, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use super::Address;

/// A connection that hyper can use.
type Connection = TokioIo<TlsStream<TcpStream>>;

/// A channel to the operator, which connects at its first call.
pub(super) fn channel(address: &Address, ca_file: &Path) -> Channel {
    let goal = Arc::new((address.clone(), ca_file.to_owned()));
    let connector = tower::service_fn(move |_: Uri| {
        let goal = Arc::clone(&goal);
        async move { connect(&goal.0, &goal.1).await }
    });
    // The name in the URI is only what the operator sees as `:authority`.
    Endpoint::from_static("https://secretvault-operator")
        .connect_timeout(CONNECT)
        .connect_with_connector_lazy(connector)
}

/// Connects. The CA is read afresh each time, so a rotated one counts from the next connection on.
///
/// # Errors
/// No CA, no connection, or not the operator at its end.
async fn connect(address: &Address, ca_file: &Path) -> io::Result<Connection> {
    let pem = tokio::fs::read(ca_file).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("operator CA {}: {error}", ca_file.display()),
        )
    })?;
    let connector = TlsConnector::from(Arc::new(client_config(&pem)?));
    let stream = TcpStream::connect(address.host_and_port()).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(
        connector.connect(address.server_name(), stream).await?,
    ))
}

/// Whether a CA file is one.
pub(super) fn check_roots(pem: &[u8]) -> io::Result<()> {
    roots(pem).map(drop)
}

fn client_config(pem: &[u8]) -> io::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots(pem)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(pem: &[u8]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| invalid("the operator CA is no PEM"))?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(invalid("the operator CA file holds no certificate"));
    }
    Ok(roots)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const CONNECT: Duration = Duration::from_secs(3);
