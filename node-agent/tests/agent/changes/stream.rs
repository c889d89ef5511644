//! The stream: lost, refused, never missed.

use tonic::Status;

use super::*;

#[test]
#[ignore = "needs root: make test"]
fn a_stream_that_was_ended_is_followed_by_another_and_nothing_is_missed() {
    on_a_node(|node| {
        published(node);
        for (number, status) in (2..).zip([
            Status::unavailable("this replica leaves"),
            Status::unauthenticated("the token has ended"),
            Status::aborted("there is a newer one"),
        ]) {
            node.operator.end_stream(status);
            // Nobody hears this.
            let value = number.to_string();
            node.operator.grant(grant(number, &[("db", &value)]));
            node.operator.tell(&[("shop/app", number)]);
            shows(node, "db", &value);
        }
        assert_eq!(node.operator.streams(), 4);
        let metrics = node.get("/metrics").unwrap();
        assert!(metrics.contains("watch_connected 1"), "{metrics}");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_operator_that_comes_back_brings_what_changed_meanwhile() {
    on_a_node(|node| {
        published(node);
        node.operator.stop();
        node.operator.grant(grant(2, &[("db", "new")]));
        node.operator.tell(&[("shop/app", 2)]);
        eventually("it is lost", || {
            let metrics = node.get("/metrics").unwrap();
            metrics.contains("watch_connected 0")
        });
        assert!(node.get("/readyz").unwrap().starts_with("HTTP/1.1 200"));
        node.operator.resume();
        shows(node, "db", "new");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_agent_that_starts_tells_of_its_volumes_as_soon_as_it_has_asked() {
    on_a_node(|node| {
        published(node);
        node.kill();
        node.operator.grant(grant(2, &[("db", "new")]));
        node.start(&[]);
        shows(node, "db", "new");
        eventually("it is told", || node.operator.words() == ["shop/app@2 1"]);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_agent_needs_no_stream_to_serve() {
    crate::node::on_a_node_with(&[], |node| {
        node.kill();
        node.operator.refuse_streams();
        node.start(&[]);
        assert!(node.get("/readyz").unwrap().starts_with("HTTP/1.1 200"));
        node.operator.grant(grant(1, &[("db", "old")]));
        node.publish().unwrap();
        node.operator.grant(grant(2, &[("db", "new")]));
        later();
        node.publish().unwrap();
        assert_eq!(node.read()["db"], "new");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_agent_that_is_told_to_stop_ends_its_stream_at_once() {
    on_a_node(|node| {
        published(node);
        let begun = std::time::Instant::now();
        assert!(node.terminate().success());
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}
