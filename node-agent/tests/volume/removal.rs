//! A volume that goes, and what is not ours.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    thread,
};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use secretvault_node_agent::volume::VolumeError;
use secretvault_volume::Change;

use crate::node::{contents, on_a_node, writable};

#[test]
#[ignore = "needs root: make test"]
fn removal_is_complete_and_can_be_repeated() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "x")])).unwrap();
        node.remove().unwrap();
        assert!(node.mounts().is_empty());
        assert!(!node.path().exists());
        node.remove().unwrap();
        fs::remove_dir(node.path().parent().unwrap()).unwrap();
        node.remove().unwrap();
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_copy_that_leaked_into_another_namespace_is_emptied_and_overwritten() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "hunter2")])).unwrap();
        let held = fs::File::open(node.path().join("a")).unwrap();
        let path = node.path();
        let (leaked, ready) = std::sync::mpsc::channel();
        let (removed, look) = std::sync::mpsc::channel::<()>();
        let other = thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", all).unwrap();
            // Beside the target: a target that goes takes the mounts on it along everywhere.
            let copy = tempfile::tempdir().unwrap();
            mount_bind(&path, copy.path()).unwrap();
            leaked.send(()).unwrap();
            look.recv().unwrap();
            let left = fs::read_dir(copy.path()).unwrap().count();
            unmount(copy.path(), UnmountFlags::DETACH).unwrap();
            left
        });
        ready.recv().unwrap();
        node.remove().unwrap();
        removed.send(()).unwrap();
        assert_eq!(other.join().unwrap(), 0, "the leaked copy is empty");
        let mut seen = [1; 7];
        held.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(seen, [0; 7], "a file that is still open is overwritten");
    });
}

#[test]
#[ignore = "needs root: make test"]
fn whatever_root_put_into_a_volume_goes_with_it() {
    on_a_node(|node| {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        node.attach(&contents(&[("a", "x")])).unwrap();
        let place = writable(node);
        fs::write(place.join(OsStr::from_bytes(b"no-utf8-\xff")), "x").unwrap();
        fs::set_permissions(place.join("a"), fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(
            node.update(&contents(&[("a", "y")])).unwrap(),
            Change::Swapped
        );
        unmount(&place, UnmountFlags::DETACH).unwrap();
        node.remove().unwrap();
        assert!(!node.path().exists());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_directory_that_is_not_mounted_is_used_and_removed() {
    on_a_node(|node| {
        fs::create_dir(node.path()).unwrap();
        assert!(node.layer.attached(&node.target()).unwrap().is_none());
        node.attach(&contents(&[("a", "x")])).unwrap();
        assert_eq!(node.mounts().len(), 1);
        node.remove().unwrap();
        fs::create_dir(node.path()).unwrap();
        node.remove().unwrap();
        assert!(!node.path().exists());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn somebody_elses_filesystem_is_never_touched() {
    on_a_node(|node| {
        fs::create_dir(node.path()).unwrap();
        mount("other", node.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write(node.path().join("precious"), "x").unwrap();
        assert!(matches!(
            node.layer.attached(&node.target()),
            Err(VolumeError::Foreign { .. })
        ));
        assert!(matches!(node.remove(), Err(VolumeError::Foreign { .. })));
        assert!(node.path().join("precious").exists());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn no_link_is_followed_anywhere_on_the_way() {
    on_a_node(|node| {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "x").unwrap();
        symlink(elsewhere.path(), node.path()).unwrap();
        assert!(matches!(
            node.layer.attached(&node.target()),
            Err(VolumeError::Foreign { .. })
        ));
        assert!(node.attach(&contents(&[("a", "x")])).is_err());
        assert!(node.remove().is_err());
        let parent = node.path().parent().unwrap().to_owned();
        fs::remove_file(node.path()).unwrap();
        fs::remove_dir(&parent).unwrap();
        symlink(elsewhere.path(), &parent).unwrap();
        assert!(node.attach(&contents(&[("a", "x")])).is_err());
        assert!(node.layer.attached(&node.target()).is_err());
        assert!(node.remove().is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn mounts_that_somebody_stacked_all_go() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "x")])).unwrap();
        node.attach(&contents(&[("a", "y")])).unwrap();
        assert_eq!(node.mounts().len(), 2);
        node.remove().unwrap();
        assert!(node.mounts().is_empty() && !node.path().exists());
    });
}
