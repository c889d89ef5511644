//! Where a value is, and where it is not.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use crate::{
    fixture::{Running, Volume, code},
    signals::child_of,
};

/// Not as one piece in this test's own program, which the launcher never sees anyway.
fn canary() -> Vec<u8> {
    format!("canary-{}-{}", "hunter2", std::process::id()).into_bytes()
}

/// How often something is in a process' memory, and where.
fn found(pid: u32, wanted: &[u8]) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let range = line.split(' ').next().unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let bound = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (bound(start), bound(end));
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // Some pages are the kernel's own.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            let hits = bytes.windows(wanted.len()).filter(|it| *it == wanted);
            found.extend(hits.map(|_| line.to_owned()));
        }
    }
    found
}

/// Until the process has become `sleep` and does nothing more: it bears the name already while the
/// kernel still moves its stack.
fn wait_asleep(pid: u32) {
    let stat = format!("/proc/{pid}/stat");
    while !fs::read_to_string(&stat).unwrap().contains("(sleep) S ") {
        std::thread::yield_now();
    }
}

#[test]
fn the_command_has_one_copy_of_a_value_and_the_parent_none() {
    let canary = canary();
    let volume = Volume::of(&[("token", &canary)]);
    let flags = ["--env", "--on-change", "signal:USR1"];
    let running = Running::start(volume.run(&flags, ["sh", "-c", "echo ready; exec sleep 60"]));
    assert_eq!(running.line(), "ready");
    let child = child_of(running.pid());
    wait_asleep(child);
    let copies = found(child, &canary);
    assert_eq!(copies.len(), 1, "{copies:#?}");
    assert!(copies[0].ends_with("[stack]"), "{copies:#?}");
    assert_eq!(found(running.pid(), &canary), [""; 0]);
    // The search finds what is there.
    assert!(!found(running.pid(), b"secretvault-launcher").is_empty());
    running.kill(15);
    assert_eq!(code(running.end()), 128 + 15);
}

#[test]
fn without_a_parent_the_command_has_one_copy_too_and_can_be_looked_at_as_ever() {
    let canary = canary();
    let volume = Volume::of(&[("token", &canary)]);
    let running = Running::ready(volume.run(&["--env"], ["sh", "-c", "echo ready; exec sleep 60"]));
    let pid = running.pid();
    wait_asleep(pid);
    assert_eq!(found(pid, &canary).len(), 1);
    running.kill(15);
    running.end();
}
