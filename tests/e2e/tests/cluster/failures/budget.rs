//! A node's memory for volumes is used up.

use secretvault_e2e::{Namespace, Node, NodeVolume, Part, Pod, Vault};

/// A volume of a little over 1 MiB, of before an agent's budget became 3 MiB.
pub(crate) struct LittleBudget {
    namespace: Namespace,
    first: NodeVolume,
}

impl LittleBudget {
    pub(crate) fn before() -> Self {
        let namespace = Namespace::create("failures-budget");
        // A volume takes twice its contents.
        let vault = Vault::named("app").text("ballast", &"x".repeat(512 * 1024));
        let _ = vault.apply_server_side(&namespace).expect_success();
        Self::pod("first").run(&namespace);
        let first = NodeVolume::of(&namespace, "first");
        Self { namespace, first }
    }

    fn pod(name: &str) -> Pod {
        let pod = Pod::mounting(name, "app").on("node-a");
        pod.that_ends_in_order()
    }

    /// The agents have started anew, and have counted what was there already.
    pub(crate) fn a_volume_beyond_it_is_refused_and_fits_when_another_has_gone(&self) {
        let before = self.first.mounts();
        Self::pod("second").run(&self.namespace);
        let third = Self::pod("third");
        third.create(&self.namespace);
        let event = third.wait_event(&self.namespace, "raise the node agent's node budget");
        assert!(event.contains("ResourceExhausted"), "{event}");
        assert_eq!(self.first.mounts(), before);
        for harmless in ["first", "second"] {
            let size = self.namespace.sh(harmless, "wc -c < /run/secrets/ballast");
            assert_eq!(size.expect_success().trim(), "524288");
        }
        let deleted = self.namespace.kubectl(&["delete", "pod", "first"]);
        let _ = deleted.expect_success();
        third.wait_ready(&self.namespace);
    }
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
