//! The node agent dies, or is replaced.

use secretvault_e2e::{Part, SYSTEM, eventually, kubectl, wait_system};

use crate::running::Running;

#[test]
#[ignore = "it needs the cluster for itself"]
fn an_agent_that_is_killed_finds_its_volumes_again() {
    let running = Running::start("failures-agent-killed");
    Part::agent_on(&running.volume.node).kill();
    running.assert_unharmed();
    running.assert_the_next_change_arrives();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn an_agent_in_a_new_pod_finds_its_predecessors_volumes() {
    let running = Running::start("failures-agent-deleted");
    let agent = Part::agent_on(&running.volume.node);
    let deleted = kubectl(&["-n", SYSTEM, "delete", "pod", &agent.name]);
    let _ = deleted.expect_success();
    eventually("the node has another agent", || {
        let agents = Part::agents();
        let mut here = agents
            .iter()
            .filter(|it| it.node.name() == agent.node.name());
        if here.any(|it| it.uid != agent.uid) {
            Ok(())
        } else {
            Err(agents)
        }
    });
    wait_system();
    running.assert_unharmed();
    running.assert_the_next_change_arrives();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_pod_that_is_deleted_while_its_agent_is_being_replaced_goes_with_its_volume() {
    let running = Running::start("failures-agent-unpublish");
    let agent = Part::agent_on(&running.volume.node);
    let pods = running
        .namespace
        .kubectl(&["delete", "pod", "app", "--wait=false"]);
    let _ = pods.expect_success();
    let agents = ["-n", SYSTEM, "delete", "pod", &agent.name, "--wait=false"];
    let _ = kubectl(&agents).expect_success();
    eventually("the volume goes", || {
        let left = (running.volume.mounts(), running.volume.state());
        if left == (Vec::new(), String::new()) {
            Ok(())
        } else {
            Err(left)
        }
    });
    wait_system();
}
