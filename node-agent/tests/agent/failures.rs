//! What goes wrong, and what kubelet and the pod notice of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use secretvault_delivery::v1::{Reason, file::Content, verdict::Outcome};
use tonic::{Code, Status};

use crate::{
    node::{Node, eventually, later, on_a_node, on_a_node_with},
    operator::{Operator, grant},
};

type Trouble = Box<dyn Fn(&Operator)>;

/// On any machine less than the minute for which a call is held.
const SOON: Duration = Duration::from_secs(30);

/// A publish, and how long it took.
fn timed(node: &Node) -> (Result<(), Status>, Duration) {
    let begun = Instant::now();
    let published = node.publish();
    (published, begun.elapsed())
}

#[test]
#[ignore = "needs root: make test"]
fn a_first_denial_is_told_at_once_and_the_next_call_is_held_until_it_is_lifted() {
    on_a_node(|node| {
        node.operator
            .deny(Reason::Forbidden, "vault shop/app does not allow web");
        let refused = node.publish().unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.message(), "vault shop/app does not allow web");
        assert_eq!(node.operator.requests(), [1], "it was not held");
        assert_eq!(node.mounts(), 0);
        assert!(node.records().is_empty());

        let begun = Instant::now();
        let mut asked = 0;
        node.operator.answer(move |_| {
            asked += 1;
            let denied = secretvault_delivery::v1::Denial {
                reason: Reason::Forbidden.into(),
                message: "not yet".to_owned(),
                withdrawn: Vec::new(),
            };
            Ok(if asked < 3 {
                Outcome::Denial(denied)
            } else {
                Outcome::Grant(grant(1, &[("a", "b")]))
            })
        });
        node.publish().unwrap();
        let took = begun.elapsed();
        assert!(took > Duration::from_secs(1) && took < SOON, "{took:?}");
        assert_eq!(node.operator.requests(), [1; 1 + 3]);
        assert_eq!(node.read()["a"], "b");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_held_call_answers_at_once_when_there_is_news() {
    on_a_node(|node| {
        node.operator
            .deny(Reason::NotFound, "vault shop/app does not exist");
        assert_eq!(node.publish().unwrap_err().code(), Code::NotFound);
        node.operator.deny(Reason::KeyUnavailable, "no usable key");
        assert_eq!(node.publish().unwrap_err().code(), Code::Unavailable);
        // Twice, because another replica may have a key; a call that is held asks again later.
        assert_eq!(node.operator.requests(), [1; 1 + 2]);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn each_denial_has_its_code() {
    on_a_node(|node| {
        for (reason, code) in [
            (Reason::TokenRejected, Code::Unauthenticated),
            (Reason::PodMismatch, Code::FailedPrecondition),
            (Reason::InvalidRequest, Code::InvalidArgument),
            (Reason::NotFound, Code::NotFound),
            (Reason::Forbidden, Code::PermissionDenied),
            (Reason::KeyUnavailable, Code::Unavailable),
            (Reason::Damaged, Code::DataLoss),
            (Reason::Unspecified, Code::Internal),
        ] {
            node.operator.deny(reason, "why");
            assert_eq!(node.publish().unwrap_err().code(), code, "{reason:?}");
        }
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_operator_that_is_down_is_told_in_time_and_a_held_call_sees_it_return() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("a", "b")]));
        node.operator.stop();
        let (refused, took) = timed(node);
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(
            refused.message().contains("cannot reach the operator"),
            "{refused}"
        );
        assert!(took < SOON, "{took:?}");
        let begun = Instant::now();
        let returning = node.operator.resume_after(Duration::from_millis(1500));
        let (published, took) = (node.publish(), begun.elapsed());
        node.operator.resumed(returning);
        published.unwrap();
        assert!(took > Duration::from_secs(1) && took < SOON, "{took:?}");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_operator_that_hangs_is_given_up_in_time() {
    on_a_node(|node| {
        node.operator.answer(|_| {
            thread::sleep(Duration::from_secs(4));
            Err(Status::unavailable("late"))
        });
        let (refused, took) = timed(node);
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("did not answer"), "{refused}");
        // Before the operator answered. That a first try ends sooner is a matter of its limit.
        assert!(took < Duration::from_secs(4), "{took:?}");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn whatever_goes_wrong_an_attached_volume_stays_and_kubelet_hears_yes() {
    on_a_node(|node| {
        node.operator.grant(grant(5, &[("a", "good")]));
        node.publish().unwrap();
        let mut damaged = grant(6, &[("a", "x")]);
        damaged.files[0].entry = "other".to_owned();
        let mut torn = grant(6, &[("a", "x")]);
        torn.files[0].content = None;
        let troubles: Vec<(&str, Trouble)> = vec![
            ("Forbidden", Box::new(|o| o.deny(Reason::Forbidden, "no"))),
            ("NotFound", Box::new(|o| o.deny(Reason::NotFound, "no"))),
            (
                "TokenRejected",
                Box::new(|o| o.deny(Reason::TokenRejected, "no")),
            ),
            (
                "Unavailable",
                Box::new(|o| o.answer(|_| Err(Status::unavailable("no")))),
            ),
            (
                "AgentRejected",
                Box::new(|o| o.answer(|_| Err(Status::permission_denied("no")))),
            ),
            ("Behind", Box::new(|o| o.grant(grant(4, &[("a", "older")])))),
            ("Damaged", Box::new(move |o| o.grant(damaged.clone()))),
            ("Malformed", Box::new(move |o| o.grant(torn.clone()))),
        ];
        for (reason, trouble) in troubles {
            trouble(&node.operator);
            later();
            node.publish().unwrap();
            assert_eq!(node.read()["a"], "good", "{reason}");
            assert!(node.condition().unwrap().abnormal, "{reason}");
            let line = format!("refresh_failures_total{{reason=\"{reason}\"}} 1");
            let metrics = node.get("/metrics").unwrap();
            assert!(metrics.contains(&line), "{reason}: {metrics}");
        }
        node.operator.grant(grant(6, &[("a", "better")]));
        later();
        node.publish().unwrap();
        assert_eq!(node.read()["a"], "better");
        assert!(!node.condition().unwrap().abnormal);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_denial_takes_withdrawn_files_away_and_leaves_the_others() {
    on_a_node(|node| {
        node.operator
            .grant(grant(5, &[("a", "kept"), ("b", "withdrawn")]));
        node.publish().unwrap();
        node.operator
            .deny_withdrawing(Reason::KeyUnavailable, "no usable key", &["b"]);
        later();
        node.publish().unwrap();
        let left = node.read();
        assert_eq!(left.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(left["a"], "kept");
        assert!(node.condition().unwrap().abnormal);
        later();
        node.publish().unwrap();
        let held = node.operator.last().volume.held_files.clone();
        assert_eq!(held.len(), 1, "it says that it still holds {held:?}");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_first_denial_that_withdraws_attaches_nothing() {
    on_a_node(|node| {
        node.operator
            .deny_withdrawing(Reason::KeyUnavailable, "no usable key", &["b"]);
        assert_eq!(node.publish().unwrap_err().code(), Code::Unavailable);
        assert_eq!(node.mounts(), 0);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_operator_that_is_down_leaves_attached_volumes_alone() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("a", "good")]));
        node.publish().unwrap();
        node.operator.stop();
        later();
        node.publish().unwrap();
        let condition = node.condition().unwrap();
        assert!(
            condition.abnormal && condition.message.contains("operator"),
            "{condition:?}"
        );
        node.operator.resume();
        node.operator.grant(grant(2, &[("a", "new")]));
        later();
        node.publish().unwrap();
        assert_eq!(node.read()["a"], "new");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_request_that_cannot_be_read_is_refused_but_for_an_attached_volume() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("a", "good")]));
        let mut wrong = node.request("pod-token");
        wrong
            .volume_context
            .insert("vautls".to_owned(), "app".to_owned());
        let refused = node.publish_as(wrong.clone()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().contains("did you mean vaults?"),
            "{refused}"
        );
        node.publish().unwrap();
        node.publish_as(wrong).unwrap();
        assert!(node.condition().unwrap().abnormal);
        assert_eq!(node.read()["a"], "good");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_forged_token_goes_nowhere() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("a", "b")]));
        let mut forged = node.request("pod-token");
        let tokens = forged.secrets.drain().next().unwrap();
        forged.volume_context.insert(tokens.0, tokens.1);
        let refused = node.publish_as(forged).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(node.operator.seen().is_empty());
        assert_eq!(node.mounts(), 0);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_envelope_that_does_not_open_names_its_entry() {
    on_a_node(|node| {
        let mut damaged = grant(1, &[("db", "hunter2")]);
        if let Some(Content::Sealed(sealed)) = &mut damaged.files[0].content {
            sealed.key[0] ^= 1;
        }
        node.operator.grant(damaged);
        let refused = node.publish().unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss);
        assert!(
            refused.message().contains("entry db of vault shop/app"),
            "{refused}"
        );
        assert_eq!(node.mounts(), 0);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn what_does_not_fit_is_refused_before_it_is_written() {
    on_a_node_with(
        &["--node-budget=1Mi", "--volume-size-limit=512Ki"],
        |node| {
            let large = "x".repeat(300 * 1024);
            node.operator.grant(grant(1, &[("a", &large)]));
            let refused = node.publish().unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert!(refused.message().contains("524288"), "{refused}");
            assert_eq!(node.mounts(), 0);
            node.operator.grant(grant(2, &[("a", "small")]));
            node.publish().unwrap();
            node.operator.grant(grant(3, &[("a", &large)]));
            later();
            node.publish().unwrap();
            assert_eq!(node.read()["a"], "small");
            assert!(node.condition().unwrap().abnormal);
        },
    );
}

#[test]
#[ignore = "needs root: make test"]
fn an_operator_with_another_ca_gets_no_token() {
    on_a_node(|node| {
        let other = Operator::start();
        std::fs::write(node.path("ca.crt"), &other.ca).unwrap();
        node.operator.grant(grant(1, &[("a", "b")]));
        let refused = node.publish().unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(node.operator.seen().is_empty());
        std::fs::write(node.path("ca.crt"), &node.operator.ca).unwrap();
        eventually("the renewed CA is used", || node.publish().is_ok());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn what_another_replica_may_do_better_is_asked_again_at_once() {
    on_a_node(|node| {
        let behind = || secretvault_delivery::v1::Denial {
            reason: Reason::Behind.into(),
            message: "this replica has not seen it".to_owned(),
            withdrawn: Vec::new(),
        };
        let mut asked = 0;
        node.operator.answer(move |_| {
            asked += 1;
            Ok(if asked == 1 {
                Outcome::Denial(behind())
            } else {
                Outcome::Grant(grant(1, &[("a", "b")]))
            })
        });
        node.publish().unwrap();
        let peers: Vec<_> = node
            .operator
            .seen()
            .into_iter()
            .map(|seen| seen.peer)
            .collect();
        assert_eq!(peers.len(), 2);
        assert_ne!(peers[0], peers[1], "on another connection");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_held_call_does_not_keep_a_volume_from_going_and_never_brings_it_back() {
    on_a_node(|node| {
        node.operator
            .deny(Reason::NotFound, "vault shop/app does not exist");
        node.publish().unwrap_err();
        let node = &*node;
        thread::scope(|scope| {
            let held = scope.spawn(|| node.publish());
            eventually("it asks", || node.operator.requests().len() >= 2);
            let begun = Instant::now();
            node.unpublish().unwrap();
            assert!(begun.elapsed() < SOON);
            node.operator.grant(grant(1, &[("a", "b")]));
            assert_eq!(held.join().unwrap().unwrap_err().code(), Code::Aborted);
        });
        assert_eq!(node.mounts(), 0);
        node.publish().unwrap();
    });
}
