//! The connections that one server has at once. Nobody holds its port against the others by being
//! there: where there is no place, a connection gives way that has never asked anything, or that has
//! done nothing for longest. And one address has no more than its part of the places.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::idle::Activity;

/// The places of one server.
#[derive(Debug)]
pub(super) struct Crowd {
    places: usize,
    /// Of which one address has so many.
    part: usize,
    /// Whether a connection with a request under way gives way too. Not where requests last.
    busy_too: bool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by: HashMap<u64, Member>,
}

#[derive(Debug)]
struct Member {
    address: IpAddr,
    activity: Arc<Activity>,
    leave: CancellationToken,
}

/// The place of one connection, until it drops.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    activity: Arc<Activity>,
    leave: CancellationToken,
}

impl Crowd {
    pub(super) fn new(places: usize, part: usize, busy_too: bool) -> Arc<Self> {
        Arc::new(Self {
            places,
            part,
            busy_too,
            taken: Mutex::default(),
        })
    }

    /// A place for one more connection, which another may have to leave for. None: nobody can.
    pub(super) fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        // From inside the pod only a proxy of its own connects, as a mesh has, and for everybody.
        let proxied = address.to_canonical().is_loopback();
        let of_address = |member: &Member| member.address == address;
        let there = taken.by.values().filter(|it| of_address(it)).count();
        if !proxied && there >= self.part {
            self.dismiss_one(&mut taken, of_address)?;
        }
        if taken.by.len() >= self.places {
            self.dismiss_one(&mut taken, |_| true)?;
        }
        let (activity, leave) = (Activity::begun(), CancellationToken::new());
        let number = taken.next;
        taken.next += 1;
        let member = Member {
            address,
            activity: Arc::clone(&activity),
            leave: leave.clone(),
        };
        taken.by.insert(number, member);
        drop(taken);
        Some(Place {
            crowd: Arc::clone(self),
            number,
            activity,
            leave,
        })
    }

    /// Takes the place of one of these away. It ends as soon as it is polled.
    fn dismiss_one(&self, taken: &mut Taken, of: impl Fn(&Member) -> bool) -> Option<()> {
        let may_go = taken
            .by
            .iter()
            .filter(|(_, member)| of(member) && (self.busy_too || !member.activity.is_busy()));
        let first = may_go.min_by_key(|(_, member)| member.activity.worth());
        let number = first.map(|(number, _)| *number)?;
        taken.by.remove(&number)?.leave.cancel();
        Some(())
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
    use tokio::time::sleep;

    use super::*;

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    /// So many places, all of them taken, a second apart, each from an address of its own.
    async fn full(places: u8, busy_too: bool) -> (Arc<Crowd>, Vec<Place>) {
        let crowd = Crowd::new(places.into(), 2, busy_too);
        let mut taken = Vec::new();
        for number in 0..places {
            taken.push(crowd.place(address(number)).unwrap());
            sleep(Duration::from_secs(1)).await;
        }
        (crowd, taken)
    }

    fn asked(place: &Place) {
        drop(place.activity().request());
    }

    /// Which of them have to leave.
    fn leaving(taken: &[Place]) -> Vec<usize> {
        let told = |number: &usize| taken[*number].is_needed().now_or_never().is_some();
        (0..taken.len()).filter(told).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_never_asked_gives_way_and_then_who_has_rested_longest() {
        let (crowd, taken) = full(3, false).await;
        asked(&taken[1]);
        sleep(Duration::from_secs(1)).await;
        asked(&taken[0]);
        sleep(Duration::from_secs(1)).await;
        let mut more = Vec::new();
        for expected in [vec![2], vec![1, 2], vec![0, 1, 2]] {
            more.push(crowd.place(address(200 + u8::try_from(more.len()).unwrap())));
            asked(more.last().unwrap().as_ref().unwrap());
            assert_eq!(leaving(&taken), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_keeps_its_place_only_where_requests_last() {
        for busy_too in [false, true] {
            let (crowd, taken) = full(2, busy_too).await;
            let under_way = taken[0].activity().request();
            sleep(Duration::from_secs(1)).await;
            asked(&taken[1]);
            let more = crowd.place(address(200));
            assert!(more.is_some());
            assert_eq!(leaving(&taken), [usize::from(!busy_too)]);
            drop(under_way);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_have_requests_that_last_one_more_is_turned_away() {
        let (crowd, mut taken) = full(2, false).await;
        let busy: Vec<_> = taken.iter().map(|it| it.activity().request()).collect();
        assert!(crowd.place(address(200)).is_none());
        assert!(leaving(&taken).is_empty());
        drop(busy);
        taken.pop();
        assert!(crowd.place(address(200)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_its_part_and_takes_no_other_ones_place() {
        let crowd = Crowd::new(4, 2, false);
        let other = crowd.place(address(1)).unwrap();
        let own: Vec<Place> = (0..2).map(|_| crowd.place(address(2)).unwrap()).collect();
        let third = crowd.place(address(2));
        assert!(third.is_some() && other.is_needed().now_or_never().is_none());
        assert_eq!(leaving(&own).len(), 1);
        let all = own.iter().chain(&third);
        let busy: Vec<_> = all.map(|it| it.activity().request()).collect();
        assert!(
            crowd.place(address(2)).is_none(),
            "there is a place, for others"
        );
        assert!(crowd.place(address(3)).is_some());
        drop((busy, other));
    }

    #[tokio::test]
    async fn a_proxy_inside_the_pod_has_no_part() {
        for proxy in ["127.0.0.6", "::ffff:127.0.0.6", "::1"] {
            let crowd = Crowd::new(4, 2, false);
            let own = || crowd.place(proxy.parse().unwrap()).unwrap();
            let taken = [own(), own(), own()];
            assert!(leaving(&taken).is_empty(), "{proxy}");
        }
    }
}
