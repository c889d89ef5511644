//! One connection to the operator, of which every byte that comes in is kept.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// TLS 1.3 with one CA and no other.
pub(crate) fn tls13(ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.expect("the CA is PEM");
        roots.add(certificate).expect("the CA is a certificate");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A channel that connects once it is used, and what it will hear.
pub(crate) fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> (Channel, Heard) {
    let heard = Heard::default();
    let into = heard.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, heard) = (TlsConnector::from(Arc::clone(&tls)), into.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
            let stream = tls.connect(name, stream).await?;
            io::Result::Ok(TokioIo::new(Recorded { stream, heard }))
        }
    });
    let endpoint = Endpoint::from_static("https://secretvault-operator");
    (endpoint.connect_with_connector_lazy(connector), heard)
}

/// What came in.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// All of it since the last time.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut bytes)
    }

    fn add(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(bytes);
    }
}

struct Recorded {
    stream: TlsStream<TcpStream>,
    heard: Heard,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let known = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard.add(&buffer.filled()[known..]);
        polled
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The name that the operator's certificate must have.
pub(super) const NAME: &str = "secretvault-operator.secretvault-system.svc";
