//! Changes that the operator tells of: no kubelet asks in these tests after the first publish.

mod batch;
mod failures;
mod stream;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use secretvault_delivery::v1::{Grant, GrantedVault, Reason, verdict::Outcome};

use crate::{
    node::{Node, eventually, later, on_a_node},
    operator::grant,
};

/// The agent's count of volumes that were to be refreshed, by what became of them.
fn pushes(node: &Node, outcome: &str) -> usize {
    let line = format!("secretvault_agent_pushes_total{{outcome=\"{outcome}\"}} ");
    let metrics = node.get("/metrics").unwrap();
    let found = metrics.lines().find_map(|it| it.strip_prefix(&line));
    found.map_or(0, |count| count.parse().unwrap())
}

fn shows(node: &Node, path: &str, value: &str) {
    eventually(&format!("{path} is {value}"), || {
        node.read().get(path).is_some_and(|found| found == value)
    });
}

/// Publishes the volume, and waits until the operator knows of it.
fn published(node: &Node) {
    node.operator.grant(grant(1, &[("db", "old")]));
    node.publish().unwrap();
    eventually("it is told", || node.operator.words() == ["shop/app@1 1"]);
}

#[test]
#[ignore = "needs root: make test"]
fn a_change_is_there_without_a_republish_and_is_told_as_held() {
    on_a_node(|node| {
        published(node);
        node.operator.grant(grant(2, &[("db", "new")]));
        node.operator.tell(&[("shop/app", 2)]);
        shows(node, "db", "new");
        eventually("it is told", || node.operator.words() == ["shop/app@2 1"]);
        let volume = node.operator.last().volume;
        assert_eq!(volume.pod_token, "pod-token");
        let held = &volume.held_vaults[0];
        assert_eq!((held.generation, held.at_least), (1, 2));
        assert_eq!(node.operator.requests(), [1, 1]);
        eventually("it is counted", || pushes(node, "Updated") == 1);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn what_is_held_already_is_not_asked_for() {
    on_a_node(|node| {
        published(node);
        node.operator.tell(&[("shop/app", 1)]);
        node.operator.tell(&[("a/stranger", 7)]);
        node.operator.grant(grant(2, &[("db", "new")]));
        node.operator.tell(&[("shop/app", 2)]);
        shows(node, "db", "new");
        assert_eq!(node.operator.requests(), [1, 1]);
        let metrics = node.get("/metrics").unwrap();
        assert!(metrics.contains("changes_heard_total 3"), "{metrics}");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn events_that_come_while_a_volume_is_refreshed_bring_one_more_request() {
    on_a_node(|node| {
        published(node);
        let change = |generation: i64| {
            let value = generation.to_string();
            node.operator.grant(grant(generation, &[("db", &value)]));
            node.operator.tell(&[("shop/app", generation)]);
        };
        node.operator.delay("uid-1", Duration::from_millis(2500));
        change(2);
        eventually("it is asked", || node.operator.requests().len() == 2);
        // All of these come before that answer does.
        for generation in 3..=40 {
            change(generation);
        }
        node.operator.delay("uid-1", Duration::ZERO);
        shows(node, "db", "40");
        eventually("it is told", || node.operator.words() == ["shop/app@40 1"]);
        assert_eq!(node.operator.requests(), [1, 1, 1]);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_right_that_was_withdrawn_takes_its_files_away() {
    on_a_node(|node| {
        node.operator
            .grant(grant(1, &[("kept", "x"), ("withdrawn", "y")]));
        node.publish().unwrap();
        eventually("it is told", || !node.operator.words().is_empty());
        node.operator
            .deny_withdrawing(Reason::Forbidden, "no rule allows it", &["withdrawn"]);
        node.operator.tell(&[("shop/app", 2)]);
        eventually("the file goes", || node.read().len() == 1);
        assert_eq!(node.read()["kept"], "x");
        eventually("it is told", || node.condition().unwrap().abnormal);
        // The handle of a denied volume still leads to it.
        node.operator
            .grant(grant(3, &[("kept", "x"), ("withdrawn", "z")]));
        node.operator.tell(&[("shop/app", 3)]);
        shows(node, "withdrawn", "z");
        eventually("all is well", || !node.condition().unwrap().abnormal);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_vault_that_was_awaited_comes_when_it_is_there() {
    on_a_node(|node| {
        let awaiting = Grant {
            awaited: vec![b"shop/later".to_vec()],
            ..grant(1, &[("db", "x")])
        };
        node.operator.grant(awaiting);
        node.publish().unwrap();
        let words = ["shop/app@1 1", "shop/later@0 0"];
        eventually("it is told", || node.operator.words() == words);
        let mut both = grant(1, &[("db", "x"), ("more", "y")]);
        both.vaults.push(GrantedVault {
            name: "later".to_owned(),
            uid: "vault-2".to_owned(),
            generation: 1,
            handle: b"shop/later#2".to_vec(),
            ..both.vaults[0].clone()
        });
        node.operator.grant(both);
        node.operator.tell(&[("shop/later", 0)]);
        shows(node, "more", "y");
        // The pod has started without it.
        let words = ["shop/app@1 1", "shop/later#2@1 0"];
        eventually("it is told", || node.operator.words() == words);
        assert_eq!(node.operator.requests(), [1, 1]);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_volume_that_is_gone_is_told_and_not_asked_for() {
    on_a_node(|node| {
        published(node);
        node.unpublish().unwrap();
        eventually("it is told", || node.operator.words().is_empty());
        node.operator.tell(&[("shop/app", 2)]);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(node.operator.requests(), [1]);
        assert_eq!(node.mounts(), 0);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_killed_agent_still_knows_with_what_the_pod_started() {
    on_a_node(|node| {
        published(node);
        node.operator.grant(grant(2, &[("db", "new")]));
        node.operator.tell(&[("shop/app", 2)]);
        shows(node, "db", "new");
        eventually("it is told", || node.operator.words() == ["shop/app@2 1"]);
        node.kill();
        node.start(&[]);
        eventually("it is told", || {
            node.operator.streams() == 2 && node.operator.words() == ["shop/app@2 1"]
        });
    });
}

#[test]
#[ignore = "needs root: make test"]
fn no_reader_sees_a_mixture_of_two_generations() {
    on_a_node(|node| {
        let both = |generation: i64| {
            let value = generation.to_string();
            grant(generation, &[("a", &value), ("b", &value)])
        };
        node.operator.grant(both(1));
        node.publish().unwrap();
        eventually("it is told", || !node.operator.words().is_empty());
        let (mount, seen) = (node.mount(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&seen);
        let reader = thread::spawn(move || read_to_the_last(&mount, &count));
        let change = |generation: i64| {
            node.operator.grant(both(generation));
            node.operator.tell(&[("shop/app", generation)]);
        };
        let mut generations = 2..LAST;
        // With fewer nothing would be tested. A reader that has finished now has failed.
        eventually("the reader sees many generations", || {
            for generation in generations.by_ref().take(199) {
                change(generation);
                thread::sleep(Duration::from_millis(5));
            }
            seen.load(Ordering::Relaxed) > 10 || reader.is_finished()
        });
        change(LAST);
        eventually("the reader sees the last one", || reader.is_finished());
        reader.join().unwrap();
    });
}

/// The generation that the reader waits for.
const LAST: i64 = 1_000_000;

/// Reads two files that are alike in every generation, and counts the generations before the last.
fn read_to_the_last(mount: &Path, count: &AtomicUsize) {
    let (last, mut seen) = (LAST.to_string(), BTreeSet::new());
    loop {
        // Whoever reads through one link sees one generation, as long as it is there.
        let generation = std::fs::read_link(mount.join("..data")).unwrap();
        let read = |name| std::fs::read_to_string(mount.join(&generation).join(name));
        let (Ok(a), Ok(b)) = (read("a"), read("b")) else {
            continue;
        };
        assert_eq!(a, b);
        if a == last {
            return;
        }
        seen.insert(a);
        count.store(seen.len(), Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs root: make test"]
fn whoever_watches_the_directory_hears_the_swap_as_of_a_config_map() {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    on_a_node(|node| {
        published(node);
        let inotify = Inotify::init(InitFlags::empty()).unwrap();
        inotify
            .add_watch(&node.mount(), AddWatchFlags::IN_MOVED_TO)
            .unwrap();
        for generation in 2..5 {
            let value = generation.to_string();
            node.operator.grant(grant(generation, &[("db", &value)]));
            node.operator.tell(&[("shop/app", generation)]);
            let events = inotify.read_events().unwrap();
            let names: Vec<_> = events.into_iter().filter_map(|event| event.name).collect();
            assert_eq!(names, ["..data"]);
            assert_eq!(node.read()["db"], value);
        }
    });
}

/// Denies like an operator that has not seen the vault's last change.
fn behind() -> Outcome {
    Outcome::Denial(secretvault_delivery::v1::Denial {
        reason: Reason::Behind.into(),
        message: "this replica has not seen it".to_owned(),
        withdrawn: Vec::new(),
    })
}
