//! How much memory reviews may use, and for how long.
//!
//! Whoever reaches the port can send a review, and the same process releases secrets to pods: it
//! must not run out of memory for anybody.
//!
//! | limit | what it stops |
//! |---|---|
//! | 10 s for a review | holding room for ever: no API server waits longer |
//! | 3 s for a body, once it is its turn | holding room by sending slowly: an API server sends it at once |
//! | 128 reviews | using up memory by waiting: each has a head, and 64 KiB of body that nobody reads yet |
//! | 8 MiB of bodies, 4 of pods' | the same by sending: each is there twice when it is put together |
//! | 34 MiB of what they become, 20 of pods' | the same by what is short as text: `{},` is a volume of a pod, and takes 9 KiB |
//!
//! That is 94 MiB at most. Pods have a room of their own: they wait for no key provider, and not for vaults
//! that do.
//!
//! # Guarantees
//! * Reviews wait for room in the order in which they came. Only the 129th at once is told to come
//!   back, which an API server does by itself.
//! * A review that takes long, for a key provider is slow, has no room of a body any more: others
//!   are read meanwhile.
//!
//! # Caveats
//! * Whoever goes on filling the room keeps others waiting. Who may reach the port, and must prove
//!   to be an API server, is said elsewhere: see `docs/hardening.md`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

/// The room that the reviews of some routes have together.
#[derive(Debug)]
pub(super) struct Room {
    /// Those under way, whether they wait or not.
    reviews: Semaphore,
    /// Bodies that are being read.
    bodies: Memory,
    /// Bodies that are read, and what they become.
    parsed: Memory,
}

impl Room {
    /// For reviews of vaults.
    pub(super) fn of_vaults() -> Arc<Self> {
        Self::of(REVIEWS, BODIES, PARSED)
    }

    /// For reviews of pods.
    pub(super) fn of_pods() -> Arc<Self> {
        Self::of(REVIEWS, BODIES_OF_PODS, PARSED_OF_PODS)
    }

    fn of(reviews: usize, bodies: usize, parsed: usize) -> Arc<Self> {
        Arc::new(Self {
            reviews: Semaphore::new(reviews),
            bodies: Memory::of(bodies),
            parsed: Memory::of(parsed),
        })
    }

    /// A way in for reviews of at most `longest` bytes, in which an object of a list takes at most
    /// `listed` bytes.
    pub(super) fn door(self: &Arc<Self>, longest: usize, listed: usize) -> Door {
        Door {
            room: Arc::clone(self),
            longest,
            listed,
        }
    }
}

/// Memory of which each takes a part, in the order in which they ask.
#[derive(Debug)]
struct Memory {
    kib: usize,
    free: Semaphore,
}

impl Memory {
    fn of(bytes: usize) -> Self {
        let kib = bytes / KIB;
        Self {
            kib,
            free: Semaphore::new(kib),
        }
    }

    /// So much of it, once it is free. None: there is never so much.
    async fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let kib = Some(bytes.div_ceil(KIB)).filter(|kib| *kib <= self.kib)?;
        self.free.acquire_many(u32::try_from(kib).ok()?).await.ok()
    }
}

/// A way into the room.
#[derive(Clone, Debug)]
pub(super) struct Door {
    room: Arc<Room>,
    longest: usize,
    listed: usize,
}

impl Door {
    /// The routes, behind this door.
    pub(super) fn before(self, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(self, admit))
    }

    async fn serve(&self, request: Request, next: Next) -> Result<Response, Refused> {
        let Ok(_place) = self.room.reviews.try_acquire() else {
            return Err(Refused::Busy);
        };
        let (parts, body) = request.into_parts();
        let length = self.length(&body)?;
        let reading = self.room.bodies.take(length).await;
        let reading = reading.ok_or(Refused::TooLong(self.longest))?;
        let body = self.read(body).await?;
        let parsed = self.room.parsed.take(weight(&body, self.listed)).await;
        let _parsed = parsed.ok_or(Refused::TooMany)?;
        drop(reading);
        let mut request = Request::from_parts(parts, Body::from(body));
        // It was limited above, by this route's own measure.
        DefaultBodyLimit::disable().apply(&mut request);
        Ok(next.run(request).await)
    }

    /// How long the body may get: as long as it says, or as any may where it does not say.
    fn length(&self, body: &Body) -> Result<usize, Refused> {
        let Some(said) = body.size_hint().upper() else {
            return Ok(self.longest);
        };
        let said = usize::try_from(said).ok();
        let said = said.filter(|said| *said <= self.longest);
        said.ok_or(Refused::TooLong(self.longest))
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refused> {
        let mut request = Request::new(body);
        DefaultBodyLimit::max(self.longest).apply(&mut request);
        let read = timeout(ARRIVAL, Bytes::from_request(request, &())).await;
        let read = read.map_err(|_elapsed| Refused::Stalled)?;
        read.map_err(Refused::from)
    }
}

/// Lets a review in when there is room for it, and ends it in time.
async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    let served = timeout(DEADLINE, door.serve(request, next)).await;
    let served = served.unwrap_or(Err(Refused::Slow));
    served.unwrap_or_else(|refused| {
        warn!(cause = %refused, "review not served");
        refused.into_response()
    })
}

/// Why a review is not served.
#[derive(Debug, Error)]
enum Refused {
    /// It did not arrive as it should.
    #[error(transparent)]
    Body(#[from] BytesRejection),
    /// There are too many already.
    #[error("there are too many reviews: try again")]
    Busy,
    /// It had no answer in time.
    #[error("the review took too long")]
    Slow,
    /// It did not arrive in time.
    #[error("the review did not arrive in time")]
    Stalled,
    /// It is longer than any is.
    #[error("the review is longer than {0} bytes")]
    TooLong(usize),
    /// It is made of more than any is.
    #[error("the review has too many parts")]
    TooMany,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let code = match &self {
            Self::Body(rejection) => rejection.status(),
            Self::Busy | Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::TooLong(_) | Self::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
        };
        // An API server that is told when comes back by itself.
        let again = matches!(self, Self::Busy).then_some([(RETRY_AFTER, "1")]);
        (code, again, self.to_string()).into_response()
    }
}

/// How many bytes a review takes at most until it is answered. Counted before it is parsed.
fn weight(review: &[u8], listed: usize) -> usize {
    let (mut bytes, mut before) = (review.iter().copied(), b' ');
    let mut weight = COPIES * review.len();
    while let Some(byte) = bytes.next() {
        weight += match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            // In an object, what comes after a comma is a name.
            b'{' if matches!(before, b'[' | b',') => listed,
            b'{' => OBJECT,
            b'[' | b',' => VALUE,
            _ => 0,
        };
        if byte == b'"' {
            skip_string(&mut bytes);
        }
        before = byte;
    }
    weight
}

/// Goes to the end of a string that has begun.
fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(3);
const BODIES: usize = 8 * MIB;
const BODIES_OF_PODS: usize = 4 * MIB;
/// How often a text is there: as it came, as it is read, sealed, and in the patch.
const COPIES: usize = 4;
/// What the API server gives a webhook.
const DEADLINE: Duration = Duration::from_secs(10);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What an object takes whose fields are not known: a node of a map has room for eleven.
pub(super) const OBJECT: usize = KIB;
const PARSED: usize = 34 * MIB;
const PARSED_OF_PODS: usize = 20 * MIB;
const REVIEWS: usize = 128;
/// What any other value takes, with its name and its place in a map or list.
const VALUE: usize = KIB / 2;

#[cfg(test)]
mod tests;
