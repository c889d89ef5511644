//! Many volumes: which are asked for, and by how many requests.

use secretvault_delivery::v1::file::Content;

use super::*;

/// Grants each pod its own vault, with a handle of its own, at a generation.
fn each_its_own(node: &Node, generation: i64, value: &str) {
    let value = value.to_owned();
    node.operator.answer(move |volume| {
        let mut granted = grant(generation, &[("db", &value)]);
        let vault = &mut granted.vaults[0];
        vault.uid.clone_from(&volume.vaults);
        vault.handle = volume.vaults.clone().into_bytes();
        Ok(Outcome::Grant(granted))
    });
}

/// Whether a pod sees the value at this moment.
fn has(node: &Node, pod: usize, value: &str) -> bool {
    node.read_of(pod).get("db").is_some_and(|it| it == value)
}

fn publish(node: &Node, pods: std::ops::RangeInclusive<usize>) {
    let count = pods.clone().count();
    for pod in pods {
        node.publish_as(node.request_of(pod)).unwrap();
    }
    eventually("all are told", || node.operator.words().len() == count);
}

#[test]
#[ignore = "needs root: make test"]
fn exactly_the_volumes_that_show_what_has_changed_are_asked_for_each_as_its_pod() {
    on_a_node(|node| {
        each_its_own(node, 1, "old");
        publish(node, 1..=6);
        each_its_own(node, 2, "new");
        node.operator.tell(&[("vault-2", 2), ("vault-5", 2)]);
        eventually("they change", || {
            [2, 5].iter().all(|pod| has(node, *pod, "new"))
        });
        for pod in [1, 3, 4, 6] {
            assert_eq!(node.read_of(pod)["db"], "old");
        }
        assert_eq!(node.operator.requests(), [1, 1, 1, 1, 1, 1, 2]);
        let seen = node.operator.seen();
        let mut tokens: Vec<&str> = seen[6..].iter().map(|it| &*it.volume.pod_token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, ["token-2", "token-5"]);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_vault_in_many_volumes_takes_one_request_for_64_of_them() {
    on_a_node(|node| {
        each_its_own(node, 1, "old");
        publish(node, 1..=70);
        each_its_own(node, 2, "new");
        let names: Vec<String> = (1..=70).map(|pod| format!("vault-{pod}")).collect();
        let changed: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 2)).collect();
        node.operator.tell(&changed);
        eventually("they change", || (1..=70).all(|pod| has(node, pod, "new")));
        let mut requests = node.operator.requests().split_off(70);
        requests.sort_unstable();
        assert_eq!(requests, [6, 64]);
        // Verdicts belong to the volumes in their order.
        let seen = node.operator.seen();
        for it in &seen[70..] {
            assert_eq!(it.volume.held_vaults[0].uid, it.volume.vaults);
        }
    });
}

#[test]
#[ignore = "needs root: make test"]
fn the_verdict_about_one_volume_is_none_about_another() {
    on_a_node(|node| {
        each_its_own(node, 1, "old");
        publish(node, 1..=3);
        node.operator.answer(|volume| {
            let mut granted = grant(2, &[("db", "new")]);
            granted.vaults[0].uid.clone_from(&volume.vaults);
            let denied = secretvault_delivery::v1::Denial {
                reason: Reason::Forbidden.into(),
                message: "no".to_owned(),
                withdrawn: vec!["db".to_owned()],
            };
            Ok(match volume.vaults.as_str() {
                "vault-1" => Outcome::Denial(denied),
                "vault-2" => {
                    granted.files[0].content = None;
                    Outcome::Grant(granted)
                }
                _ => Outcome::Grant(granted),
            })
        });
        node.operator
            .tell(&[("vault-1", 2), ("vault-2", 2), ("vault-3", 2)]);
        eventually("what was withdrawn goes", || node.read_of(1).is_empty());
        eventually("what was granted comes", || has(node, 3, "new"));
        assert_eq!(node.read_of(2)["db"], "old");
        assert_eq!(node.operator.requests()[3..], [3]);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_volume_that_is_worked_on_is_not_waited_for_by_the_others() {
    on_a_node(|node| {
        each_its_own(node, 1, "old");
        publish(node, 1..=2);
        later();
        node.operator.delay("uid-1", Duration::from_secs(4));
        let node = &*node;
        thread::scope(|scope| {
            let republish = scope.spawn(|| node.publish_as(node.request_of(1)));
            eventually("it asks", || node.operator.requests().len() == 3);
            each_its_own(node, 2, "new");
            node.operator.tell(&[("vault-1", 2), ("vault-2", 2)]);
            eventually("the other changes", || has(node, 2, "new"));
            assert_eq!(node.read_of(1)["db"], "old");
            assert!(!republish.is_finished());
            republish.join().unwrap().unwrap();
        });
        node.operator.delay("uid-1", Duration::ZERO);
        eventually("it changes too", || has(node, 1, "new"));
        assert_eq!(node.operator.requests()[2..], [1, 1, 1]);
    });
}

/// Likewise with values that need no sealing, however large they are.
fn each_its_own_public(node: &Node, generation: i64, value: u8) {
    node.operator.answer(move |volume| {
        let mut granted = grant(generation, &[("db", "")]);
        let vault = &mut granted.vaults[0];
        vault.uid.clone_from(&volume.vaults);
        vault.handle = volume.vaults.clone().into_bytes();
        granted.files[0].content = Some(Content::Public(vec![value; 700 << 10]));
        Ok(Outcome::Grant(granted))
    });
}

#[test]
#[ignore = "needs root: make test"]
fn answers_that_are_too_large_together_are_asked_for_one_by_one() {
    on_a_node(|node| {
        each_its_own(node, 1, "small");
        publish(node, 1..=4);
        let tell = |generation| {
            let changed = ["vault-1", "vault-2", "vault-3", "vault-4"];
            node.operator
                .tell(&changed.map(|handle| (handle, generation)));
        };
        let all_start_with = |letter: char| {
            eventually("they change", || {
                let read = |pod| node.read_of(pod).remove("db");
                (1..=4).all(|pod| read(pod).is_some_and(|it| it.starts_with(letter)))
            });
        };
        each_its_own_public(node, 2, b'x');
        tell(2);
        all_start_with('x');
        assert_eq!(node.operator.requests()[4..], [4, 1, 1, 1, 1]);
        // From then on the agent knows.
        each_its_own_public(node, 3, b'y');
        tell(3);
        all_start_with('y');
        assert_eq!(node.operator.requests()[9..], [1, 1, 1, 1]);
    });
}
