//! Why the agent keeps the capabilities that it keeps: each is taken away in turn, and something that the
//! agent is for fails.

use std::sync::mpsc::channel;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use secretvault_node_agent::harden::NEEDED;
use secretvault_volume::File;

use crate::node::{Node, file, on_a_node, one};

/// The first step in a volume's life that fails with these capabilities and no others.
fn fails_with(kept: CapabilitySet, make: fn(&'static [u8]) -> File) -> Option<&'static str> {
    let (tell, told) = channel();
    on_a_node(move |node| {
        // What is permitted stays, so that the node can be cleared away.
        let all = capabilities(None).unwrap().permitted;
        let act_with = |effective| {
            let sets = CapabilitySets {
                effective,
                permitted: all,
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, sets).unwrap();
        };
        act_with(kept);
        let failed = first_failure(node, make);
        act_with(all);
        tell.send(failed).unwrap();
    });
    told.recv().unwrap()
}

fn first_failure(node: &Node, make: fn(&'static [u8]) -> File) -> Option<&'static str> {
    if node.attach(&one(make(b"old"))).is_err() {
        return Some("attach");
    }
    if node.update(&one(make(b"new"))).is_err() {
        return Some("update");
    }
    node.remove().err().map(|_| "remove")
}

fn public(content: &[u8]) -> File {
    file(content)
}

fn writable(content: &[u8]) -> File {
    File {
        mode: "0644".parse().unwrap(),
        ..file(content)
    }
}

/// For one user that is not root, and nobody else.
fn private(content: &[u8]) -> File {
    File {
        uid: 999,
        gid: 999,
        mode: "0400".parse().unwrap(),
        ..file(content)
    }
}

#[test]
#[ignore = "needs root: make test"]
fn with_what_the_agent_keeps_a_volume_lives_and_goes() {
    assert_eq!(fails_with(NEEDED, public), None);
    assert_eq!(fails_with(NEEDED, private), None);
}

#[test]
#[ignore = "needs root: make test"]
fn without_sys_admin_nothing_is_mounted() {
    let kept = NEEDED.difference(CapabilitySet::SYS_ADMIN);
    assert_eq!(fails_with(kept, public), Some("attach"));
}

#[test]
#[ignore = "needs root: make test"]
fn without_chown_no_file_is_given_to_another_user() {
    let kept = NEEDED.difference(CapabilitySet::CHOWN);
    assert_eq!(fails_with(kept, private), Some("attach"));
    assert_eq!(fails_with(kept, public), None);
}

/// Nearly all files are such: the default mode is 0444.
#[test]
#[ignore = "needs root: make test"]
fn without_dac_override_no_file_is_wiped_that_its_owner_may_only_read() {
    let kept = NEEDED.difference(CapabilitySet::DAC_OVERRIDE);
    assert_eq!(fails_with(kept, private), Some("remove"));
    assert_eq!(fails_with(kept, public), Some("remove"));
    assert_eq!(fails_with(kept, writable), None);
}

#[test]
#[ignore = "needs root: make test"]
fn the_three_are_all_that_is_kept() {
    assert_eq!(NEEDED.iter().count(), 3);
}
