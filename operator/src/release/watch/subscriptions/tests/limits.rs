use super::*;

#[test]
fn a_message_has_so_many_handles_and_no_more() {
    let mut scene = Scene::new();
    let handles: Vec<_> = (0..MAX_WATCH_HANDLES)
        .map(|index| scene.handle_of(&pod(index)))
        .collect();
    scene.stream.hear(words(&handles, 3)).unwrap();
    let mut request = words(&handles, 3);
    request.dropped.push(handles[0].clone());
    assert_eq!(scene.stream.hear(request), Err(Ended::TooManyHandles));
}

#[test]
fn an_event_has_so_many_handles_and_the_next_one_has_the_rest() {
    let mut scene = Scene::new();
    let handles: Vec<_> = (0..MAX_WATCH_HANDLES + 1)
        .map(|index| scene.handle_of(&pod(index)))
        .collect();
    for some in handles.chunks(MAX_WATCH_HANDLES) {
        scene.stream.hear(words(some, 2)).unwrap();
    }
    assert_eq!(scene.stream.tell().changed.len(), MAX_WATCH_HANDLES);
    assert_eq!(scene.told().len(), 1);
}

#[test]
fn a_stream_has_so_many_subscriptions_and_no_more() {
    let mut scene = Scene::new();
    let handles: Vec<_> = (0..MAX_SUBSCRIPTIONS)
        .map(|index| scene.handle_of(&pod(index)))
        .collect();
    for some in handles.chunks(MAX_WATCH_HANDLES) {
        scene.stream.hear(words(some, 3)).unwrap();
    }
    scene.stream.hear(words(&handles[..1], 4)).unwrap();
    let more = scene.handle_of(&pod(MAX_SUBSCRIPTIONS));
    let heard = scene.stream.hear(words(from_ref(&more), 3));
    assert_eq!(heard, Err(Ended::TooManySubscriptions));
    scene.stream.hear(dropped(&handles[0])).unwrap();
    scene.stream.hear(words(&[more], 3)).unwrap();
}

#[test]
fn all_streams_together_have_so_many_subscriptions_and_no_more() {
    let mut scene = Scene::new();
    scene.shared.room = Arc::new(Semaphore::new(1));
    let handle = scene.handle();
    let mut streams =
        [(); 2].map(|()| Subscriptions::new("node-a".to_owned(), scene.shared.clone()));
    streams[0].hear(words(from_ref(&handle), 3)).unwrap();
    let second = streams[1].hear(words(from_ref(&handle), 3));
    assert_eq!(second, Err(Ended::TooManySubscriptions));
    streams[0].hear(dropped(&handle)).unwrap();
    streams[1].hear(words(&[handle], 3)).unwrap();
}
