//! A stream of the service's `Watch`, in an attacker's hands.

use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use secretvault_delivery::WATCH_HEARTBEAT;
use secretvault_delivery::v1::delivery_client::DeliveryClient;
use secretvault_delivery::v1::{Subscription, WatchEvent, WatchRequest};
use secretvault_e2e::PATIENCE;
use tokio::time::sleep;
use tonic::Streaming;

use super::Outcome;
use super::connection::{Connection, authorized, until_served};

/// One stream, on a connection of its own.
pub(crate) struct Stream {
    connection: Connection,
    words: UnboundedSender<WatchRequest>,
    events: Streaming<WatchEvent>,
}

/// A handle that was told of, and the generation that was told with it.
pub(crate) type Told = (Vec<u8>, i64);

impl Stream {
    /// Opens it.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn open(connection: Connection, authorization: &[String]) -> Result<Self, Outcome> {
        let mut client = DeliveryClient::new(connection.channel.clone());
        let begun = until_served(|| {
            let (words, said) = unbounded::<WatchRequest>();
            let request = authorized(said, authorization);
            let begun = connection.runtime.block_on(client.watch(request));
            begun.map(|events| (words, events.into_inner()))
        });
        let (words, events) = begun.map_err(|status| Outcome::rejected(&status))?;
        Ok(Self {
            connection,
            words,
            events,
        })
    }

    /// Says that a volume holds this generation of what each handle stands for.
    pub(crate) fn subscribe<'h>(&self, handles: impl IntoIterator<Item = (&'h [u8], i64)>) {
        let words = handles
            .into_iter()
            .map(|(handle, generation)| Subscription {
                handle: handle.to_vec(),
                generation,
                since: generation,
            });
        self.say(words.collect());
    }

    /// What is told next.
    #[must_use]
    pub(crate) fn next(&mut self) -> Vec<Told> {
        let heard = self.hear(PATIENCE);
        heard.expect("the operator tells something")
    }

    /// What is told within a time, if anything.
    #[must_use]
    pub(crate) fn within(&mut self, patience: Duration) -> Option<Vec<Told>> {
        self.hear(patience)
    }

    fn say(&self, subscriptions: Vec<Subscription>) {
        let word = WatchRequest {
            subscriptions,
            dropped: Vec::new(),
        };
        let said = self.words.unbounded_send(word);
        said.expect("the stream lives");
    }

    /// Empty events say that the stream lives, and so do our empty words.
    fn hear(&mut self, patience: Duration) -> Option<Vec<Told>> {
        let (words, events) = (&self.words, &mut self.events);
        self.connection.runtime.block_on(async {
            tokio::select! {
                told = tell(events) => Some(told),
                () = live(words) => None,
                () = sleep(patience) => None,
            }
        })
    }
}

async fn tell(events: &mut Streaming<WatchEvent>) -> Vec<Told> {
    loop {
        let event = events.next().await.expect("the stream does not end");
        let event = event.expect("the stream is not ended");
        if !event.changed.is_empty() {
            let generations = event.generations.into_iter();
            return event.changed.into_iter().zip(generations).collect();
        }
    }
}

async fn live(words: &UnboundedSender<WatchRequest>) {
    while words.unbounded_send(WatchRequest::default()).is_ok() {
        sleep(WATCH_HEARTBEAT).await;
    }
}
