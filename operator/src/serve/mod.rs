//! The servers: an accept loop that no single peer can hold up.
//!
//! | limit | what it stops |
//! |---|---|
//! | 1024 connections | memory and descriptors used up by connecting |
//! | 10 s for the handshake | holding a connection without ever proving to speak TLS |
//! | 10 s for a request's head | holding a connection by sending slowly |
//! | 5 min without a request | holding connections that are of no use |
//! | 64 KiB of request head, 128 streams | using up memory by one connection |
//!
//! A connection whose peer is gone without a word is found by HTTP/2 pings.
//!
//! How long a request's body and its answer may take is for the router to limit: the delivery
//! service has answers that last for hours.

mod idle;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use futures::future::{Either, select};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, service_fn};
use tracing::{debug, warn};

use self::idle::Activity;
use crate::metrics::{ConnectionOutcome, ServerMetrics, ServerName};

/// Listens on a port, of every address: IPv6 with IPv4, or IPv4 where there is no IPv6.
///
/// # Errors
/// Fails when the port is taken or not ours.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from(([0_u16; 8], port))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from(([0_u8; 4], port))).await,
    }
}

/// One server of this process.
#[derive(Clone)]
pub struct Server {
    /// Its name in metrics and logs.
    pub name: ServerName,
    /// What answers.
    pub router: Router,
    /// How TLS is spoken; none for plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Where connections are counted.
    pub metrics: ServerMetrics,
    /// How long requests may take to finish once told to stop.
    pub drain: Duration,
}

impl Server {
    /// Accepts and serves connections until told to stop, then lets requests finish.
    ///
    /// # Guarantees
    /// Once this returns, every connection is closed, at the latest when the time to drain is over.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
        while let Some((stream, permit)) = self.accept(&listener, &room, &stop).await {
            let connection = self.clone().connection(stream, permit, graceful.watcher());
            tasks.spawn(abort.clone().run_until_cancelled_owned(connection));
        }
        drop(listener);
        tasks.close();
        let ended = async { tokio::join!(graceful.shutdown(), tasks.wait()) };
        if timeout(self.drain, ended).await.is_err() {
            warn!(server = ?self.name, "requests took longer than the time to drain");
        }
        abort.cancel();
        tasks.wait().await;
    }

    /// The next connection, once there is room for it; none when told to stop.
    async fn accept(
        &self,
        listener: &TcpListener,
        room: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let next = async {
            let permit = Arc::clone(room).acquire_owned().await.ok()?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => return Some((stream, permit)),
                    Err(error) => {
                        warn!(server = ?self.name, %error, "a connection was not accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(next).await.flatten()
    }

    /// Serves one connection to its end.
    async fn connection(self, stream: TcpStream, permit: OwnedSemaphorePermit, watcher: Watcher) {
        let open = self.metrics.opened(self.name);
        // Without this, an answer could wait for the acknowledgement of its own beginning.
        let _ = stream.set_nodelay(true);
        let outcome = match self.tls.clone() {
            Some(tls) => match timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
                Ok(Ok(stream)) => self.requests(stream, watcher).await,
                Ok(Err(_)) | Err(_) => ConnectionOutcome::HandshakeFailed,
            },
            None => self.requests(stream, watcher).await,
        };
        debug!(server = ?self.name, ?outcome, "a connection ended");
        self.metrics.ended(self.name, outcome);
        drop((open, permit));
    }

    async fn requests<S>(&self, stream: S, watcher: Watcher) -> ConnectionOutcome
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::begun();
        let service = counted(self.router.clone(), Arc::clone(&activity));
        let service = hyper_util::service::TowerToHyperService::new(service);
        let builder = protocol();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let served = std::pin::pin!(watcher.watch(connection));
        let idle = std::pin::pin!(activity.idle(FIRST_REQUEST, IDLE));
        match select(served, idle).await {
            Either::Left((Ok(()), _)) => ConnectionOutcome::Closed,
            Either::Left((Err(_), _)) => ConnectionOutcome::Broken,
            Either::Right(_) => ConnectionOutcome::Idle,
        }
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_header_list_size(HEAD_SIZE_H2)
        .max_concurrent_streams(STREAMS);
    builder
}

/// The router, with each request counted as activity until the end of its answer.
fn counted(
    router: Router,
    activity: Arc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    service_fn(move |request: Request<Incoming>| {
        let (mut router, under_way) = (router.clone(), activity.request());
        async move {
            let answer = router.call(request).await?;
            Ok(answer.map(|body| under_way.until_end_of(body)))
        }
    })
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 1024;
const FIRST_REQUEST: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(10);
const HEAD_SIZE: usize = 64 * 1024;
const HEAD_SIZE_H2: u32 = 64 * 1024;
const IDLE: Duration = Duration::from_secs(300);
const PING: Duration = Duration::from_secs(30);
const STREAMS: u32 = 128;

#[cfg(test)]
mod callers_tests;
#[cfg(test)]
mod tests;
