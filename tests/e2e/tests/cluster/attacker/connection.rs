//! A connection that is kept, for hundreds of questions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use secretvault_delivery::v1::delivery_client::DeliveryClient;
use secretvault_delivery::v1::{ReleaseRequest, Volume};
use secretvault_e2e::Part;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::stream::Stream;
use super::wire::{self, Heard};
use super::{Answer, Operator, Outcome};

/// One connection to one replica.
pub(crate) struct Connection {
    pub(super) runtime: Runtime,
    pub(super) channel: Channel,
    heard: Heard,
}

impl Operator {
    /// A connection to each replica, at its pod's own address.
    #[must_use]
    pub(crate) fn replicas(&self) -> Vec<Connection> {
        let port = self.address.port();
        let replicas = Part::operators().into_iter();
        let addresses = replicas.map(|replica| format!("{}:{port}", replica.address));
        let addresses = addresses.map(|address| address.parse().expect("an address"));
        addresses.map(|address| self.connect_to(address)).collect()
    }

    /// A connection to any replica.
    #[must_use]
    pub(crate) fn connect(&self) -> Connection {
        self.connect_to(self.address)
    }

    fn connect_to(&self, address: SocketAddr) -> Connection {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        // The channel has a task of its own.
        let entered = runtime.enter();
        let (channel, heard) = wire::connect(address, Arc::clone(&self.tls));
        drop(entered);
        Connection {
            runtime,
            channel,
            heard,
        }
    }
}

impl Connection {
    /// Asks for one volume, with these `authorization` headers.
    #[must_use]
    pub(crate) fn ask(&self, authorization: &[String], volume: &Volume) -> Answer {
        let _ = self.heard.take();
        let mut client = DeliveryClient::new(self.channel.clone());
        let mut raw = Vec::new();
        let answer = until_served(|| {
            let message = ReleaseRequest {
                volumes: vec![volume.clone()],
            };
            let request = authorized(message, authorization);
            let answer = self.runtime.block_on(client.release(request));
            // Of each try: one that is not served must give nothing away either.
            raw.extend(self.heard.take());
            // Headers are compressed on the wire.
            raw.extend(format!("{answer:?}").into_bytes());
            answer
        });
        Answer {
            outcome: match answer {
                Ok(answer) => Outcome::of(answer.into_inner()),
                Err(status) => Outcome::rejected(&status),
            },
            raw,
        }
    }

    /// Opens a stream of `Watch`, or is told why not.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) fn watch(self, authorization: &[String]) -> Result<Stream, Outcome> {
        Stream::open(self, authorization)
    }
}

/// Calls again while the operator says that it cannot serve now: of a busy one that is right, and no verdict.
pub(super) fn until_served<T>(mut call: impl FnMut() -> Result<T, Status>) -> Result<T, Status> {
    let deadline = Instant::now() + BUSY;
    loop {
        match call() {
            Err(status) if is_busy(&status) && Instant::now() < deadline => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}

/// What our own side says of a connection that fails has a source; what the operator says has none.
fn is_busy(status: &Status) -> bool {
    status.code() == Code::Unavailable && std::error::Error::source(status).is_none()
}

/// How long the operator may be busy. Whoever judges the answer sees it then.
const BUSY: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// A call with these `authorization` headers.
pub(super) fn authorized<T>(message: T, authorization: &[String]) -> Request<T> {
    let mut request = Request::new(message);
    for value in authorization {
        let value = value.parse().expect("a header's value");
        request.metadata_mut().append("authorization", value);
    }
    request
}
