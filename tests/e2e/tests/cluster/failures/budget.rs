//! A node's memory for volumes is used up.

use secretvault_e2e::{Namespace, Node, NodeVolume, Part, Pod, Vault, upgraded};

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_volume_beyond_the_nodes_budget_is_refused_and_fits_when_another_has_gone() {
    let namespace = Namespace::create("failures-budget");
    // A volume takes twice its contents: a little over 1 MiB.
    let vault = Vault::named("app").text("ballast", &"x".repeat(512 * 1024));
    let _ = vault.apply_server_side(&namespace).expect_success();
    let pod = |name: &str| Pod::mounting(name, "app").on("node-a").that_ends_in_order();
    pod("first").run(&namespace);
    // The agents start anew, and count what is there already.
    let changed = upgraded(&["--set", "agent.nodeBudget=3Mi"]);
    let first = NodeVolume::of(&namespace, "first");
    let before = first.mounts();
    pod("second").run(&namespace);
    let third = pod("third");
    third.create(&namespace);
    let event = third.wait_event(&namespace, "raise the node agent's node budget");
    assert!(event.contains("ResourceExhausted"), "{event}");
    assert_eq!(first.mounts(), before);
    for harmless in ["first", "second"] {
        let size = namespace.sh(harmless, "wc -c < /run/secrets/ballast");
        assert_eq!(size.expect_success().trim(), "524288");
    }
    let deleted = namespace.kubectl(&["delete", "pod", "first"]);
    let _ = deleted.expect_success();
    third.wait_ready(&namespace);
    drop(changed);
}

/// What an agent writes to a volume stays charged to its pod when it dies. With a memory limit that
/// left no room for all volumes at once, its successors would be killed on start, over and over.
pub(crate) fn an_agent_that_was_killed_comes_back_beside_volumes_that_are_charged_to_it() {
    let namespace = Namespace::create("failures-charged");
    let names = ["a", "b", "c", "d"];
    for name in names {
        let vault = Vault::named(name).text(name, &"x".repeat(512 * 1024));
        let _ = vault.apply_server_side(&namespace).expect_success();
    }
    let node = Node::named("node-a");
    let pods: Vec<Pod> = (0..PODS)
        .map(|number| Pod::mounting(&format!("full-{number}"), &names.join(",")).on(node.name()))
        .collect();
    // One after the other: what each takes in passing is not what this is about.
    for pod in &pods {
        pod.run(&namespace);
    }
    let written = PODS * names.len() as u64 * 512 * 1024;
    assert!(written > 24 * 1024 * 1024, "more than an agent by itself");
    let agent = Part::agent_on(&node);
    agent.kill();
    let charged = agent.charged_bytes();
    assert!(
        charged >= written,
        "{charged} of {written} bytes are charged"
    );
    Pod::mounting("next", "a").on(node.name()).run(&namespace);
    let (restarts, reason) = agent.restarts();
    assert_eq!((restarts, reason.as_str()), (1, "Error"), "how it ended");
}

const PODS: u64 = 13;
