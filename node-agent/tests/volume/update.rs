//! A volume that changes.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt, symlink},
};

use secretvault_volume::{Change, File};

use crate::node::{contents, file, files, name, on_a_node, one, writable};

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

/// As busybox' `cat` reads: the file's own pages go into the pipe, and the file is closed.
#[test]
#[ignore = "needs root: make test"]
fn what_a_reader_has_put_into_a_pipe_stays_what_it_was() {
    on_a_node(|node| {
        node.attach(&contents(&[("a", "old")])).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let file = fs::File::open(node.path().join("a")).unwrap();
        assert_eq!(rustix::fs::sendfile(&writer, &file, None, 3), Ok(3));
        drop((file, writer));
        node.update(&contents(&[("a", "new")])).unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "old");
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
