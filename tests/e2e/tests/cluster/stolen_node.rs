//! A stolen node: what is on its disk, in its agent's memory and in its tokens yields what its own pods
//! have, and nothing more.
//!
//! The thief has all that is there: each token that is found in any file of node-a and in its agent's
//! memory, and kubelet's own certificate. No replica of the operator runs there: one that does is the other
//! test.

mod attempts;
mod loot;
mod scene;
mod thefts;

use std::collections::BTreeSet;

use secretvault_delivery::{AGENT_AUDIENCE, POD_AUDIENCE};
use secretvault_e2e::{Node, Part, SYSTEM, eventually, kubectl, wait_replaced};
use serde_json::json;

use self::attempts::Attempts;
use self::loot::{Loot, MEMORY};
use self::scene::Scene;
use crate::attacker::{AGENT, OPERATOR, kubectl_as};

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_stolen_node_yields_its_own_pods_files_and_nothing_else() {
    let _elsewhere = OperatorElsewhere::moved();
    let scene = Scene::create();
    let loot = loot_without_operator();
    is_all_that_there_is(&scene, &loot);
    let mut attempts = Attempts::default();
    scene.steal_at_the_operator(&loot, &mut attempts);
    scene.steal_at_the_api_server(&loot, &mut attempts);
    scene.steal_with_kubelets_certificate(&mut attempts);
    scene.steal_at_the_key_provider(&loot, &mut attempts);
    scene.yields_the_files_of_its_own_pods(&loot, &mut attempts);
    scene.replay(&loot, &mut attempts);
    attempts.finish();
}

/// What SECURITY.md says of a node that a replica of the operator runs on. It is also the control of the
/// search: a token that is worth something is found.
#[test]
fn a_node_that_the_operator_runs_on_yields_the_keyring() {
    let replica = Part::operators().pop().expect("a replica");
    let loot = Loot::of(&replica.node);
    let account = format!("{SYSTEM}:{OPERATOR}");
    let tokens = loot.tokens();
    let own = tokens.iter().filter(|it| it.name().starts_with(&account));
    let keyring = [
        "-n",
        SYSTEM,
        "get",
        "secret",
        "secretvault-keyring",
        "-o",
        "name",
    ];
    let mut read = own.map(|it| kubectl_as(&it.token, &keyring, ""));
    assert!(read.any(|answer| answer.succeeded));
}

/// No replica of the operator runs on node-a until this drops, as where it has nodes of its own.
struct OperatorElsewhere(());

impl OperatorElsewhere {
    fn moved() -> Self {
        let guard = Self(());
        let _ = kubectl(&["cordon", "node-a"]).expect_success();
        move_replica_of("node-a");
        guard
    }
}

impl Drop for OperatorElsewhere {
    fn drop(&mut self) {
        let _ = kubectl(&["uncordon", "node-a"]);
        // The scheduler spreads them again.
        if !std::thread::panicking() {
            move_replica_of("node-b");
        }
    }
}

fn move_replica_of(node: &str) {
    let mut replicas = Part::operators().into_iter();
    if let Some(replica) = replicas.find(|it| it.node.name() == node) {
        let delete = ["-n", SYSTEM, "delete", "pod", &replica.name, "--wait=false"];
        let _ = kubectl(&delete).expect_success();
        wait_replaced();
    }
}

/// The replica that was there has gone, with its token.
fn loot_without_operator() -> Loot {
    let account = format!("system:serviceaccount:{SYSTEM}:{OPERATOR}");
    eventually("the operator has left the node", || {
        let loot = Loot::of(&Node::named("node-a"));
        let tokens = loot.tokens();
        let mut left = tokens.iter().filter(|it| it.claims["sub"] == account);
        match left.next() {
            Some(token) => Err(format!("{:?}", token.places)),
            None => Ok(loot),
        }
    })
}

/// The search found what is known to be there, in files and in memory; and of the other node nothing.
fn is_all_that_there_is(scene: &Scene, loot: &Loot) {
    let agents = loot.tokens_of(&format!("{SYSTEM}:{AGENT}"), AGENT_AUDIENCE);
    let places: BTreeSet<_> = agents.iter().flat_map(|it| it.places.clone()).collect();
    let in_file = |place: &String| place.contains("kubernetes.io~projected");
    assert!(places.iter().any(in_file), "the agent's token: {places:?}");
    let near = loot.tokens_of(&scene.account("near"), POD_AUDIENCE);
    let places: BTreeSet<_> = near.iter().flat_map(|it| it.places.clone()).collect();
    assert!(places.contains(MEMORY), "the pod's token: {places:?}");
    let in_file = |place: &String| place.starts_with("/run/secretvault/volumes/");
    assert!(places.iter().any(in_file), "the pod's token: {places:?}");
    assert!(
        loot.tokens_of(&scene.account("far"), POD_AUDIENCE)
            .is_empty()
    );
    for token in loot.tokens() {
        assert_eq!(
            *token.node(),
            json!("node-a"),
            "{}: {:?}",
            token.name(),
            token.places
        );
    }
}
