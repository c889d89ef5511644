use std::{path::Path, time::Duration};

use super::*;
use crate::release::Handle;

fn target(name: &str) -> TargetPath {
    let path = format!("/k/pods/u/volumes/kubernetes.io~csi/{name}/mount");
    TargetPath::parse(Path::new("/k"), &path).unwrap()
}

fn changed(at_least: i64) -> Vec<Changed> {
    vec![Changed {
        handle: Handle::given(b"h").unwrap(),
        at_least,
        known: true,
    }]
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// The volumes that are taken now, in their order.
fn taken(pending: &Pending, now: Instant, bytes: usize) -> Vec<TargetPath> {
    let batch = pending.take(now, |_| bytes);
    batch.into_iter().map(|(target, _)| target).collect()
}

#[test]
fn events_for_one_volume_are_one_wish() {
    let (pending, now) = (Pending::default(), Instant::now());
    pending.add(target("a"), Wish::heard(changed(2), now));
    pending.add(target("a"), Wish::heard(changed(3), now + ms(5)));
    let batch = pending.take(now + ms(5), |_| 1);
    let [(_, wish)] = batch.as_slice() else {
        panic!("{batch:?}")
    };
    assert_eq!(wish.heard, Some(now), "since the first of them");
    assert_eq!(wish.changed, changed(3), "what came last");
    assert!(pending.take(now + ms(5), |_| 1).is_empty());
}

#[test]
fn an_event_that_comes_while_a_volume_is_refreshed_is_a_wish_of_its_own() {
    let (pending, now) = (Pending::default(), Instant::now());
    pending.add(target("a"), Wish::heard(changed(2), now));
    let _running = pending.take(now, |_| 1);
    for generation in 3..100 {
        pending.add(target("a"), Wish::heard(changed(generation), now));
    }
    assert_eq!(taken(&pending, now, 1), [target("a")]);
    assert!(taken(&pending, now, 1).is_empty());
}

#[test]
fn a_volume_that_is_worked_on_waits_until_it_is_free_whatever_comes() {
    let (pending, now) = (Pending::default(), Instant::now());
    pending.add(target("a"), Wish::heard(changed(2), now).when_freed());
    pending.add(target("a"), Wish::heard(changed(3), now));
    pending.add(target("b"), Wish::heard(changed(2), now));
    assert_eq!(taken(&pending, now, 1), [target("b")]);
    pending.free(&target("a"), now);
    assert_eq!(taken(&pending, now, 1), [target("a")]);
}

#[test]
fn a_failed_one_waits_for_its_pause_unless_there_is_news() {
    let (pending, now) = (Pending::default(), Instant::now());
    let failed = Wish::heard(changed(2), now).again_at(now + ms(30));
    assert_eq!(failed.tries, 1);
    pending.add(target("a"), failed);
    assert!(taken(&pending, now + ms(29), 1).is_empty());
    pending.add(target("a"), Wish::heard(changed(3), now + ms(29)));
    let batch = pending.take(now + ms(29), |_| 1);
    assert_eq!((batch[0].1.tries, batch[0].1.heard), (0, Some(now)));
}

#[test]
fn a_batch_is_bounded_in_number_and_in_bytes() {
    let (pending, now) = (Pending::default(), Instant::now());
    for number in 0..100 {
        pending.add(target(&number.to_string()), Wish::at_start(now));
    }
    assert_eq!(taken(&pending, now, 1).len(), BATCH_VOLUMES);
    assert_eq!(taken(&pending, now, BATCH_BYTES / 4).len(), 4);
    assert_eq!(taken(&pending, now, 10 * BATCH_BYTES).len(), 1);
    assert_eq!(taken(&pending, now, 1).len(), 100 - BATCH_VOLUMES - 5);
}

#[test]
fn one_that_must_be_asked_for_alone_is_alone() {
    let (pending, now) = (Pending::default(), Instant::now());
    for (number, name) in (0..).zip(["a", "b", "c", "d"]) {
        let wish = Wish::heard(changed(2), now + ms(number));
        let alone = name == "a" || name == "c";
        let wish = if alone { wish.by_itself(now) } else { wish };
        pending.add(target(name), wish);
    }
    let now = now + ms(9);
    assert_eq!(taken(&pending, now, 1), [target("a")]);
    assert_eq!(taken(&pending, now, 1), [target("b"), target("d")]);
    assert_eq!(taken(&pending, now, 1), [target("c")]);
}

#[test]
fn what_must_be_alone_stays_so_whatever_is_heard() {
    let (pending, now) = (Pending::default(), Instant::now());
    pending.add(target("a"), Wish::heard(changed(2), now).by_itself(now));
    pending.add(target("a"), Wish::heard(changed(3), now));
    pending.add(target("b"), Wish::heard(changed(2), now + ms(1)));
    let now = now + ms(1);
    assert_eq!(taken(&pending, now, 1), [target("a")]);
    assert_eq!(taken(&pending, now, 1), [target("b")]);
}

#[test]
fn who_was_heard_first_comes_first_and_the_start_last() {
    let (pending, now) = (Pending::default(), Instant::now());
    pending.add(target("start"), Wish::at_start(now));
    pending.add(target("later"), Wish::heard(changed(2), now + ms(1)));
    pending.add(target("first"), Wish::heard(changed(2), now));
    let order = ["first", "later", "start"].map(target);
    assert_eq!(taken(&pending, now + ms(1), 1), order);
}

#[test]
fn a_volume_that_is_gone_waits_no_more() {
    let (pending, now) = (Pending::default(), Instant::now());
    pending.add(target("a"), Wish::heard(changed(2), now));
    pending.forget(&target("a"));
    pending.free(&target("a"), now);
    assert!(taken(&pending, now, 1).is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_woken_by_an_event_and_by_the_end_of_a_pause() {
    let pending = Pending::default();
    let begun = Instant::now();
    pending.add(
        target("a"),
        Wish::heard(changed(2), begun).again_at(begun + ms(700)),
    );
    pending.ready().await;
    assert_eq!(begun.elapsed().as_millis() / 10, 70);
    assert_eq!(taken(&pending, Instant::now(), 1).len(), 1);
    let woken = async {
        tokio::time::sleep(ms(50)).await;
        pending.add(target("b"), Wish::heard(changed(2), Instant::now()));
    };
    let begun = Instant::now();
    tokio::join!(pending.ready(), woken);
    assert!(begun.elapsed() < ms(60));
}
