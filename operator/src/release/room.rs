//! Room: the bytes of grants that are in memory at once.
//!
//! A grant is as large as what its pod may have, and many are asked for at once when a vault
//! changes or a node starts. So each answer has room before anything is copied for it, and keeps it
//! until the agent has read the last of it.
//!
//! # Guarantees
//! * An answer that is not read within [`PATIENCE`] is given up: its bytes and its room go, also
//!   while nobody asks for the next part because the agent takes none.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::Frame;
use secretvault_delivery::MAX_MESSAGE_BYTES;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::shares::{Share, Shares};

/// The room for one answer. Goes with it from the service to the gate.
#[derive(Clone)]
pub(super) struct Room {
    _share: Arc<Share>,
}

impl Room {
    /// All the room that there is.
    pub(super) fn shares() -> Shares {
        Shares::new(3 * LARGEST, LARGEST)
    }

    /// Waits for room for so many bytes. None: there is none any more.
    pub(super) async fn wait(shares: &Shares, node: &str, bytes: usize) -> Option<Self> {
        let share = shares.take(node, bytes.div_ceil(KIB)).await?;
        Some(Self {
            _share: Arc::new(share),
        })
    }
}

/// Lets an answer that has room keep it until it is sent, or given up.
pub(super) fn kept_until_sent(mut answer: Response) -> Response {
    let Some(room) = answer.extensions_mut().remove::<Room>() else {
        return answer;
    };
    answer.map(|body| {
        let unsent = Unsent {
            body,
            part: Bytes::new(),
            _room: room,
        };
        let slot = Arc::new(Mutex::new(Some(unsent)));
        let patience = give_up(Arc::downgrade(&slot));
        Body::new(Sending {
            slot,
            _patience: AbortOnDropHandle::new(tokio::spawn(patience)),
        })
    })
}

async fn give_up(slot: Weak<Slot>) {
    sleep(PATIENCE).await;
    if let Some(slot) = slot.upgrade() {
        drop(unsent(&slot).take());
    }
}

/// A body that is given out in small parts: what takes it asks for the next one when it has sent
/// the last. As one large part, all of it would wait in a queue where nobody counts it.
struct Sending {
    slot: Arc<Slot>,
    /// Goes with the body.
    _patience: AbortOnDropHandle<()>,
}

/// What is not sent yet. None: it is given up.
type Slot = Mutex<Option<Unsent>>;

struct Unsent {
    body: Body,
    /// What is left of the last frame.
    part: Bytes,
    _room: Room,
}

/// The agent did not read its answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not read in time")]
struct NotRead;

/// No writer can panic half-way to anything worse than an answer that ends too soon.
fn unsent(slot: &Slot) -> MutexGuard<'_, Option<Unsent>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unsent {
    fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.part.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(part) => self.part = part,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.part.len().min(PART);
        // A copy: a part that nobody takes must not keep the whole answer in memory.
        let part = Bytes::copy_from_slice(&self.part.split_to(length));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_sent(&self) -> bool {
        self.part.is_empty() && self.body.is_end_stream()
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *unsent(&self.slot) {
            Some(unsent) => unsent.poll_part(context),
            None => Poll::Ready(Some(Err(axum::Error::new(NotRead)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        unsent(&self.slot).as_ref().is_some_and(Unsent::is_sent)
    }
}

const KIB: usize = 1024;

/// The largest answer, in KiB: what one node may have at once, for a volume as large as any has to
/// fit. All of them may have three times that, so that two which do not read their answers leave
/// room for the largest of a third.
const LARGEST: usize = MAX_MESSAGE_BYTES / KIB;

/// How much of an answer is on its way to the connection at once.
const PART: usize = 64 * KIB;

/// How long an answer may take to be sent: three times as long as its agent waits for all of it.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::Instant;

    use super::*;

    /// A body of these frames.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn frames() -> Frames {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let large: Vec<u8> = (0..=255).cycle().take(200 * KIB).collect();
        Frames(
            [
                Frame::data(Bytes::from(large)),
                Frame::data(Bytes::from_static(b"end")),
                Frame::trailers(trailers),
            ]
            .into(),
        )
    }

    async fn next(body: &mut Body) -> Option<Frame<Bytes>> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        frame.await.transpose().unwrap()
    }

    #[tokio::test]
    async fn an_answer_keeps_its_room_until_its_last_part_is_taken() {
        let shares = Shares::new(8, 8);
        let room = Room::wait(&shares, "node-a", 8 * KIB).await;
        let mut answer = Response::new(Body::new(frames()));
        answer.extensions_mut().insert(room.unwrap());
        let mut body = kept_until_sent(answer).into_body();
        let (mut sizes, mut sent) = (Vec::new(), Vec::new());
        let trailers = loop {
            let taken = tokio::time::timeout(SOON, shares.take("node-b", 1)).await;
            assert!(taken.is_err(), "there is room before all is sent");
            match next(&mut body).await.unwrap().into_data() {
                Ok(part) => {
                    sizes.push(part.len());
                    sent.extend_from_slice(&part);
                }
                Err(trailers) => break trailers,
            }
        };
        assert_eq!(sizes, [64 * KIB, 64 * KIB, 64 * KIB, 8 * KIB, 3]);
        assert!(sent.ends_with(b"end") && sent[..4] == [0, 1, 2, 3]);
        assert!(trailers.is_trailers());
        assert!(next(&mut body).await.is_none());
        drop(body);
        assert!(shares.take("node-b", 8).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_in_time_ends_and_nothing_of_it_is_kept() {
        let shares = Shares::new(8, 8);
        let room = Room::wait(&shares, "stolen", 8 * KIB).await;
        let whole = Bytes::from(vec![7; 200 * KIB]);
        let frames = Frames([Frame::data(whole.clone())].into());
        let mut answer = Response::new(Body::new(frames));
        answer.extensions_mut().insert(room.unwrap());
        let mut body = kept_until_sent(answer).into_body();
        let part = next(&mut body).await;
        let begun = Instant::now();
        assert!(
            shares.take("node-a", 8).await.is_some(),
            "while it is there"
        );
        assert_eq!(begun.elapsed(), PATIENCE);
        assert!(whole.is_unique(), "a part that is not sent keeps no more");
        let end = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        assert!(end.await.unwrap().is_err());
        drop(part);
    }

    #[tokio::test]
    async fn the_largest_answer_has_room_beside_two_nodes_that_keep_all_that_they_may() {
        let shares = Room::shares();
        let mut kept = Vec::new();
        for node in ["stolen", "stolen-too", "node-a"] {
            let room = Room::wait(&shares, node, MAX_MESSAGE_BYTES);
            let room = tokio::time::timeout(SOON, room).await;
            assert!(matches!(room, Ok(Some(_))), "{node}");
            kept.push(room);
        }
    }

    const SOON: Duration = Duration::from_millis(1);
}
