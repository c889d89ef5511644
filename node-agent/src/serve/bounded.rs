//! Connections that are few and short: everybody in the cluster may reach this port, and the
//! agent's memory is that of the node's secrets. Nobody holds the port against kubelet's probes: one
//! connection too many takes the place of the oldest.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Sleep, sleep},
};

/// A listener whose connections end by themselves, and the oldest of too many at once.
pub(super) struct Bounded {
    listener: TcpListener,
    /// By age. Whichever is dropped ends its connection.
    places: VecDeque<oneshot::Sender<Infallible>>,
}

/// One of its connections.
pub(super) struct Brief {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    place: oneshot::Receiver<Infallible>,
    over: bool,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: VecDeque::with_capacity(MOST),
        }
    }

    /// A place for one more connection.
    fn place(&mut self) -> oneshot::Receiver<Infallible> {
        self.places.retain(|place| !place.is_closed());
        if self.places.len() >= MOST {
            self.places.pop_front();
        }
        let (place, taken) = oneshot::channel();
        self.places.push_back(place);
        taken
    }
}

impl Brief {
    /// Whether its time, or its place, is over.
    fn poll_over(&mut self, context: &mut Context<'_>) -> bool {
        // Neither is asked again after its end.
        self.over = self.over
            || self.end.as_mut().poll(context).is_ready()
            || Pin::new(&mut self.place).poll(context).is_ready();
        self.over
    }
}

impl Listener for Bounded {
    type Io = Brief;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Brief, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let brief = Brief {
                        stream,
                        end: Box::pin(sleep(LIFE)),
                        place: self.place(),
                        over: false,
                    };
                    return (brief, address);
                }
                // No more file descriptors, or a caller that is gone already.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Brief {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Brief {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.poll_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// kubelet's probes and a few scrapers.
const MOST: usize = 64;

/// A scraper that keeps its connection connects anew now and then.
const LIFE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn listener() -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Bounded::new(listener), address)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_ends() {
        let (mut bounded, address) = listener().await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let (mut brief, _) = bounded.accept().await;
        let ended = brief.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn one_more_takes_the_place_of_the_oldest_that_is_left() {
        let (mut bounded, address) = listener().await;
        let mut callers = Vec::new();
        let mut held = VecDeque::new();
        for _ in 0..=MOST {
            callers.push(TcpStream::connect(address).await.unwrap());
            held.push_back(bounded.accept().await.0);
        }
        // Of one more than there are places for, the first has gone, and frees none by that.
        let mut first = held.pop_front().unwrap();
        let ended = first.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(first);
        let mut second = held.pop_front().unwrap();
        callers[1].write_all(b"x").await.unwrap();
        assert_eq!(second.read_u8().await.unwrap(), b'x');
        // One that ends by itself makes room.
        drop(second);
        callers.push(TcpStream::connect(address).await.unwrap());
        held.push_back(bounded.accept().await.0);
        callers[2].write_all(b"x").await.unwrap();
        assert_eq!(held[0].read_u8().await.unwrap(), b'x');
    }
}
