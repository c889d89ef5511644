//! What goes wrong while a change is brought.

use tonic::Status;

use super::*;
use crate::node::eventually_within;

#[test]
#[ignore = "needs root: make test"]
fn a_lost_request_does_not_make_a_change_wait_for_the_republish() {
    on_a_node(|node| {
        published(node);
        let mut asked = 0;
        node.operator.answer(move |_| {
            asked += 1;
            if asked < 5 {
                return Err(Status::unavailable("not now"));
            }
            Ok(Outcome::Grant(grant(2, &[("db", "new")])))
        });
        node.operator.tell(&[("shop/app", 2)]);
        shows(node, "db", "new");
        eventually("all is well", || !node.condition().unwrap().abnormal);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_replica_that_has_not_seen_the_change_is_not_believed() {
    on_a_node(|node| {
        published(node);
        let mut asked = 0;
        node.operator.answer(move |_| {
            asked += 1;
            Ok(match asked {
                1..3 => Outcome::Grant(grant(1, &[("db", "old")])),
                3..5 => behind(),
                _ => Outcome::Grant(grant(2, &[("db", "new")])),
            })
        });
        node.operator.tell(&[("shop/app", 2)]);
        shows(node, "db", "new");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_operator_that_stays_away_is_left_in_peace_after_some_tries() {
    on_a_node(|node| {
        published(node);
        node.operator.answer(|_| Ok(behind()));
        node.operator.tell(&[("shop/app", 2)]);
        // Twice each time: another replica may know better.
        eventually("it is tried", || node.operator.requests().len() >= 9);
        assert_eq!(node.read()["db"], "old");
        eventually("it is told", || node.condition().unwrap().abnormal);
        let (minute, all) = (Duration::from_secs(60), 1 + 6 * 2);
        eventually_within(minute, "it is tried to the end", || {
            node.operator.requests().len() >= all
        });
        thread::sleep(Duration::from_secs(5));
        assert_eq!(node.operator.requests().len(), all);
        // Then the republish is what helps, however soon it comes.
        node.operator.grant(grant(2, &[("db", "new")]));
        node.publish().unwrap();
        assert_eq!(node.read()["db"], "new");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_denial_is_not_repeated() {
    on_a_node(|node| {
        published(node);
        node.operator.deny(Reason::Forbidden, "no rule allows it");
        node.operator.tell(&[("shop/app", 2)]);
        eventually("it is asked", || pushes(node, "Kept") == 1);
        thread::sleep(Duration::from_millis(500));
        assert_eq!(node.operator.requests(), [1, 1]);
        assert_eq!(node.read()["db"], "old");
        // The republish asks, however soon after the first publish.
        node.operator.grant(grant(2, &[("db", "new")]));
        node.publish().unwrap();
        assert_eq!(node.read()["db"], "new");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn with_a_token_that_has_ended_nobody_asks_until_kubelet_brings_another() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "old")]));
        let mut request = node.request("old-token");
        let tokens = r#"{"csi.secretvault.dev":{"token":"old-token",
            "expirationTimestamp":"2020-01-01T00:00:00Z"}}"#;
        for value in request.secrets.values_mut() {
            tokens.clone_into(value);
        }
        node.publish_as(request).unwrap();
        eventually("it is told", || !node.operator.words().is_empty());
        node.operator.grant(grant(2, &[("db", "new")]));
        node.operator.tell(&[("shop/app", 2)]);
        eventually("it is heard", || pushes(node, "Expired") == 1);
        assert_eq!(node.operator.requests(), [1]);
        assert_eq!(node.read()["db"], "old");
        // However soon after the first publish.
        node.publish_as(node.request("new-token")).unwrap();
        assert_eq!(node.read()["db"], "new");
        assert_eq!(node.operator.last().volume.pod_token, "new-token");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_token_that_came_with_a_republish_that_asked_nobody_outlives_the_agent() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "old")]));
        let asked = node.publish_twice_at_once(&node.request("fresh-token"));
        assert_eq!(asked, 1, "it was too soon");
        eventually("it is told", || node.operator.words() == ["shop/app@1 1"]);
        let before = node.operator.requests().len();
        node.operator
            .answer(|_| Err(Status::unavailable("not now")));
        node.operator.tell(&[("shop/app", 2)]);
        eventually("it is tried", || node.operator.requests().len() > before);
        let record = std::fs::read_to_string(&node.records()[0]).unwrap();
        assert!(record.contains("fresh-token"));
    });
}
