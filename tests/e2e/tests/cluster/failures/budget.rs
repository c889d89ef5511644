//! A node's memory for volumes is used up.

use secretvault_e2e::{Namespace, NodeVolume, Pod, Vault, alone, upgraded};

#[test]
fn a_volume_beyond_the_nodes_budget_is_refused_and_fits_when_another_has_gone() {
    let _lock = alone();
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
