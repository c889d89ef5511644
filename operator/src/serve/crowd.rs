//! The connections that one server has at once. Nobody holds its port against the others by being
//! there: where there is no place, the connection that has done nothing for longest gives way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::idle::Activity;

/// The places of one server.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    /// Whether a connection with a request under way gives way too. Not where requests last.
    busy_too: bool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by: HashMap<u64, (Arc<Activity>, CancellationToken)>,
}

/// The place of one connection, until it drops.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    activity: Arc<Activity>,
    leave: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    pub(super) fn new(places: usize, busy_too: bool) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            busy_too,
            taken: Mutex::default(),
        })
    }

    /// A place for one more connection: at once, or when another has given way. None: never.
    pub(super) async fn place(self: &Arc<Self>) -> Option<Place> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.ask_one_to_leave();
                Arc::clone(&self.places).acquire_owned().await.ok()?
            }
        };
        let (activity, leave) = (Activity::begun(), CancellationToken::new());
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken
            .by
            .insert(number, (Arc::clone(&activity), leave.clone()));
        drop(taken);
        Some(Place {
            crowd: Arc::clone(self),
            number,
            activity,
            leave,
            _permit: permit,
        })
    }

    fn ask_one_to_leave(&self) {
        let taken = self.taken();
        let mut some = taken.by.values();
        if some.any(|(_, leave)| leave.is_cancelled()) {
            return;
        }
        let may_go = taken
            .by
            .values()
            .filter(|(activity, _)| self.busy_too || !activity.is_busy());
        if let Some((_, leave)) = may_go.min_by_key(|(activity, _)| activity.last()) {
            leave.cancel();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What happens on the connection.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Ends when the connection is to give way.
    pub(super) async fn is_needed(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.taken().by.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::{sleep, timeout};

    use super::*;

    /// So many places, all of them taken, a second apart.
    async fn full(places: usize, busy_too: bool) -> (Arc<Crowd>, Vec<Option<Place>>) {
        let crowd = Crowd::new(places, busy_too);
        let mut taken = Vec::new();
        for _ in 0..places {
            taken.push(crowd.place().await);
            sleep(Duration::from_secs(1)).await;
        }
        (crowd, taken)
    }

    /// Which of them is to leave for one more.
    async fn leaving(crowd: &Arc<Crowd>, taken: &[Option<Place>]) -> Vec<usize> {
        let one_more = timeout(Duration::from_secs(1), crowd.place()).await;
        assert!(one_more.is_err(), "nobody has left yet");
        let told = |place: &Option<Place>| {
            let place = place.as_ref();
            place.is_some_and(|place| place.is_needed().now_or_never().is_some())
        };
        (0..taken.len())
            .filter(|number| told(&taken[*number]))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_done_nothing_for_longest_gives_way() {
        let (crowd, mut taken) = full(3, false).await;
        drop(taken[0].as_ref().unwrap().activity().request());
        assert_eq!(leaving(&crowd, &taken).await, [1]);
        // One that is told makes room enough for one more.
        assert_eq!(leaving(&crowd, &taken).await, [1]);
        taken[1] = None;
        taken[1] = crowd.place().await;
        assert_eq!(leaving(&crowd, &taken).await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_keeps_its_place_only_where_requests_last() {
        for busy_too in [false, true] {
            let (crowd, taken) = full(2, busy_too).await;
            let under_way = taken[0].as_ref().unwrap().activity().request();
            sleep(Duration::from_secs(1)).await;
            drop(taken[1].as_ref().unwrap().activity().request());
            let expected = usize::from(!busy_too);
            assert_eq!(leaving(&crowd, &taken).await, [expected]);
            drop(under_way);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_have_requests_that_last_one_more_waits() {
        let (crowd, taken) = full(2, false).await;
        let busy = taken.iter().flatten();
        let busy: Vec<_> = busy.map(|place| place.activity().request()).collect();
        assert!(leaving(&crowd, &taken).await.is_empty());
        drop(busy);
    }
}
