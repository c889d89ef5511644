//! The servers: an accept loop that no single peer can hold up.
//!
//! | limit | what it stops |
//! |---|---|
//! | 4096 connections, 64 of one address; one more takes the place of one that does nothing | memory and descriptors used up by connecting, and the port held by being there |
//! | 10 s for the handshake | holding a connection without ever proving to speak TLS |
//! | 10 s for a request's head | holding a connection by sending slowly |
//! | 5 min without a request | holding connections that are of no use |
//! | 64 KiB of request head, 128 streams (16 where no API server asks) | using up memory by one connection |
//! | 64 KiB of a body that is not read yet | the same, and holding up what is read by what waits |
//!
//! A connection whose peer is gone without a word is found by HTTP/2 pings.
//!
//! How long a request's body and its answer may take is for the router to limit: the delivery
//! service has answers that last for hours.

mod crowd;
mod idle;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, service_fn};
use tracing::{debug, warn};

use self::{
    crowd::{Crowd, Place},
    idle::Activity,
};
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
        let crowd = Crowd::new(CONNECTIONS, OF_ONE_ADDRESS, !self.lasts());
        let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
        let mut closing = pin!(async {
            stop.cancelled().await;
            // Whoever has connected by now may have asked already.
            sleep(LAST_CALL).await;
        });
        while let Some((stream, place)) = self.accept(&listener, &crowd, closing.as_mut()).await {
            let connection = self.clone().connection(stream, place, stop.clone());
            tasks.spawn(abort.clone().run_until_cancelled_owned(connection));
        }
        drop(listener);
        tasks.close();
        if timeout(self.drain, tasks.wait()).await.is_err() {
            warn!(server = ?self.name, "requests took longer than the time to drain");
        }
        abort.cancel();
        tasks.wait().await;
    }

    /// The next connection for which there is a place; none when it is time to close.
    async fn accept(
        &self,
        listener: &TcpListener,
        crowd: &Arc<Crowd>,
        closing: impl Future<Output = ()>,
    ) -> Option<(TcpStream, Place)> {
        let next = async {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => match crowd.place(peer.ip()) {
                        Some(place) => return (stream, place),
                        None => debug!(server = ?self.name, %peer, "a connection had no place"),
                    },
                    Err(error) => {
                        warn!(server = ?self.name, %error, "a connection was not accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            next = next => Some(next),
            () = closing => None,
        }
    }

    /// Serves one connection to its end, or until its place is needed.
    async fn connection(self, stream: TcpStream, place: Place, stop: CancellationToken) {
        let open = self.metrics.opened(self.name);
        // Without this, an answer could wait for the acknowledgement of its own beginning.
        let _ = stream.set_nodelay(true);
        let outcome = tokio::select! {
            outcome = self.handshake_and_requests(stream, &place, stop) => outcome,
            () = place.is_needed() => ConnectionOutcome::Idle,
        };
        debug!(server = ?self.name, ?outcome, "a connection ended");
        self.metrics.ended(self.name, outcome);
        drop((open, place));
    }

    async fn handshake_and_requests(
        &self,
        stream: TcpStream,
        place: &Place,
        stop: CancellationToken,
    ) -> ConnectionOutcome {
        let Some(tls) = self.tls.clone() else {
            return self
                .requests(stream, self.protocol(None), place, stop)
                .await;
        };
        match timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => {
                let protocol = self.protocol(stream.get_ref().1.alpn_protocol());
                self.requests(stream, protocol, place, stop).await
            }
            Ok(Err(_)) | Err(_) => ConnectionOutcome::HandshakeFailed,
        }
    }

    async fn requests<S>(
        &self,
        stream: S,
        protocol: auto::Builder<TokioExecutor>,
        place: &Place,
        stop: CancellationToken,
    ) -> ConnectionOutcome
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = place.activity();
        let service = counted(self.router.clone(), Arc::clone(activity));
        let service = hyper_util::service::TowerToHyperService::new(service);
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
        let (outcome, patience) = tokio::select! {
            served = connection.as_mut() => return ended(&served, ConnectionOutcome::Closed),
            () = activity.idle(FIRST_REQUEST, IDLE) => (ConnectionOutcome::Idle, GOODBYE),
            () = stop.cancelled() => (ConnectionOutcome::Closed, self.drain),
        };
        // In order: its next request may be on its way.
        connection.as_mut().graceful_shutdown();
        let served = timeout(patience, connection).await;
        served.map_or(outcome, |served| ended(&served, outcome))
    }

    /// HTTP/2 where that was negotiated, or what the first bytes say. A connection that has sent none by
    /// then is cut off when told to stop, unless it is known to be HTTP/2: an API server's request may be
    /// on its way.
    fn protocol(&self, negotiated: Option<&[u8]>) -> auto::Builder<TokioExecutor> {
        let builder = auto::Builder::new(TokioExecutor::new());
        let mut builder = match negotiated {
            Some(b"h2") => builder.http2_only(),
            _ => builder,
        };
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
            .max_concurrent_streams(self.streams())
            .initial_stream_window_size(UNREAD)
            .initial_connection_window_size(self.streams() * UNREAD);
        builder
    }

    /// How many requests a connection may have at once.
    fn streams(&self) -> u32 {
        match self.name {
            // An API server asks all that it has to ask by one connection.
            ServerName::Webhook => 128,
            ServerName::Health | ServerName::Release => 16,
        }
    }

    /// Whether requests may last for hours.
    fn lasts(&self) -> bool {
        match self.name {
            ServerName::Release => true,
            ServerName::Health | ServerName::Webhook => false,
        }
    }
}

fn ended<E>(served: &Result<(), E>, outcome: ConnectionOutcome) -> ConnectionOutcome {
    match served {
        Ok(()) => outcome,
        Err(_) => ConnectionOutcome::Broken,
    }
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
/// Each agent has one that lasts, and one for its requests.
const CONNECTIONS: usize = 4096;
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long the end of a connection that was idle may take.
const GOODBYE: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(10);
const HEAD_SIZE: usize = 64 * 1024;
const HEAD_SIZE_H2: u32 = 64 * 1024;
const IDLE: Duration = Duration::from_secs(300);
/// How long to go on accepting after the stop: connections that were made before it.
const LAST_CALL: Duration = Duration::from_millis(50);
const PING: Duration = Duration::from_secs(30);
/// API servers may come from the one address of a proxy; an agent needs three. One inside the pod has no
/// part.
const OF_ONE_ADDRESS: usize = 64;
/// What a peer may send of a body before it is read. A connection has room for that of all streams:
/// with less, requests that wait for their turn use it up, and none whose turn it is can arrive. It
/// is what peers begin with, so that none sends more before it knows.
const UNREAD: u32 = 64 * 1024 - 1;

#[cfg(test)]
mod callers_tests;
#[cfg(test)]
mod tests;
