//! When a connection is of no use: no request under way, and none for a while.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// What happens on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    under_way: usize,
    requests: u64,
    quiet_since: Instant,
    /// When a request last began or ended.
    last: Instant,
}

impl Activity {
    /// A connection without a request yet.
    pub(super) fn begun() -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            under_way: 0,
            requests: 0,
            quiet_since: now,
            last: now,
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Counts a request as under way, until what this gives is dropped.
    pub(super) fn request(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.requests += 1;
        state.last = Instant::now();
        UnderWay(Arc::clone(self))
    }

    /// Ends when the connection was quiet for too long, before its first request or after one.
    pub(super) async fn idle(&self, first: Duration, later: Duration) {
        while let Some(end) = self.look_again(Instant::now(), first, later) {
            sleep_until(end).await;
        }
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.state().under_way > 0
    }

    /// What sorts connections by how much would be lost with them: whether they ever had a request, and
    /// when one last began or ended.
    pub(super) fn worth(&self) -> (bool, Instant) {
        let state = self.state();
        (state.requests > 0, state.last)
    }

    /// When next to look; none when the connection is idle by now.
    fn look_again(&self, now: Instant, first: Duration, later: Duration) -> Option<Instant> {
        let state = self.state();
        let allowed = if state.requests == 0 { first } else { later };
        let end = if state.under_way > 0 {
            now + allowed
        } else {
            state.quiet_since + allowed
        };
        (now < end).then_some(end)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    /// The answer's body, with the request under way until its end.
    pub(super) fn until_end_of(self, body: Body) -> Body {
        Body::new(CountedBody {
            body,
            _under_way: self,
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.quiet_since = Instant::now();
        state.last = state.quiet_since;
    }
}

struct CountedBody {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const LATER: Duration = Duration::from_secs(300);

    fn idle_after(activity: &Activity, seconds: u64) -> bool {
        let now = activity.state().quiet_since + Duration::from_secs(seconds);
        activity.look_again(now, FIRST, LATER).is_none()
    }

    #[test]
    fn without_a_first_request_a_connection_is_soon_idle() {
        let activity = Activity::begun();
        assert!(!idle_after(&activity, 9));
        assert!(idle_after(&activity, 10));
    }

    #[test]
    fn after_a_request_a_connection_may_rest_longer() {
        let activity = Activity::begun();
        drop(activity.request());
        assert!(!idle_after(&activity, 299));
        assert!(idle_after(&activity, 300));
    }

    #[test]
    fn a_request_that_lasts_is_not_idle() {
        let activity = Activity::begun();
        let under_way = activity.request();
        assert!(!idle_after(&activity, 100_000));
        drop(under_way);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_the_time_is_over() {
        let (activity, begun) = (Activity::begun(), Instant::now());
        activity.idle(FIRST, LATER).await;
        assert_eq!(begun.elapsed(), FIRST);
        drop(activity.request());
        activity.idle(FIRST, LATER).await;
        assert_eq!(begun.elapsed(), FIRST + LATER);
    }
}
