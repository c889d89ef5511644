//! The operator is down, or its replicas die one after the other.

use std::collections::BTreeSet;
use std::thread;

use secretvault_e2e::{
    Namespace, Part, Pod, SYSTEM, Vault, kubectl, wait_replaced, wait_system, without_operator,
};

use crate::running::{Running, vault};

#[test]
#[ignore = "it needs the cluster for itself"]
fn with_the_operator_down_running_pods_keep_their_files_and_new_ones_wait() {
    let running = Running::start("failures-operator");
    let doomed = running.another("doomed");
    doomed.run(&running.namespace);
    let down = without_operator();
    let late = running.another("late");
    late.create(&running.namespace);
    late.wait_event(&running.namespace, "cannot reach the operator");
    // kubelet asks again and again, and each time there is no answer.
    running.volume.wait_republished(2);
    running.assert_unharmed();
    // Deleting needs nobody but the agent.
    let deleted = running.namespace.kubectl(&["delete", "pod", "doomed"]);
    let _ = deleted.expect_success();
    drop(down);
    late.wait_ready(&running.namespace);
    assert_eq!(late.read(&running.namespace, "token"), "t-1");
    running.assert_the_next_change_arrives();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn the_replicas_run_on_nodes_of_their_own() {
    let distinct = || {
        let operators = Part::operators();
        let nodes: BTreeSet<&str> = operators.iter().map(|part| part.node.name()).collect();
        assert_eq!((operators.len(), nodes.len()), (2, 2), "{operators:?}");
    };
    drop(without_operator());
    distinct();
    // An upgrade spreads the new ones over the nodes, and not over what the old ones left.
    let operator = "deployment/secretvault-operator";
    let _ = kubectl(&["-n", SYSTEM, "rollout", "restart", operator]).expect_success();
    wait_replaced();
    distinct();
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn pods_start_while_one_replica_after_the_other_is_killed() {
    let namespace = Namespace::create("failures-replica");
    vault("t-1").store(&namespace);
    let replicas = Part::operators();
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    for (turn, replica) in replicas.iter().enumerate() {
        let pods: Vec<Pod> = (0..4)
            .map(|n| Pod::mounting(&format!("pod-{turn}-{n}"), "app"))
            .collect();
        for pod in &pods {
            pod.create(&namespace);
        }
        replica.kill();
        for pod in &pods {
            pod.wait_ready(&namespace);
            assert_eq!(pod.read(&namespace, "token"), "t-1");
        }
    }
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn no_apply_fails_while_the_replicas_are_replaced() {
    let namespace = Namespace::create("failures-rollout");
    let rollout = thread::spawn(|| {
        let operator = "deployment/secretvault-operator";
        let _ = kubectl(&["-n", SYSTEM, "rollout", "restart", operator]).expect_success();
        wait_system();
    });
    let mut applied = 0;
    while !rollout.is_finished() || applied == 0 {
        applied += 1;
        let value = format!("value {applied}");
        let answer = Vault::named("app").text("token", &value).apply(&namespace);
        assert!(answer.succeeded, "apply number {applied}: {answer:?}");
    }
    rollout.join().unwrap();
}

/// The API server hears that a replica leaves some moments after the replica does, and goes on asking
/// it until then.
#[test]
#[ignore = "it needs the cluster for itself"]
fn a_replica_that_is_told_to_leave_can_be_asked_until_others_have_heard_of_it() {
    let replica = Part::operators().remove(0);
    let connect = format!("timeout 1 bash -c \"</dev/tcp/{}/8443\"", replica.address);
    // For two of the seconds that it serves on: 124 says that they are over, and no attempt failed.
    let ask = format!("timeout 2 bash -c 'while {connect}; do sleep 0.1; done'; test $? = 124");
    replica.ask_to_leave();
    let _ = replica.node.sh(&ask).expect_success();
    // The control: it did leave.
    replica.wait_restarted();
    wait_system();
}
