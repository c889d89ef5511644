//! The messages of agents, as they arrive: each is looked at before anything of it is decoded.
//!
//! A message is told by its frame: a flag, four bytes that say how long it is, and as many bytes.
//! What asks for a release is one message, and read whole; a stream's go on one by one.
//!
//! # Guarantees
//! * No more is read of a large message than its node has room for. Small ones need none: there are
//!   no more of them than turns.
//! * What goes on has no more in it than [`outline`] allows.
//!
//! # Caveats
//! While gRPC takes a message over it is there twice, for a moment.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use futures::{StreamExt as _, stream};
use prost::bytes::BytesMut;
use secretvault_delivery::{MAX_REQUEST_BYTES, MAX_WATCH_MESSAGE_BYTES};
use tokio::time::timeout;

use super::outline::{self, Unfit};
use super::shares::{Share, Shares};
use super::verdict::Unavailable;

/// All the room for large messages, in bytes.
pub(super) fn shares() -> Shares {
    Shares::new(ROOM, LARGEST)
}

/// The same request when its one message is there, and what it has of the room.
///
/// # Errors
/// There is another message than one that can be served.
pub(super) async fn whole(
    request: Request,
    node: &str,
    room: &Shares,
) -> Result<(Request, Option<Share>), Unfit> {
    let (parts, body) = request.into_parts();
    let mut frames = Frames::of(body);
    let length = frames.length(MAX_REQUEST_BYTES).await?;
    let length = length.ok_or(Unfit::Malformed)?;
    let share = take(room, node, length).await?;
    frames.read.reserve(length);
    let frame = frames.take(length).await?;
    // gRPC would decode what comes after it as well.
    if frames.has(1).await? {
        return Err(Unfit::Malformed);
    }
    outline::of_release(message(&frame))?;
    Ok((Request::from_parts(parts, Body::from(frame)), share))
}

/// The same body, one message after the other. It ends with one that no agent may send.
pub(super) fn each(body: Body) -> Body {
    let frames = Frames::of(body);
    Body::from_stream(stream::try_unfold(frames, |mut frames| async move {
        let frame = frames.next().await.map_err(axum::Error::from)?;
        Ok::<_, axum::Error>(frame.map(|frame| (frame, frames)))
    }))
}

/// Waits for room for a message, unless it is small.
async fn take(room: &Shares, node: &str, length: usize) -> Result<Option<Share>, Unfit> {
    if length <= SMALL {
        return Ok(None);
    }
    let share = timeout(PATIENCE, room.take(node, length)).await;
    let share = share.ok().flatten().ok_or(Unavailable::Busy)?;
    Ok(Some(share))
}

/// What is in a frame.
fn message(frame: &[u8]) -> &[u8] {
    frame.get(PREFIX..).unwrap_or_default()
}

/// The frames of a body.
struct Frames {
    body: BodyDataStream,
    /// What has come of the next ones.
    read: BytesMut,
}

impl Frames {
    fn of(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            read: BytesMut::new(),
        }
    }

    /// The next frame of a stream. None: the body has ended.
    async fn next(&mut self) -> Result<Option<Bytes>, Unfit> {
        let Some(length) = self.length(MAX_WATCH_MESSAGE_BYTES).await? else {
            return Ok(None);
        };
        let frame = self.take(length).await?;
        outline::of_watch(message(&frame))?;
        Ok(Some(frame))
    }

    /// How long the next frame is; its message has at most so many bytes. None: the body has ended.
    async fn length(&mut self, most: usize) -> Result<Option<usize>, Unfit> {
        if !self.has(PREFIX).await? && self.read.is_empty() {
            return Ok(None);
        }
        // Another flag means a compressed message: no agent sends one.
        let Some(&[0, ref length @ ..]) = self.read.first_chunk::<PREFIX>() else {
            return Err(Unfit::Malformed);
        };
        match usize::try_from(u32::from_be_bytes(*length)) {
            Ok(length) if length <= most => Ok(Some(PREFIX + length)),
            Ok(_) | Err(_) => Err(Unfit::TooLarge),
        }
    }

    /// Takes the next frame, of which the length is known.
    async fn take(&mut self, length: usize) -> Result<Bytes, Unfit> {
        if !self.has(length).await? {
            return Err(Unfit::Malformed);
        }
        Ok(self.read.split_to(length).freeze())
    }

    /// Reads on until so much is there. False: the body has ended before.
    async fn has(&mut self, length: usize) -> Result<bool, Unfit> {
        while self.read.len() < length {
            match self.body.next().await {
                Some(Ok(part)) => self.read.extend_from_slice(&part),
                Some(Err(error)) => return Err(Unfit::Broken(error)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// What stands before a message.
const PREFIX: usize = 5;

/// The largest frame: what one node may have at once.
const LARGEST: usize = PREFIX + MAX_REQUEST_BYTES;

/// Room for large messages of several nodes, beside one that was stolen and keeps its part.
const ROOM: usize = 4 * LARGEST;

/// Up to here a message needs no room. An agent's usual ones have some kilobytes, and a batch of 64
/// volumes with their tokens half of this; those of all turns at once have 16 MiB.
const SMALL: usize = 256 * 1024;

/// How long a message waits for room.
const PATIENCE: Duration = Duration::from_secs(2);
