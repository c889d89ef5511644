//! What is told, and what it takes to be told.

use std::slice::from_ref;

use secretvault_vault::VaultRef;
use serde_json::json;

use super::*;
use crate::consumers::{Consumer, Holding};
use crate::release::fixture::{POD, pod};
use crate::tls::HandleKeys;

#[tokio::test(start_paused = true)]
async fn an_edit_is_told_without_any_time_passing() {
    let world = world().await;
    let handle = handle(&world).await;
    let mut agent = Replica::of(&world).watch().await;
    agent.says(&handle, 1);
    agent.hears_nothing().await;
    edit(&world, 2);
    assert_eq!(agent.hears().await, from_ref(&handle));
    agent.hears_nothing().await;
    world.vaults.leave(&VaultRef::new("shop", "app"));
    assert_eq!(agent.hears().await, [handle]);
}

#[tokio::test(start_paused = true)]
async fn what_changed_before_the_stream_is_told_at_its_beginning() {
    let world = world().await;
    let handle = handle(&world).await;
    edit(&world, 2);
    let mut agent = Replica::of(&world).watch().await;
    agent.says(&handle, 1);
    assert_eq!(agent.hears().await, [handle]);
}

#[tokio::test(start_paused = true)]
async fn an_event_says_which_generation_to_ask_for() {
    let world = world().await;
    let handle = handle(&world).await;
    edit(&world, 7);
    let mut agent = Replica::of(&world).watch().await;
    agent.says(&handle, 1);
    let event = agent.events.message().await.unwrap().unwrap();
    assert_eq!(event.generations, [7]);
}

#[tokio::test(start_paused = true)]
async fn while_nothing_changes_the_operator_says_every_15_seconds_that_it_lives() {
    let world = world().await;
    let mut agent = Replica::of(&world).watch().await;
    let begun = Instant::now();
    for beat in 1..=4 {
        agent.is_alive();
        let event = agent.events.message().await.unwrap().unwrap();
        assert_eq!(event, WatchEvent::default());
        assert_eq!(begun.elapsed(), Duration::from_secs(15 * beat));
    }
    assert!(metric(&world, "events_total{kind=\"Heartbeat\"}") >= 4.0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_listen_hears_once_what_happened_often() {
    let world = world().await;
    let handle = handle(&world).await;
    let mut agent = Replica::of(&world).watch().await;
    agent.says(&handle, 1);
    agent.hears_nothing().await;
    for generation in 2..2000 {
        edit_cheaply(&world, generation);
    }
    assert_eq!(agent.hears().await, [handle]);
    agent.hears_nothing().await;
}

fn edit_cheaply(world: &World, generation: i64) {
    let mut object = (*world.vaults.get(&VaultRef::new("shop", "app")).unwrap()).clone();
    object.metadata.generation = Some(generation);
    world.vaults.arrive(object);
}

#[tokio::test(start_paused = true)]
async fn an_agent_hears_of_its_own_nodes_pods_only() {
    let world = world().await;
    let handle = handle(&world).await;
    let other = agent_on(&world, "node-b");
    let mut agent = Replica::of(&world).watch_as(&other).await.unwrap();
    agent.says(&handle, 1);
    assert_eq!(agent.hears().await, from_ref(&handle), "as if outdated");
    edit(&world, 2);
    agent.hears_nothing().await;
    assert!(world.consumers.snapshot().is_empty());
    let rejected = "handles_rejected_total{reason=\"OtherNode\"}";
    assert!((metric(&world, rejected) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn a_handle_from_before_the_authority_was_made_anew_is_answered_and_not_kept() {
    let mut world = world().await;
    let handle = handle(&world).await;
    world.handles = HandleKeys::generate();
    let mut agent = Replica::of(&world).watch().await;
    agent.says(&handle, 1);
    assert_eq!(agent.hears().await, from_ref(&handle));
    assert!(world.consumers.snapshot().is_empty());
    let rejected = "handles_rejected_total{reason=\"NotOurs\"}";
    assert!((metric(&world, rejected) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn consumers_are_those_of_the_streams_that_are_open() {
    let world = world().await;
    let mut annotated = pod();
    annotated["metadata"]["annotations"] = json!({"secretvault.dev/env": "true"});
    world.server.object(POD, Some(annotated));
    let handle = handle(&world).await;
    let replica = Replica::of(&world);
    let mut agent = replica.watch().await;
    agent.says(&handle, 1);
    agent.hears_nothing().await;
    let expected = Consumer {
        vault: VaultRef::new("shop", "app"),
        vault_uid: "uid-app".to_owned(),
        pod_namespace: "shop".to_owned(),
        pod: "web-0".to_owned(),
        pod_uid: "pod-uid".to_owned(),
        node: "node-a".to_owned(),
        env: true,
        restart: false,
        overridden: Vec::new(),
    };
    let holding = Holding {
        generation: 1,
        since: 1,
    };
    assert_eq!(world.consumers.snapshot(), [(expected, holding)].into());
    let mut second = replica.watch().await;
    second.says(&handle, 1);
    second.hears_nothing().await;
    drop(agent);
    second.hears_nothing().await;
    assert_eq!(world.consumers.snapshot().len(), 1);
    assert!((metric(&world, "subscriptions") - 1.0).abs() < f64::EPSILON);
    drop(second);
    settle().await;
    assert!(world.consumers.snapshot().is_empty());
    assert!(metric(&world, "streams").abs() < f64::EPSILON);
    assert!(metric(&world, "subscriptions").abs() < f64::EPSILON);
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_what_its_pods_annotations_say() {
    let cases = [
        (json!({}), (false, false)),
        (json!({"secretvault.dev/env": "true"}), (true, false)),
        (
            json!({"secretvault.dev/on-change": "restart"}),
            (false, true),
        ),
    ];
    for (annotations, expected) in cases {
        let world = world().await;
        let mut annotated = pod();
        annotated["metadata"]["annotations"] = annotations;
        world.server.object(POD, Some(annotated));
        let handle = handle(&world).await;
        let mut agent = Replica::of(&world).watch().await;
        agent.says(&handle, 1);
        agent.hears_nothing().await;
        let consumers = world.consumers.snapshot();
        let (consumer, _) = consumers.first_key_value().unwrap();
        assert_eq!((consumer.env, consumer.restart), expected);
    }
}
