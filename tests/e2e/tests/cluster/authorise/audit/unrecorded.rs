//! Replicas whose log takes no more lines: a small file system that is full.

use std::time::Duration;

use secretvault_e2e::{
    Namespace, Part, Pod, Upgraded, Vault, eventually, eventually_within, upgraded,
};

use super::verify::Kept;

/// Replicas that write their log into a file, in a tmpfs of 256 KiB.
struct Small(#[expect(dead_code, reason = "rolls back when it drops")] Upgraded);

impl Small {
    fn new(on_failure: &str) -> Self {
        let on_failure = format!("audit.onFailure={on_failure}");
        Self(upgraded(&[
            "--set",
            "audit.file.enabled=true",
            "--set",
            "audit.file.volume.emptyDir.medium=Memory",
            "--set",
            "audit.file.volume.emptyDir.sizeLimit=256Ki",
            "--set",
            &on_failure,
        ]))
    }

    /// Runs a script in the directory of each replica's log.
    fn each(script: &str) -> String {
        let each = |part: Part| {
            let pod = format!("/var/lib/kubelet/pods/{}", part.uid);
            let there = format!("cd {pod}/volumes/kubernetes.io~empty-dir/audit && {script}");
            part.node.sh(&there).expect_success()
        };
        Part::operators().into_iter().map(each).collect()
    }

    /// Takes all pages. The one that the log ends in still has room for some lines.
    fn fill() {
        let _ = Self::each("! cat /dev/zero > filler 2>/dev/null");
    }

    fn empty() {
        let _ = Self::each("rm filler");
    }

    fn log() -> String {
        Self::each("cat audit.jsonl")
    }
}

const REFUSED: &str =
    "the audit log cannot be written, and nothing is allowed that is not in it: try again";

#[test]
#[ignore = "it needs the cluster for itself"]
fn what_cannot_be_recorded_is_neither_stored_nor_released_until_it_can_be() {
    let namespace = Namespace::create("audit-full");
    let vault = Vault::named("app").text("a", "1");
    vault.store(&namespace);
    let _small = Small::new("refuse");
    let pod = Pod::mounting("before", "app");
    pod.run(&namespace);
    Small::fill();
    let refused = refused_by_all(&namespace);
    assert!(refused.contains(REFUSED), "{refused}");
    let other = Vault::named("other").text("a", "1");
    let _ = other.apply(&namespace).expect_failure();
    assert!(!other.is_stored(&namespace));
    let late = waiting(&namespace);
    // Who has files keeps them.
    assert_eq!(pod.read(&namespace, "a"), "1");
    Small::empty();
    other.store(&namespace);
    late.wait_ready(&namespace);
    let log = lost(&namespace);
    assert!(
        log.contains(&format!("\"name\":\"{}\"", late.name())),
        "{log}"
    );
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn where_the_operator_is_set_so_it_goes_on_and_the_log_says_what_it_lacks() {
    let namespace = Namespace::create("audit-release");
    let vault = Vault::named("app").text("a", "1");
    let _small = Small::new("release");
    vault.store(&namespace);
    Small::fill();
    let unrecorded = (0..ROOM).map(|number| format!("v{number}")).find(|name| {
        vault.clone().renamed(name).store(&namespace);
        !Small::log().contains(&format!("\"name\":\"{name}\""))
    });
    assert!(unrecorded.is_some(), "the log takes more than fits");
    let pod = Pod::mounting("pod", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "a"), "1");
    Small::empty();
    lost(&namespace);
}

/// Changes a vault again and again, until nobody records it any more.
fn refused_by_all(namespace: &Namespace) -> String {
    let mut refusals = Vec::new();
    for number in 0..ROOM {
        let vault = Vault::named(&format!("v{number}")).text("a", "1");
        match vault.apply(namespace).into_result() {
            Ok(_) => refusals.clear(),
            Err(refusal) => refusals.push(refusal),
        }
        if refusals.len() == IN_A_ROW {
            return refusals.remove(0);
        }
    }
    panic!("the log takes more than fits");
}

/// The first pod that gets nothing and is told why: the API server and the agents each keep to one
/// replica, so the one that an agent asks may have room where the other has none.
fn waiting(namespace: &Namespace) -> Pod {
    for number in 0..ROOM {
        let pod = Pod::mounting(&format!("late-{number}"), "app");
        pod.create(namespace);
        let waits = eventually("the pod starts, or is told why not", || {
            let told = namespace.events(pod.name());
            if told.contains("the audit log cannot be written") {
                assert!(
                    told.contains("nothing is allowed that is not in it"),
                    "{told}"
                );
                return Ok(true);
            }
            let found = namespace.try_get(&format!("pod/{}", pod.name()))?;
            let phase = found["status"]["phase"].to_string();
            if phase.contains("Running") {
                Ok(false)
            } else {
                Err(phase)
            }
        });
        if waits {
            return pod;
        }
    }
    panic!("the log takes more than fits");
}

/// More lines than a page holds of each replica, and as many refusals as make chance unlikely.
const ROOM: usize = 80;
const IN_A_ROW: usize = 12;

/// Waits until the log says that lines are lost, and verifies it.
fn lost(namespace: &Namespace) -> String {
    let patience = Duration::from_secs(120);
    let log = eventually_within(patience, "the log says what it lacks", || {
        let log = Small::log();
        if log.contains("\"audit\":\"gap\",\"lost\":") {
            Ok(log)
        } else {
            Err(log)
        }
    });
    // The chains are whole: what could not be written was never a part of them.
    let kept = eventually("the chains are kept", || Kept::now(namespace)?.of(&log));
    let log = Small::log();
    let _ = kept.verify(&log).expect_success();
    log
}
