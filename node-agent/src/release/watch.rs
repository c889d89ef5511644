//! One stream to an operator, on a connection of its own: what the volumes hold goes out, what
//! changed of it comes in. No value and no key ever passes here, so this connection may live.

use std::{io, time::Duration};

use secretvault_delivery::{
    MAX_WATCH_MESSAGE_BYTES, WATCH_HEARTBEAT, WATCH_SILENCE,
    v1::{WatchEvent, WatchRequest, delivery_client::DeliveryClient},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Request, Status, Streaming, transport::Channel};
use tracing::{debug, info, warn};

use super::{
    Address, Credentials, Holdings,
    backoff::{self, Backoff},
    connect,
    subscriptions::Told,
};

/// Hears what the operator says of a stream.
pub trait Listener {
    /// A stream stands, or has been lost.
    fn connected(&self, stands: bool);

    /// What some volumes show is no more as it was released. Must not wait.
    fn changed(&self, event: &WatchEvent);
}

/// Keeps a stream.
#[derive(Debug)]
pub struct Watch {
    address: Address,
    credentials: Credentials,
}

/// Why a stream is no more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("cannot read the node agent's own token")]
    AgentToken(#[source] io::Error),
    #[error("the operator ended it")]
    Ended,
    #[error("no stream stood within {} s", .0.as_secs_f32())]
    NotOpened(Duration),
    #[error("nothing came or went for {} s", WATCH_SILENCE.as_secs())]
    Silent,
    #[error("the operator ended it: {1}")]
    Status(Code, String),
}

impl Lost {
    /// Whether the next stream will be lost likewise: an operator that is older than streams, or
    /// has more of them than it takes.
    fn will_last(&self) -> bool {
        match self {
            Self::Status(code, _) => matches!(code, Code::ResourceExhausted | Code::Unimplemented),
            Self::AgentToken(_) | Self::Ended | Self::NotOpened(_) | Self::Silent => false,
        }
    }
}

impl Watch {
    /// Where to, and with which token.
    pub fn new(address: Address, credentials: Credentials) -> Self {
        Self {
            address,
            credentials,
        }
    }

    /// Keeps a stream, and opens another when one is lost. Never returns; may be dropped at any
    /// time.
    pub async fn run(&self, holdings: &Holdings, listener: &impl Listener) {
        let (mut backoff, mut is_known) = (Backoff::default(), false);
        loop {
            let begun = Instant::now();
            let lost = match self.open(holdings).await {
                Ok(conversation) => {
                    info!("watching for changes");
                    is_known = false;
                    listener.connected(true);
                    let lost = conversation.hold(holdings, listener).await;
                    listener.connected(false);
                    lost
                }
                Err(lost) => lost,
            };
            let error = message(&lost);
            if std::mem::replace(&mut is_known, true) {
                debug!(error, "still not watching for changes");
            } else {
                warn!(error, "not watching for changes: trying again");
            }
            let chance = getrandom::u32().unwrap_or_default();
            let pause = if lost.will_last() {
                backoff::long(chance)
            } else {
                backoff.pause(begun.elapsed(), chance)
            };
            sleep(pause).await;
        }
    }

    async fn open(&self, holdings: &Holdings) -> Result<Conversation<Streaming<WatchEvent>>, Lost> {
        let opened = timeout(PATIENCE, self.open_patiently(holdings)).await;
        opened.unwrap_or(Err(Lost::NotOpened(PATIENCE)))
    }

    async fn open_patiently(
        &self,
        holdings: &Holdings,
    ) -> Result<Conversation<Streaming<WatchEvent>>, Lost> {
        let mut told = Told::default();
        let (say, said) = mpsc::channel(1);
        // Before the operator answers: it may want to hear something first.
        let first = told.next(&holdings.words()).unwrap_or_default();
        let _ = say.try_send(first);
        let authorization = self.credentials.authorization().await;
        let mut request = Request::new(ReceiverStream::new(said));
        request
            .metadata_mut()
            .insert("authorization", authorization.map_err(Lost::AgentToken)?);
        let channel = connect::channel(&self.address, &self.credentials.ca_file);
        let mut client =
            DeliveryClient::new(channel.clone()).max_decoding_message_size(MAX_WATCH_MESSAGE_BYTES);
        let answer = client.watch(request).await;
        let events = answer.map_err(|status| ended(&status))?.into_inner();
        Ok(Conversation {
            _channel: Some(channel),
            ..Conversation::new(events, say, told)
        })
    }
}

/// A stream that stands.
struct Conversation<E> {
    events: E,
    say: mpsc::Sender<WatchRequest>,
    told: Told,
    heard: Instant,
    said: Instant,
    /// The connection lives as long as this.
    _channel: Option<Channel>,
}

impl<E: Stream<Item = Result<WatchEvent, Status>> + Unpin> Conversation<E> {
    fn new(events: E, say: mpsc::Sender<WatchRequest>, told: Told) -> Self {
        let now = Instant::now();
        Self {
            events,
            say,
            told,
            heard: now,
            said: now,
            _channel: None,
        }
    }

    /// Speaks and listens until the stream is lost.
    async fn hold(mut self, holdings: &Holdings, listener: &impl Listener) -> Lost {
        let mut changes = holdings.changes();
        let mut next = self.told.next(&holdings.words());
        // Pods come and change together: one word for all of them. Events are heard meanwhile.
        let mut gathered: Option<Instant> = None;
        loop {
            let idle = next.is_none();
            let silent = self.heard.min(self.said) + WATCH_SILENCE;
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Ok(event)) => {
                        self.heard = Instant::now();
                        if !event.changed.is_empty() {
                            listener.changed(&event);
                        }
                    }
                    Some(Err(status)) => return ended(&status),
                    None => return Lost::Ended,
                },
                permit = self.say.reserve(), if !idle => {
                    let Ok(permit) = permit else { return Lost::Ended };
                    permit.send(next.take().unwrap_or_default());
                    self.said = Instant::now();
                    next = self.told.next(&holdings.words());
                }
                _ = changes.changed(), if idle && gathered.is_none() => {
                    gathered = Some(Instant::now() + GATHER);
                }
                () = sleep_until(gathered.unwrap_or(silent)), if gathered.is_some() => {
                    gathered = None;
                    next = next.or_else(|| self.told.next(&holdings.words()));
                }
                () = sleep_until(self.said + WATCH_HEARTBEAT), if idle && gathered.is_none() => {
                    next = Some(WatchRequest::default());
                }
                () = sleep_until(silent) => return Lost::Silent,
            }
        }
    }
}

fn ended(status: &Status) -> Lost {
    Lost::Status(status.code(), super::error::described(status))
}

fn message(lost: &Lost) -> String {
    let cause = std::error::Error::source(lost);
    cause.map_or_else(|| lost.to_string(), |cause| format!("{lost}: {cause}"))
}

/// How long a stream may take to stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer than the volumes of one batch need.
const GATHER: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
