//! A node loses its power, and comes back with its disk and an empty memory.

use secretvault_e2e::{Namespace, Node, NodeVolume, Pod, eventually};

use crate::running::vault;

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_pod_finds_its_files_again_after_its_node_was_rebooted() {
    let namespace = Namespace::create("failures-reboot");
    vault("t-1").store(&namespace);
    // The other node is where the API server is.
    let node = Node::named("node-b");
    let pod = Pod::mounting("app", "app").on(node.name());
    pod.run(&namespace);
    let started = "{.status.containerStatuses[0].containerID}";
    let before = namespace.field("pod/app", started);
    node.reboot();
    eventually("the pod runs in a new container", || {
        let now = namespace.field("pod/app", started);
        if now == before { Err(now) } else { Ok(()) }
    });
    pod.wait_content(&namespace, "token", "t-1");
    assert_eq!(NodeVolume::of(&namespace, "app").mounts().len(), 1);
    // The API server's connection to the replica on that node died without a word. It notices in time.
    eventually("the vault is changed", || {
        vault("t-2").apply(&namespace).into_result()
    });
    pod.wait_content(&namespace, "token", "t-2");
}
