//! kubelet is stopped and started, as in an upgrade of the node.

use secretvault_e2e::eventually;

use crate::running::Running;

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_kubelet_that_is_restarted_takes_up_the_volumes_again() {
    let running = Running::start("failures-kubelet");
    let doomed = running.another("doomed");
    doomed.run(&running.namespace);
    let node = &running.volume.node;
    let stopped = node.without_kubelet();
    let read = format!("cat '{}/token'", running.volume.path());
    assert_eq!(node.sh(&read).expect_success(), "t-1");
    let delete = ["delete", "pod", "doomed", "--wait=false"];
    let _ = running.namespace.kubectl(&delete).expect_success();
    drop(stopped);
    // Its first seconds kubelet knows none of its pods.
    running.pod.wait_content(&running.namespace, "token", "t-1");
    running.assert_unharmed();
    eventually("the pod that was deleted meanwhile goes", || {
        let found = running.namespace.kubectl(&["get", "pod", "doomed"]);
        if found.succeeded { Err(found) } else { Ok(()) }
    });
    running.assert_the_next_change_arrives();
}
