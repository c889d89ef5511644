//! Room: the bytes of grants that are in memory at once.
//!
//! A grant is as large as what its pod may have, and many are asked for at once when a vault
//! changes or a node starts. So each answer has room before anything is copied for it, and keeps it
//! until the agent has read the last of it.
//!
//! # Assumptions
//! An agent that is gone is found by its connection's pings: then its answers go, and their room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::Frame;
use secretvault_delivery::MAX_MESSAGE_BYTES;

use super::shares::{Share, Shares};

/// The room for one answer. Goes with it from the service to the gate.
#[derive(Clone)]
pub(super) struct Room {
    _share: Arc<Share>,
}

impl Room {
    /// All the room that there is.
    pub(super) fn shares() -> Shares {
        Shares::new(2 * LARGEST, LARGEST)
    }

    /// Waits for room for so many bytes. None: there is none any more.
    pub(super) async fn wait(shares: &Shares, node: &str, bytes: usize) -> Option<Self> {
        let share = shares.take(node, bytes.div_ceil(KIB)).await?;
        Some(Self {
            _share: Arc::new(share),
        })
    }
}

/// Lets an answer that has room keep it until it is sent.
pub(super) fn kept_until_sent(mut answer: Response) -> Response {
    let Some(room) = answer.extensions_mut().remove::<Room>() else {
        return answer;
    };
    answer.map(|body| {
        Body::new(Sending {
            body,
            part: Bytes::new(),
            _room: room,
        })
    })
}

/// A body that is given out in small parts: what takes it asks for the next one when it has sent
/// the last. As one large part, all of it would wait in a queue where nobody counts it.
struct Sending {
    body: Body,
    /// What is left of the last frame.
    part: Bytes,
    _room: Room,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
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
        let part = self.part.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.part.is_empty() && self.body.is_end_stream()
    }
}

const KIB: usize = 1024;

/// The largest answer, in KiB: what one node may have at once. All of them may have twice that, so
/// that one which does not read its answers leaves room for the largest of another.
const LARGEST: usize = MAX_MESSAGE_BYTES / KIB;

/// How much of an answer is on its way to the connection at once.
const PART: usize = 64 * KIB;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

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

    #[tokio::test]
    async fn the_largest_answer_has_room_beside_a_node_that_keeps_all_that_it_may() {
        let shares = Room::shares();
        let kept = Room::wait(&shares, "stolen", MAX_MESSAGE_BYTES).await;
        let other = Room::wait(&shares, "node-a", MAX_MESSAGE_BYTES);
        let other = tokio::time::timeout(SOON, other).await;
        assert!(other.is_ok());
        drop(kept);
    }

    const SOON: std::time::Duration = std::time::Duration::from_millis(1);
}
