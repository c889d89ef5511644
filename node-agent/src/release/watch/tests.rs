use std::{path::Path, sync::Mutex};

use tokio::{task::JoinHandle, time::advance};

use super::*;
use crate::{
    release::{Handle, Held},
    volume::TargetPath,
};

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<WatchEvent>>);

impl Listener for Heard {
    fn connected(&self, _stands: bool) {}

    fn changed(&self, event: &WatchEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A stream, and what its other end does.
struct Peer {
    holdings: std::sync::Arc<Holdings>,
    heard: std::sync::Arc<Heard>,
    events: mpsc::Sender<Result<WatchEvent, Status>>,
    said: mpsc::Receiver<WatchRequest>,
    held: JoinHandle<Lost>,
}

fn peer() -> Peer {
    let holdings = std::sync::Arc::new(Holdings::new());
    let heard = std::sync::Arc::new(Heard::default());
    let (events, incoming) = mpsc::channel(8);
    let (say, said) = mpsc::channel(1);
    let conversation = Conversation::new(ReceiverStream::new(incoming), say, Told::default());
    let (holding, listener) = (holdings.clone(), heard.clone());
    let held = tokio::spawn(async move { conversation.hold(&holding, &*listener).await });
    Peer {
        holdings,
        heard,
        events,
        said,
        held,
    }
}

fn target(name: &str) -> TargetPath {
    let path = format!("/k/pods/u/volumes/kubernetes.io~csi/{name}/mount");
    TargetPath::parse(Path::new("/k"), &path).unwrap()
}

fn awaiting(handle: &str) -> Held {
    Held {
        awaited: vec![Handle::given(handle.as_bytes()).unwrap()],
        ..Held::default()
    }
}

fn subscribed(request: &WatchRequest) -> Vec<&[u8]> {
    request
        .subscriptions
        .iter()
        .map(|one| one.handle.as_slice())
        .collect()
}

fn changed(handle: &str) -> WatchEvent {
    WatchEvent {
        changed: vec![handle.as_bytes().to_vec()],
        generations: vec![2],
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_together_is_said_together_and_what_goes_too() {
    let mut peer = peer();
    for name in ["a", "b"] {
        peer.holdings.hold(&target(name), &awaiting(name));
    }
    let said = peer.said.recv().await.unwrap();
    assert_eq!(subscribed(&said), [b"a", b"b"]);
    peer.holdings.forget(&target("a"));
    peer.holdings.hold(&target("c"), &awaiting("c"));
    let said = peer.said.recv().await.unwrap();
    assert_eq!(
        (subscribed(&said), said.dropped.clone()),
        (vec![&b"c"[..]], vec![b"a".to_vec()])
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_is_heard_at_once_also_while_words_are_gathered_or_not_taken() {
    let peer = peer();
    let begun = Instant::now();
    for number in 0..5 {
        // Nobody takes what is said.
        let name = number.to_string();
        peer.holdings.hold(&target(&name), &awaiting(&name));
        tokio::task::yield_now().await;
        peer.events.send(Ok(changed(&name))).await.unwrap();
        while peer.heard.0.lock().unwrap().len() <= number {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.elapsed(), GATHER * 2 * u32::try_from(number).unwrap());
        advance(GATHER * 2).await;
    }
    assert_eq!(peer.heard.0.lock().unwrap()[4], changed("4"));
}

#[tokio::test(start_paused = true)]
async fn it_says_something_every_15_s() {
    let mut peer = peer();
    let begun = Instant::now();
    for number in 1..=4 {
        assert_eq!(peer.said.recv().await.unwrap(), WatchRequest::default());
        assert_eq!(begun.elapsed().as_secs(), 15 * number);
        let alive = peer.events.send(Ok(WatchEvent::default())).await;
        alive.unwrap();
    }
    assert!(peer.heard.0.lock().unwrap().is_empty(), "nothing happened");
    assert!(!peer.held.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_lost_that_is_silent_for_45_s() {
    let mut peer = peer();
    let begun = Instant::now();
    sleep(Duration::from_secs(40)).await;
    peer.events.send(Ok(WatchEvent::default())).await.unwrap();
    let said = tokio::spawn(async move { while peer.said.recv().await.is_some() {} });
    let lost = peer.held.await.unwrap();
    assert!(matches!(lost, Lost::Silent), "{lost}");
    // Our own heartbeats were not taken for 40 s, and then were.
    assert_eq!(begun.elapsed().as_secs(), 85);
    said.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_lost_on_which_nothing_can_be_said_for_45_s() {
    let peer = peer();
    let begun = Instant::now();
    let events = peer.events.clone();
    tokio::spawn(async move {
        while events.send(Ok(WatchEvent::default())).await.is_ok() {
            sleep(Duration::from_secs(10)).await;
        }
    });
    peer.holdings.hold(&target("a"), &awaiting("a"));
    let lost = peer.held.await.unwrap();
    assert!(matches!(lost, Lost::Silent), "{lost}");
    // The first word fits between the two ends. The next does not.
    assert_eq!(begun.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_lost_that_the_operator_ends() {
    let with_error = peer();
    let status = Status::unauthenticated("the token has ended");
    with_error.events.send(Err(status)).await.unwrap();
    let lost = with_error.held.await.unwrap();
    assert_eq!(
        lost.to_string(),
        "the operator ended it: the token has ended"
    );
    assert!(!lost.will_last());
    let without = peer();
    drop(without.events);
    let lost = without.held.await.unwrap();
    assert!(matches!(lost, Lost::Ended), "{lost}");
}

#[test]
fn an_operator_that_takes_no_stream_is_asked_rarely() {
    for (code, lasts) in [
        (Code::Unimplemented, true),
        (Code::ResourceExhausted, true),
        (Code::Unavailable, false),
        (Code::Aborted, false),
        (Code::Unauthenticated, false),
    ] {
        assert_eq!(Lost::Status(code, String::new()).will_last(), lasts);
    }
}
