//! Whose turn it is, second by second.

use super::*;
use crate::controller::restart::workload::Kind;

fn subject(namespace: &str, name: &str) -> Subject {
    Subject::Workload(WorkloadId {
        kind: Kind::Deployment,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    })
}

/// A queue, and a clock that starts at zero.
struct Scene {
    queue: Queue,
    start: Instant,
}

impl Scene {
    fn begin() -> Self {
        Self {
            queue: Queue::default(),
            start: Instant::now(),
        }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    /// At that second these are wanted; whose turn is it?
    fn want(&mut self, second: u64, wanted: &[(&Subject, &str)]) -> Vec<String> {
        let now = self.at(second);
        let wanted = wanted.iter();
        let wanted = wanted.map(|(subject, changes)| ((*subject).clone(), Changes::parse(changes)));
        self.queue.want(wanted.collect(), |_, _| false, now);
        let next = self.queue.next(now).into_iter();
        next.map(|(subject, changes)| match subject {
            Subject::Workload(id) => format!("{} {changes}", id.name),
            Subject::Pod(pod, _) => format!("pod {} {changes}", pod.name.name),
        })
        .collect()
    }
}

#[test]
fn several_quick_changes_are_one() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    assert!(scene.want(0, &[(&web, "u@2")]).is_empty());
    assert!(scene.want(4, &[(&web, "u@3")]).is_empty());
    assert!(scene.want(8, &[(&web, "u@4")]).is_empty());
    assert!(scene.want(12, &[(&web, "u@4")]).is_empty());
    assert_eq!(scene.want(13, &[(&web, "u@4")]), ["web u@4"]);
}

#[test]
fn a_vault_that_is_never_quiet_does_not_delay_for_ever() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    for second in 0..60 {
        let changes = format!("u@{}", second + 2);
        assert!(
            scene.want(second, &[(&web, &changes)]).is_empty(),
            "{second}"
        );
    }
    assert_eq!(scene.want(60, &[(&web, "u@62")]), ["web u@62"]);
}

#[test]
fn what_was_done_is_not_done_again_and_more_is() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    scene.want(0, &[(&web, "u@2")]);
    scene.want(5, &[(&web, "u@2")]);
    scene.queue.rolls(&web, scene.at(5));
    assert!(scene.want(6, &[(&web, "u@2")]).is_empty());
    // Its pods went, and what they made is still said by a replica that is late.
    scene.queue.done(&web, &Changes::parse("u@2"), scene.at(7));
    assert!(scene.want(8, &[(&web, "u@2")]).is_empty());
    assert!(scene.want(9, &[]).is_empty());
    assert!(scene.want(30, &[(&web, "u@2")]).is_empty());
    assert!(scene.want(31, &[(&web, "u@3")]).is_empty());
    assert_eq!(scene.want(36, &[(&web, "u@3")]), ["web u@3"]);
}

#[test]
fn what_changes_while_it_rolls_comes_after() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    scene.want(0, &[(&web, "u@2")]);
    scene.want(5, &[(&web, "u@2")]);
    scene.queue.rolls(&web, scene.at(5));
    assert!(scene.want(20, &[(&web, "u@3")]).is_empty());
    assert!(scene.want(40, &[(&web, "u@3")]).is_empty());
    scene.queue.done(&web, &Changes::parse("u@2"), scene.at(41));
    assert_eq!(scene.want(42, &[(&web, "u@3")]), ["web u@3"]);
}

#[test]
fn only_so_many_roll_at_a_time_and_who_ends_makes_room() {
    let mut scene = Scene::begin();
    let all: Vec<_> = (0..6)
        .map(|n| subject("shop", &format!("web-{n}")))
        .collect();
    let wanted: Vec<_> = all.iter().map(|it| (it, "u@2")).collect();
    scene.want(0, &wanted);
    assert_eq!(scene.want(5, &wanted).len(), SLOTS);
    for web in &all[..SLOTS] {
        scene.queue.rolls(web, scene.at(5));
    }
    assert!(scene.want(6, &wanted).is_empty());
    scene
        .queue
        .done(&all[0], &Changes::parse("u@2"), scene.at(7));
    assert_eq!(scene.want(8, &wanted), ["web-4 u@2"]);
}

#[test]
fn a_namespace_with_many_does_not_keep_another_waiting() {
    let mut scene = Scene::begin();
    let many: Vec<_> = (0..20)
        .map(|n| subject("many", &format!("m-{n:0>2}")))
        .collect();
    let one = subject("one", "single");
    let mut wanted: Vec<_> = many.iter().map(|it| (it, "u@2")).collect();
    scene.want(0, &wanted);
    scene.want(5, &wanted);
    for web in &many[..SLOTS] {
        scene.queue.rolls(web, scene.at(5));
    }
    wanted.push((&one, "v@2"));
    assert!(scene.want(6, &wanted).is_empty());
    assert!(scene.want(11, &wanted).is_empty());
    scene
        .queue
        .done(&many[0], &Changes::parse("u@2"), scene.at(12));
    assert_eq!(scene.want(13, &wanted), ["single v@2"]);
}

#[test]
fn a_rollout_has_a_bound() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    scene.want(0, &[(&web, "u@2")]);
    scene.queue.rolls(&web, scene.at(5));
    let up = |scene: &Scene, second| scene.queue.rolling(scene.at(second))[0].1;
    assert!(!up(&scene, 604));
    assert!(up(&scene, 605));
    // It is watched to its end although nobody wants it any more.
    scene.want(610, &[]);
    assert_eq!(scene.queue.rolling(scene.at(610)).len(), 1);
}

#[test]
fn who_is_to_be_looked_at_later_is_not_looked_at_before() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    scene.want(0, &[(&web, "u@2")]);
    scene
        .queue
        .again(&web, Duration::from_secs(30), scene.at(5));
    assert!(scene.want(34, &[(&web, "u@2")]).is_empty());
    assert_eq!(scene.want(35, &[(&web, "u@2")]), ["web u@2"]);
    assert!(scene.queue.must_tell(&web));
    assert!(!scene.queue.must_tell(&web));
    scene.want(36, &[(&web, "u@3")]);
    assert!(scene.queue.must_tell(&web));
}

#[test]
fn who_is_not_wanted_any_more_waits_no_more() {
    let (mut scene, web) = (Scene::begin(), subject("shop", "web"));
    scene.want(0, &[(&web, "u@2")]);
    assert!(scene.want(6, &[]).is_empty());
    assert_eq!(scene.queue.waiting(), 0);
}

#[test]
fn pods_that_cannot_be_restarted_take_no_slot() {
    let mut scene = Scene::begin();
    let pods: Vec<_> = (0..20)
        .map(|n| {
            let name = crate::consumers::PodName {
                namespace: "shop".into(),
                name: format!("job-{n:0>2}"),
            };
            let uid = n.to_string();
            Subject::Pod(PodId { name, uid }, Obstacle::Unowned)
        })
        .collect();
    let web = subject("shop", "web");
    let mut wanted: Vec<_> = pods.iter().map(|it| (it, "u@2")).collect();
    wanted.push((&web, "u@2"));
    scene.want(0, &wanted);
    let next = scene.want(5, &wanted);
    assert_eq!(next.len(), AT_ONCE + 1);
    assert!(next.contains(&"web u@2".to_owned()));
}

#[test]
fn what_another_leader_began_has_its_slot_at_once() {
    let (mut scene, all) = (Scene::begin(), ["a", "b"].map(|name| subject("shop", name)));
    let wanted = all.iter().map(|it| (it.clone(), Changes::parse("u@2")));
    let (first, now) = (&all[0], scene.at(0));
    scene
        .queue
        .want(wanted.collect(), |subject, _| subject == first, now);
    let rolling = scene.queue.rolling(now);
    assert_eq!(rolling.len(), 1);
    assert_eq!(rolling[0].0.name, "a");
}

#[test]
fn only_so_many_are_queued() {
    let mut scene = Scene::begin();
    let all: Vec<_> = (0..MOST + 5)
        .map(|n| subject("shop", &n.to_string()))
        .collect();
    let wanted: Vec<_> = all.iter().map(|it| (it, "u@2")).collect();
    scene.want(0, &wanted);
    assert_eq!(scene.queue.waiting(), MOST);
}
