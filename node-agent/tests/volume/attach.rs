//! A new volume.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use secretvault_node_agent::volume::VolumeError;
use secretvault_volume::File;

use crate::node::{contents, file, files, on_a_node, one};

#[test]
#[ignore = "needs root: make test"]
fn a_volume_is_a_read_only_tmpfs_with_all_flags() {
    on_a_node(|node| {
        node.attach(&contents(&[
            ("db", "hunter2"),
            ("tls/key", "k"),
            ("tls/crt", "c"),
        ]))
        .unwrap();
        let mounts = node.mounts();
        assert_eq!(mounts.len(), 1, "{mounts:?}");
        let (mount, filesystem) = mounts[0].split_once(" - ").unwrap();
        assert!(mount.contains(" ro,nosuid,nodev,noexec"), "{mount}");
        assert!(filesystem.starts_with("tmpfs secretvault "), "{filesystem}");
        assert_eq!(
            filesystem.contains("noswap"),
            node.layer.noswap(),
            "{filesystem}"
        );
        assert!(
            filesystem.contains("size=") && filesystem.contains("nr_inodes="),
            "{filesystem}"
        );
        let expected = files(&[("db", "hunter2"), ("tls/crt", "c"), ("tls/key", "k")]);
        assert_eq!(node.read(), expected);
        let refused = fs::write(node.path().join("new"), "x").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn the_layout_is_that_of_kubernetes() {
    on_a_node(|node| {
        node.attach(&contents(&[("db", "x"), ("tls/key", "k")]))
            .unwrap();
        let link = |name: &str| fs::read_link(node.path().join(name)).unwrap();
        assert_eq!(link("db"), Path::new("..data/db"));
        assert_eq!(link("tls"), Path::new("..data/tls"));
        assert_eq!(link("..data"), Path::new(&node.generations()[0]));
        let reserved = node.path().join("kubernetes.io/serviceaccount");
        assert_eq!(
            fs::metadata(reserved).unwrap().permissions().mode() & 0o777,
            0o755
        );
        let generation = node.path().join("..data/tls");
        assert_eq!(
            fs::metadata(generation).unwrap().permissions().mode() & 0o777,
            0o755
        );
    });
}

#[test]
#[ignore = "needs root: make test"]
fn owner_group_and_mode_are_as_asked_for() {
    on_a_node(|node| {
        let private = File {
            uid: 999,
            gid: 998,
            mode: "0400".parse().unwrap(),
            ..file(b"x")
        };
        node.attach(&one(private)).unwrap();
        let found = fs::metadata(node.path().join("a")).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (999, 998, 0o400)
        );
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_volume_without_a_parent_directory_is_not_made() {
    on_a_node(|node| {
        fs::remove_dir(node.path().parent().unwrap()).unwrap();
        let refused = node.attach(&contents(&[("a", "x")]));
        assert!(
            matches!(refused, Err(VolumeError::NoParent { .. })),
            "{refused:?}"
        );
    });
}

#[test]
#[ignore = "needs root: make test"]
fn attached_volumes_are_found() {
    on_a_node(|node| {
        assert!(node.layer.targets().unwrap().is_empty());
        node.attach(&contents(&[("a", "x")])).unwrap();
        assert_eq!(node.layer.targets().unwrap(), [node.target()]);
    });
}
