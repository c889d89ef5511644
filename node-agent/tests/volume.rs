//! The volume layer on the real kernel. Each test has a mount namespace of its own.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use secretvault_envelope::Plaintext;
use secretvault_node_agent::volume::{
    Change, Contents, File, GenerationName, Layer, TargetPath, VolumeError,
};

/// A node with one pod, whose directory is shared as kubelet's is.
struct Node {
    directory: tempfile::TempDir,
    layer: Layer,
}

/// Runs a test alone in a mount namespace: nothing that it mounts outlives its thread.
fn on_a_node(test: impl FnOnce(&Node) + Send + 'static) {
    let alone = thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root");
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", all).unwrap();
        let directory = tempfile::tempdir().unwrap();
        mount_bind(directory.path(), directory.path()).unwrap();
        mount_change(directory.path(), MountPropagationFlags::SHARED).unwrap();
        let layer = Layer::open(directory.path()).unwrap();
        let node = Node { directory, layer };
        fs::create_dir_all(node.path().parent().unwrap()).unwrap();
        test(&node);
        let _ = unmount(node.directory.path(), UnmountFlags::DETACH);
    });
    alone.join().unwrap();
}

impl Node {
    fn path(&self) -> PathBuf {
        self.directory
            .path()
            .join("pods/uid-1/volumes/kubernetes.io~csi/secrets/mount")
    }

    fn target(&self) -> TargetPath {
        TargetPath::parse(self.directory.path(), self.path().to_str().unwrap()).unwrap()
    }

    fn attach(&self, contents: &Contents) -> Result<(), VolumeError> {
        self.layer.attach(&self.target(), contents, &name())
    }

    fn update(&self, contents: &Contents) -> Result<Change, VolumeError> {
        let volume = self.layer.attached(&self.target())?.expect("attached");
        volume.update(contents, volume.room_to_change(contents)?, &name())
    }

    fn remove(&self) -> Result<(), VolumeError> {
        self.layer.remove(&self.target())
    }

    /// The mounts at the target, as lines of mountinfo.
    fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let wanted = format!(" {} ", self.path().display());
        text.lines()
            .filter(|line| line.contains(&wanted))
            .map(str::to_owned)
            .collect()
    }

    /// What a reader sees: path to content, links followed.
    fn read(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        collect(&self.path(), "", &mut found);
        found
    }

    fn generations(&self) -> Vec<String> {
        let names = fs::read_dir(self.path())
            .unwrap()
            .map(|e| e.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| name.starts_with("..2")).collect()
    }
}

fn collect(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = directory.join(&name);
        if name.starts_with("..") {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), found);
        } else {
            found.insert(
                format!("{prefix}{name}"),
                fs::read_to_string(&path).unwrap(),
            );
        }
    }
}

fn name() -> GenerationName {
    GenerationName::new(jiff::Timestamp::now(), getrandom::u32().unwrap())
}

fn file(content: &[u8]) -> File {
    File {
        uid: 0,
        gid: 0,
        mode: "0444".parse().unwrap(),
        content: Plaintext::from(content),
    }
}

fn contents(files: &[(&str, &str)]) -> Contents {
    let files = files
        .iter()
        .map(|(path, text)| (path.parse().unwrap(), file(text.as_bytes())));
    Contents::new(files).unwrap()
}

fn one(file: File) -> Contents {
    Contents::new([("a".parse().unwrap(), file)]).unwrap()
}

fn files(found: &[(&str, &str)]) -> BTreeMap<String, String> {
    found
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

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
fn an_update_swaps_all_files_at_once_and_leaves_one_generation() {
    on_a_node(|node| {
        node.attach(&contents(&[
            ("a", "a long value"),
            ("b", "x"),
            ("c/d", "y"),
        ]))
        .unwrap();
        let next = contents(&[("a", "short"), ("c/e", "z"), ("f", "new")]);
        assert_eq!(node.update(&next).unwrap(), Change::Swapped);
        assert_eq!(
            node.read(),
            files(&[("a", "short"), ("c/e", "z"), ("f", "new")])
        );
        assert_eq!(node.generations().len(), 1);
        assert!(
            fs::symlink_metadata(node.path().join("b")).is_err(),
            "no dangling link"
        );
        assert_eq!(node.mounts().len(), 1);
        assert!(node.mounts()[0].contains(" ro,"), "{:?}", node.mounts());
    });
}

#[test]
#[ignore = "needs root: make test"]
fn the_same_again_is_no_swap_and_a_new_owner_or_mode_is_one() {
    on_a_node(|node| {
        node.attach(&one(file(b"x"))).unwrap();
        let before = node.generations();
        assert_eq!(node.update(&one(file(b"x"))).unwrap(), Change::Unchanged);
        assert_eq!(node.generations(), before);
        let mode = || File {
            mode: "0400".parse().unwrap(),
            ..file(b"x")
        };
        assert_eq!(node.update(&one(mode())).unwrap(), Change::Swapped);
        assert_eq!(node.update(&one(mode())).unwrap(), Change::Unchanged);
        assert_eq!(
            node.update(&one(File { gid: 5, ..mode() })).unwrap(),
            Change::Swapped
        );
        assert_eq!(fs::metadata(node.path().join("a")).unwrap().gid(), 5);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn values_of_every_size_and_kind_survive() {
    on_a_node(|node| {
        let large: Vec<u8> = (0..512 * 1024).map(|i| (i % 251) as u8).collect();
        let values: [&[u8]; 4] = [b"", b"1", b"\0\xff\n", &large];
        let mut attached = false;
        for value in values {
            if attached {
                node.update(&one(file(value))).unwrap();
            } else {
                node.attach(&one(file(value))).unwrap();
            }
            attached = true;
            assert!(fs::read(node.path().join("a")).unwrap() == value);
        }
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_volume_grows_with_its_contents_and_shrinks_with_them() {
    on_a_node(|node| {
        let size = || {
            let volume = node.layer.attached(&node.target()).unwrap().unwrap();
            volume.usage().unwrap().room
        };
        let many: Vec<(String, String)> = (0..500)
            .map(|i| (format!("d{}/f{i}", i % 7), "x".repeat(5000)))
            .collect();
        let many: Vec<(&str, &str)> = many
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        node.attach(&contents(&[("a", "x")])).unwrap();
        let small = size();
        node.update(&contents(&many)).unwrap();
        assert_eq!(node.read().len(), 500);
        assert!(
            size().bytes > 500 * 2 * 5000 && size().inodes > 1000,
            "{:?}",
            size()
        );
        node.update(&contents(&[("a", "x")])).unwrap();
        assert_eq!(size(), small);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_volume_that_is_too_small_stays_as_it_was() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "old")])).unwrap();
        let volume = node.layer.attached(&node.target()).unwrap().unwrap();
        let room = volume.usage().unwrap().room;
        let large = "x".repeat(1 << 20);
        assert!(
            volume
                .update(&contents(&[("a", &large)]), room, &name())
                .is_err()
        );
        assert_eq!(node.read(), files(&[("a", "old")]));
        assert_eq!(node.generations().len(), 1);
        node.update(&contents(&[("a", &large)])).unwrap();
        assert_eq!(node.read()["a"].len(), 1 << 20);
    });
}

#[test]
#[ignore = "needs root: make test"]
fn a_reader_of_the_last_generation_reads_it_to_its_end() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "old")])).unwrap();
        let reader = fs::File::open(node.path().join("a")).unwrap();
        node.update(&contents(&[("a", "new")])).unwrap();
        let mut seen = [0; 3];
        reader.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"old");
        assert_eq!(node.read(), files(&[("a", "new")]));
    });
}

#[test]
#[ignore = "needs root: make test"]
fn readers_that_hold_old_generations_do_not_stop_updates() {
    on_a_node(|node| {
        let value = |i: u32| i.to_string().repeat(10_000);
        node.attach(&contents(&[("a", &value(0))])).unwrap();
        let mut readers = Vec::new();
        for i in 1..10 {
            readers.push(fs::File::open(node.path().join("a")).unwrap());
            node.update(&contents(&[("a", &value(i))])).unwrap();
        }
        assert_eq!(node.read()["a"], value(9));
    });
}

#[test]
#[ignore = "needs root: make test"]
fn what_a_crash_left_behind_goes_with_the_next_update() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "x")])).unwrap();
        let clone = writable(node);
        fs::create_dir(clone.join("..2020_01_01_00_00_00.00000000")).unwrap();
        fs::write(clone.join("..2020_01_01_00_00_00.00000000/half"), "half").unwrap();
        symlink("..2020_01_01_00_00_00.00000000", clone.join("..data_tmp")).unwrap();
        symlink("..data/gone", clone.join("gone")).unwrap();
        assert_eq!(
            node.update(&contents(&[("a", "x")])).unwrap(),
            Change::Unchanged
        );
        assert_eq!(node.generations().len(), 1);
        assert!(fs::symlink_metadata(node.path().join("gone")).is_err());
        assert_eq!(
            node.update(&contents(&[("a", "y")])).unwrap(),
            Change::Swapped
        );
        assert_eq!(node.read(), files(&[("a", "y")]));
    });
}

/// The volume at another place, writable, as a crashed agent had it.
fn writable(node: &Node) -> PathBuf {
    let place = node.directory.path().join("writable");
    fs::create_dir(&place).unwrap();
    mount_change(node.directory.path(), MountPropagationFlags::PRIVATE).unwrap();
    mount_bind(node.path(), &place).unwrap();
    mount_remount(&place, MountFlags::BIND, "").unwrap();
    place
}

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
