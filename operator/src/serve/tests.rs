use std::sync::Arc;

use axum::body::Bytes;
use axum::routing::{get, post};
use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS12};
use rustls_pki_types::ServerName as DnsName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::tls::{Authority, Callers, ServingCertificate, server_config};

const NAME: &str = "operator.secretvault.svc";

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) authority: Authority,
    serving: Arc<ServingCertificate>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn running(router: Router) -> Running {
    running_with(router, None).await
}

pub(super) async fn running_with(router: Router, callers: Option<Callers>) -> Running {
    let authority = Authority::create(Timestamp::now()).unwrap();
    let serving = Arc::new(ServingCertificate::new());
    serving
        .renew(&authority, &[NAME.into()], Timestamp::now())
        .unwrap();
    let server = Server {
        name: ServerName::Webhook,
        router,
        tls: Some(server_config(Arc::clone(&serving), callers).unwrap()),
        metrics: ServerMetrics::default(),
        drain: Duration::from_secs(5),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(server.run(listener, stop.clone()));
    Running {
        address,
        authority,
        serving,
        stop,
        task,
    }
}

pub(super) fn client(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(super) async fn connect(
    to: SocketAddr,
    config: ClientConfig,
) -> io::Result<TlsStream<TcpStream>> {
    secure(TcpStream::connect(to).await?, config).await
}

async fn secure(stream: TcpStream, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let name = DnsName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

pub(super) async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

pub(super) fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served() {
    let server = running(hello()).await;
    let mut stream = connect(server.address, client(&server.authority))
        .await
        .unwrap();
    let answer = ask(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    assert!(
        answer.contains("content-length: 5"),
        "the length is told: {answer}"
    );
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
}

#[tokio::test]
async fn a_second_connection_sees_the_new_certificate() {
    let server = running(hello()).await;
    let first = connect(server.address, client(&server.authority))
        .await
        .unwrap();
    let next = Authority::create(Timestamp::now()).unwrap();
    assert!(
        connect(server.address, client(&next)).await.is_err(),
        "not signed by it yet"
    );
    server
        .serving
        .renew(&next, &[NAME.into()], Timestamp::now())
        .unwrap();
    let second = connect(server.address, client(&next)).await.unwrap();
    let leaf = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    };
    assert_ne!(leaf(&first), leaf(&second));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let server = running(hello()).await;
    let mut roots = RootCertStore::empty();
    roots.add(server.authority.certificate().clone()).unwrap();
    let old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let error = connect(server.address, old).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn another_name_than_the_services_is_not_served() {
    let server = running(hello()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let other = DnsName::try_from("evil.example").unwrap();
    let connector = TlsConnector::from(Arc::new(client(&server.authority)));
    assert!(connector.connect(other, stream).await.is_err());
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_told_to_stop() {
    let slow = async || {
        sleep(Duration::from_millis(300)).await;
        "done"
    };
    let server = running(Router::new().route("/", get(slow))).await;
    let mut stream = connect(server.address, client(&server.authority))
        .await
        .unwrap();
    let stop = server.stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        stop.cancel();
    });
    assert!(ask(&mut stream).await.ends_with("done"));
    timeout(Duration::from_secs(2), server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
}

type Asking = hyper::client::conn::http2::SendRequest<Body>;

/// Begins to speak HTTP/2. The task ends with the connection.
async fn speak(
    stream: TlsStream<TcpStream>,
) -> (Asking, tokio::task::JoinHandle<hyper::Result<()>>) {
    let handshake = hyper::client::conn::http2::handshake;
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    (client, tokio::spawn(connection))
}

async fn get_by_h2(stream: TlsStream<TcpStream>) -> http::StatusCode {
    let (mut client, _) = speak(stream).await;
    let request = Request::get(format!("https://{NAME}/"));
    let answer = client.send_request(request.body(Body::empty()).unwrap());
    answer.await.unwrap().status()
}

fn h2(server: &Running) -> ClientConfig {
    let mut config = client(&server.authority);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Its request may be on its way while this server learns that it leaves.
#[tokio::test]
async fn whoever_has_connected_before_the_stop_is_answered() {
    let server = running(hello()).await;
    let stream = connect(server.address, h2(&server)).await.unwrap();
    server.stop.cancel();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(get_by_h2(stream).await, 200);
    server.task.await.unwrap();
}

#[tokio::test]
async fn whoever_connects_and_asks_nothing_is_told_the_end_and_not_cut_off() {
    let server = running(hello()).await;
    let stream = connect(server.address, h2(&server)).await.unwrap();
    let (_client, connection) = speak(stream).await;
    timeout(FIRST_REQUEST + GOODBYE, connection)
        .await
        .unwrap()
        .unwrap()
        .expect("an end in order");
}

#[tokio::test]
async fn a_connection_that_waits_to_be_accepted_is_not_refused_by_the_stop() {
    let server = running(hello()).await;
    // In one step of this thread: the server has not seen it when it is told to stop.
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    server.stop.cancel();
    stream.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    assert_eq!(
        get_by_h2(secure(stream, h2(&server)).await.unwrap()).await,
        200
    );
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_speaks_tls_does_not_hold_up_the_end() {
    let server = running(hello()).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    server.stop.cancel();
    timeout(Duration::from_secs(8), server.task)
        .await
        .unwrap()
        .unwrap();
}

/// An API server has one connection for all that it asks.
#[tokio::test]
async fn requests_that_nobody_reads_yet_do_not_hold_up_one_that_is_read() {
    let unread = async |request: Request<Body>| {
        std::future::pending::<()>().await;
        drop(request);
    };
    let router = Router::new()
        .route("/unread", post(unread))
        .route("/", post(async |body: Bytes| body.len().to_string()));
    let server = running(router).await;
    let stream = connect(server.address, h2(&server)).await.unwrap();
    let (client, _) = speak(stream).await;
    let send = |path: &str| {
        let request = Request::post(format!("https://{NAME}{path}"));
        let body = Body::from(vec![0_u8; 128 * 1024]);
        client.clone().send_request(request.body(body).unwrap())
    };
    let waiting: Vec<_> = (0..100).map(|_| send("/unread")).collect();
    sleep(Duration::from_millis(200)).await;
    let read = timeout(Duration::from_secs(5), send("/")).await;
    assert_eq!(read.unwrap().unwrap().status(), 200);
    drop(waiting);
}
