//! The operator is down, or its replicas die one after the other.

use std::collections::BTreeSet;
use std::thread;

use secretvault_e2e::{
    Namespace, Part, Pod, SYSTEM, Vault, kubectl, side_by_side, wait_system, without_operator,
};

use crate::editors::deletion;
use crate::explain::doctor;
use crate::running::{Running, vault};

/// For all that is tested of it at once: to take it away and bring it back takes longest.
#[test]
#[ignore = "it needs the cluster for itself"]
fn with_the_operator_down() {
    let pods = Pods::before();
    let vaults = deletion::Vaults::before();
    let down = without_operator();
    side_by_side(&[
        ("pods", &|| {
            pods.that_run_keep_their_files_and_new_ones_wait();
        }),
        ("vaults", &|| {
            vaults.with_editors_go_with_their_namespace_only();
        }),
        ("doctor", &doctor::says_that_nothing_is_sealed),
    ]);
    drop(down);
    assert_spread();
    side_by_side(&[
        ("pods", &|| pods.go_on()),
        ("vaults", &|| vaults.go()),
        ("doctor", &doctor::finds_nothing_wrong),
    ]);
}

/// A pod that runs, and one that will be deleted while the operator is down.
struct Pods {
    running: Running,
    late: Pod,
}

impl Pods {
    fn before() -> Self {
        let running = Running::start("failures-operator");
        running.another("doomed").run(&running.namespace);
        let late = running.another("late");
        Self { running, late }
    }

    fn that_run_keep_their_files_and_new_ones_wait(&self) {
        let Self { running, late } = self;
        late.create(&running.namespace);
        late.wait_event(&running.namespace, "cannot reach the operator");
        // kubelet asks again and again, and each time there is no answer.
        running.volume.wait_republished(2);
        running.assert_unharmed();
        // Deleting needs nobody but the agent.
        let deleted = running.namespace.kubectl(&["delete", "pod", "doomed"]);
        let _ = deleted.expect_success();
    }

    fn go_on(&self) {
        let Self { running, late } = self;
        late.wait_ready(&running.namespace);
        assert_eq!(late.read(&running.namespace, "token"), "t-1");
        running.assert_the_next_change_arrives();
    }
}

/// The replicas run on nodes of their own.
fn assert_spread() {
    let operators = Part::operators();
    let nodes: BTreeSet<&str> = operators.iter().map(|part| part.node.name()).collect();
    assert_eq!((operators.len(), nodes.len()), (2, 2), "{operators:?}");
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
    assert_spread();
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
    // The new ones are spread over the nodes, and not over what the old ones left.
    assert_spread();
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
