//! A grant for an attached volume that there is no room for: what goes all the same.

use secretvault_delivery::v1::Grant;

use crate::{
    node::{Node, later, on_a_node_with},
    operator::grant,
};

/// The entry `moved` at another path, nothing of `ended`, and much of the pod's own.
fn larger(own: usize) -> Grant {
    let own = "x".repeat(own);
    let files = [("kept", "new"), ("moved", "new"), ("own", own.as_str())];
    let mut grant = grant(2, &files);
    "elsewhere".clone_into(&mut grant.files[1].path);
    grant
}

fn paths(node: &Node) -> Vec<String> {
    node.read().into_keys().collect()
}

/// 300 KB do not fit: what then goes, what the others are, and that it is told.
fn a_right_ends(node: &Node) {
    let files = ["kept", "moved", "ended", "own"].map(|path| (path, "old"));
    node.operator.grant(grant(1, &files));
    node.publish().unwrap();
    let retaining = Grant {
        retained: vec!["ended".to_owned()],
        ..larger(300 * 1024)
    };
    node.operator.grant(retaining);
    later();
    node.publish().unwrap();
    assert_eq!(paths(node), ["ended", "kept", "moved", "own"], "it stays");
    node.operator.grant(larger(300 * 1024));
    later();
    node.publish().unwrap();
    assert_eq!(paths(node), ["kept", "moved", "own"]);
    assert!(node.read().values().all(|value| value == "old"));
    let condition = node.condition().unwrap();
    let told = condition.abnormal && condition.message.contains("the volume needs");
    assert!(told, "{condition:?}");
    node.operator.grant(larger(3));
    later();
    node.publish().unwrap();
    let held = node.operator.last().volume.held_files.clone();
    assert_eq!(held.len(), 3, "it says that it still holds {held:?}");
    assert_eq!(paths(node), ["elsewhere", "kept", "own"], "what fits comes");
    assert!(!node.condition().unwrap().abnormal);
}

#[test]
#[ignore = "needs root: make test"]
fn a_right_that_ended_takes_its_files_away_from_a_volume_that_would_be_too_large() {
    on_a_node_with(&["--volume-size-limit=512Ki"], |node| a_right_ends(node));
}

#[test]
#[ignore = "needs root: make test"]
fn a_right_that_ended_takes_its_files_away_on_a_node_without_room_for_the_others() {
    on_a_node_with(&["--node-budget=512Ki"], |node| a_right_ends(node));
}
