//! A volume from its first publish to its end.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use secretvault_delivery::v1::{File, Grant};
use secretvault_node_agent::csi::v1::{
    VolumeCapability,
    volume_capability::{AccessType, MountVolume},
};

use crate::{
    node::{eventually, later, on_a_node},
    operator::grant,
};

fn files(found: &[(&str, &str)]) -> BTreeMap<String, String> {
    found
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
#[ignore = "needs root: make test"]
fn a_first_publish_asks_as_the_pod_and_writes_what_was_granted() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "hunter2")]));
        node.publish().unwrap();
        assert_eq!(node.read(), files(&[("db", "hunter2")]));
        let seen = node.operator.last();
        assert_eq!(seen.authorization, "Bearer agent-token");
        assert_eq!(seen.volume.pod_token, "pod-token");
        assert_eq!(seen.volume.pod.as_ref().unwrap().service_account, "web");
        assert_eq!(seen.volume.vaults, "app");
        assert!(seen.volume.held_vaults.is_empty());
        assert!(!node.condition().unwrap().abnormal);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_second_publish_at_once_stacks_nothing_and_asks_nobody() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "hunter2")]));
        let asked = node.publish_twice_at_once(&node.request("pod-token"));
        assert_eq!((node.mounts(), asked), (1, 1));
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_republish_tells_what_is_held_and_brings_what_changed() {
    on_a_node(|node| {
        node.operator
            .grant(grant(1, &[("db", "a long value"), ("old", "x")]));
        node.publish().unwrap();
        node.operator
            .grant(grant(2, &[("db", "short"), ("new", "y")]));
        later();
        node.publish_as(node.request("fresh-token")).unwrap();
        assert_eq!(node.read(), files(&[("db", "short"), ("new", "y")]));
        let volume = node.operator.last().volume;
        assert_eq!(volume.pod_token, "fresh-token");
        assert_eq!(volume.held_vaults[0].uid, "vault-1");
        assert_eq!(volume.held_vaults[0].generation, 1);
        assert_eq!(volume.held_files.len(), 2);
        assert_eq!(node.mounts(), 1);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_retained_file_stays_with_its_owner_and_mode() {
    on_a_node(|node| {
        let mut first = grant(1, &[("db", "hunter2"), ("gone", "still here")]);
        (first.files[1].uid, first.files[1].mode) = (999, 0o400);
        node.operator.grant(first);
        node.publish().unwrap();
        let mut second = grant(2, &[("db", "changed")]);
        second.retained.push("gone".to_owned());
        node.operator.grant(second.clone());
        for _ in 0..2 {
            later();
            node.publish().unwrap();
            assert_eq!(
                node.read(),
                files(&[("db", "changed"), ("gone", "still here")])
            );
            let found = fs::metadata(node.mount().join("gone")).unwrap();
            assert_eq!((found.uid(), found.mode() & 0o777), (999, 0o400));
        }
        let held = node.operator.last().volume.held_files.clone();
        assert!(held.iter().any(|file| file.path == "gone"), "{held:?}");
        second.retained.clear();
        node.operator.grant(second);
        later();
        node.publish().unwrap();
        assert_eq!(node.read(), files(&[("db", "changed")]));
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_vault_that_is_gone_leaves_its_retained_files() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "hunter2")]));
        node.publish().unwrap();
        let nothing = Grant {
            retained: vec!["db".to_owned()],
            ..Grant::default()
        };
        node.operator.grant(nothing);
        for _ in 0..2 {
            later();
            node.publish().unwrap();
            assert_eq!(node.read(), files(&[("db", "hunter2")]));
        }
        assert_eq!(node.operator.last().volume.held_vaults[0].uid, "vault-1");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn the_pods_fs_group_takes_the_place_of_a_default_group() {
    on_a_node(|node| {
        let mut given = grant(1, &[("own", "x"), ("any", "y")]);
        let file =
            |file: &mut File, gid| (file.gid, file.gid_is_default, file.mode) = (gid, false, 0o400);
        file(&mut given.files[0], 7);
        given.files[1].mode = 0o400;
        node.operator.grant(given);
        let mut request = node.request("pod-token");
        let mount = MountVolume {
            volume_mount_group: "2000".to_owned(),
            ..MountVolume::default()
        };
        request.volume_capability = Some(VolumeCapability {
            access_type: Some(AccessType::Mount(mount)),
            access_mode: None,
        });
        node.publish_as(request).unwrap();
        let found = |name| {
            let found = fs::metadata(node.mount().join(name)).unwrap();
            (found.gid(), found.mode() & 0o777)
        };
        assert_eq!((found("own"), found("any")), ((7, 0o400), (2000, 0o400)));
    });
}

#[test]
#[ignore = "needs root: make test"]
fn unpublish_leaves_nothing_and_can_be_repeated() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "hunter2")]));
        node.publish().unwrap();
        assert_eq!(node.records().len(), 1);
        node.unpublish().unwrap();
        assert!(!node.mount().exists());
        assert!(node.records().is_empty());
        node.unpublish().unwrap();
        node.publish().unwrap();
        assert_eq!(node.mounts(), 1);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_target_that_lost_its_mount_is_repaired() {
    on_a_node(|node| {
        fs::create_dir(node.mount()).unwrap();
        node.operator.grant(grant(1, &[("db", "hunter2")]));
        node.publish().unwrap();
        rustix::mount::unmount(node.mount(), rustix::mount::UnmountFlags::DETACH).unwrap();
        node.publish().unwrap();
        assert_eq!(node.read(), files(&[("db", "hunter2")]));
        assert_eq!(node.mounts(), 1);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_killed_agent_finds_its_volumes_again_and_what_changed_meanwhile() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "old")]));
        node.publish().unwrap();
        node.kill();
        assert_eq!(node.read(), files(&[("db", "old")]));
        node.operator.grant(grant(2, &[("db", "new")]));
        node.start(&[]);
        // No republish: the new agent asks by itself, with the token that the old one had.
        eventually("the change arrives", || {
            node.read() == files(&[("db", "new")])
        });
        let volume = node.operator.last().volume;
        assert_eq!(
            (volume.pod_token.as_str(), volume.held_vaults[0].generation),
            ("pod-token", 1)
        );
        assert_eq!(node.mounts(), 1);
        node.unpublish().unwrap();
    });
}

#[test]
#[ignore = "needs root: make test"]
fn what_is_known_of_volumes_that_are_gone_is_wiped_at_the_start() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "old")]));
        node.publish().unwrap();
        node.kill();
        rustix::mount::unmount(node.mount(), rustix::mount::UnmountFlags::DETACH).unwrap();
        node.start(&[]);
        assert!(node.records().is_empty());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn an_agent_that_is_told_to_stop_leaves_its_volumes() {
    on_a_node(|node| {
        node.operator.grant(grant(1, &[("db", "hunter2")]));
        node.publish().unwrap();
        let begun = Instant::now();
        assert!(node.terminate().success());
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(node.read(), files(&[("db", "hunter2")]));
        assert!(
            !node
                .path("plugins_registry/csi.secretvault.dev@reg.sock")
                .exists()
        );
    });
}
