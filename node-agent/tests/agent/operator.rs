//! An operator that answers what a test tells it to, over real TLS.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use secretvault_delivery::v1::{
    Denial, File, Grant, GrantedVault, Reason, ReleaseRequest, ReleaseResponse, Sealed, Verdict,
    Volume,
    delivery_server::{Delivery, DeliveryServer},
    file::Content,
    verdict::Outcome,
};
use secretvault_envelope::{Binding, Dek, Envelope, Plaintext};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{Request, Response, Status, transport::server::Connected};

/// What the operator says of a volume.
type Script = Box<dyn FnMut(&Volume) -> Result<Outcome, Status> + Send>;

pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
    pub(crate) ca: String,
    tls: Arc<ServerConfig>,
    state: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

struct State {
    script: Script,
    seen: Vec<Seen>,
}

/// One request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) peer: SocketAddr,
    pub(crate) authorization: String,
    pub(crate) volume: Volume,
}

impl Operator {
    pub(crate) fn start() -> Self {
        let (tls, ca) = identity();
        let script: Script = Box::new(|_| Err(Status::unavailable("no script")));
        let mut operator = Self {
            address: ([127, 0, 0, 1], 0).into(),
            ca,
            tls: Arc::new(tls),
            state: Arc::new(Mutex::new(State {
                script,
                seen: Vec::new(),
            })),
            runtime: None,
        };
        operator.resume();
        operator
    }

    /// Listens again, at the same address.
    pub(crate) fn resume(&mut self) {
        let (runtime, address) = listen(self.address, &self.tls, &self.state);
        self.runtime = Some(runtime);
        self.address = address;
    }

    /// Likewise, while the test does something else.
    pub(crate) fn resume_after(&self, pause: Duration) -> JoinHandle<Runtime> {
        let (address, tls, state) = (self.address, self.tls.clone(), self.state.clone());
        thread::spawn(move || {
            thread::sleep(pause);
            listen(address, &tls, &state).0
        })
    }

    pub(crate) fn resumed(&mut self, returning: JoinHandle<Runtime>) {
        self.runtime = Some(returning.join().unwrap());
    }

    /// Goes away with all its connections.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }

    pub(crate) fn answer(
        &self,
        script: impl FnMut(&Volume) -> Result<Outcome, Status> + Send + 'static,
    ) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    pub(crate) fn grant(&self, grant: Grant) {
        self.answer(move |_| Ok(Outcome::Grant(grant.clone())));
    }

    pub(crate) fn deny(&self, reason: Reason, message: &str) {
        self.deny_withdrawing(reason, message, &[]);
    }

    /// Denies, and takes these files away.
    pub(crate) fn deny_withdrawing(&self, reason: Reason, message: &str, paths: &[&str]) {
        let denial = Denial {
            reason: reason.into(),
            message: message.to_owned(),
            withdrawn: paths.iter().map(ToString::to_string).collect(),
        };
        self.answer(move |_| Ok(Outcome::Denial(denial.clone())));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A grant of one vault, `shop/app` at a generation, with sealed files at these paths.
pub(crate) fn grant(generation: i64, files: &[(&str, &str)]) -> Grant {
    let dek = Dek::generate().unwrap();
    let vault = GrantedVault {
        namespace: "shop".to_owned(),
        name: "app".to_owned(),
        uid: "vault-1".to_owned(),
        generation,
        scope: "scope".to_owned(),
        ..GrantedVault::default()
    };
    Grant {
        vaults: vec![vault],
        files: files
            .iter()
            .map(|(path, value)| file(&dek, path, value))
            .collect(),
        ..Grant::default()
    }
}

fn file(dek: &Dek, path: &str, value: &str) -> File {
    let binding = Binding::new("scope", "shop", "app", path);
    let envelope = Envelope::seal(dek, &binding, &Plaintext::from(value.to_owned())).unwrap();
    let sealed = Sealed {
        key: dek.entry_key(&binding, &envelope).expose().to_vec(),
        envelope: envelope.to_string(),
    };
    File {
        path: path.to_owned(),
        entry: path.to_owned(),
        gid_is_default: true,
        mode: 0o444,
        content: Some(Content::Sealed(sealed)),
        ..File::default()
    }
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl Delivery for Service {
    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let peer = *request.extensions().get::<SocketAddr>().unwrap();
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.unwrap().to_str().unwrap().to_owned();
        let mut state = self.0.lock().unwrap();
        let mut verdicts = Vec::new();
        for volume in request.into_inner().volumes {
            let seen = Seen {
                peer,
                authorization: authorization.clone(),
                volume: volume.clone(),
            };
            state.seen.push(seen);
            verdicts.push(Verdict {
                outcome: Some((state.script)(&volume)?),
            });
        }
        Ok(Response::new(ReleaseResponse { verdicts }))
    }
}

fn listen(
    address: SocketAddr,
    tls: &Arc<ServerConfig>,
    state: &Arc<Mutex<State>>,
) -> (Runtime, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.spawn(serve(listener, Arc::clone(tls), Arc::clone(state)));
    (runtime, address)
}

async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, state: Arc<Mutex<State>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let acceptor = TlsAcceptor::from(tls);
    let (accepted, incoming) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                accepted
                    .send(Ok::<_, io::Error>(Connection(stream)))
                    .await
                    .unwrap();
            }
        }
    });
    let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming);
    let service = DeliveryServer::new(Service(state));
    tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

fn identity() -> (ServerConfig, String) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (config, ca.pem())
}

struct Connection(TlsStream<TcpStream>);

impl Connected for Connection {
    type ConnectInfo = SocketAddr;

    fn connect_info(&self) -> SocketAddr {
        self.0.get_ref().0.peer_addr().unwrap()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
