//! Replicas whose log takes no more lines: a small file system that is full.

use std::time::Duration;

use secretvault_e2e::{Namespace, Part, Pod, Vault, eventually, eventually_within};

use super::verify::Kept;

/// Replicas that write their log into a file, in a tmpfs of 256 KiB.
pub(crate) struct LittleRoom;

impl LittleRoom {
    /// Helm's values for them.
    pub(crate) const VALUES: &str = "audit.file.enabled=true,\
        audit.file.volume.emptyDir.medium=Memory,audit.file.volume.emptyDir.sizeLimit=256Ki";

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

pub(crate) fn what_cannot_be_recorded_is_neither_stored_nor_released_until_it_can_be() {
    let namespace = Namespace::create("audit-full");
    let vault = Vault::named("app").text("a", "1");
    vault.store(&namespace);
    let before = pod("before");
    before.run(&namespace);
    LittleRoom::fill();
    let refused = refused_by_all(&namespace);
    assert!(refused.contains(REFUSED), "{refused}");
    let other = Vault::named("other").text("a", "1");
    let _ = other.apply(&namespace).expect_failure();
    assert!(!other.is_stored(&namespace));
    let late = waiting(&namespace);
    // Who has files keeps them.
    assert_eq!(before.read(&namespace, "a"), "1");
    LittleRoom::empty();
    other.store(&namespace);
    late.wait_ready(&namespace);
    let log = lost(&namespace);
    assert!(
        log.contains(&format!("\"name\":\"{}\"", late.name())),
        "{log}"
    );
}

pub(crate) fn where_the_operator_is_set_so_it_goes_on_and_the_log_says_what_it_lacks() {
    let namespace = Namespace::create("audit-release");
    let vault = Vault::named("app").text("a", "1");
    vault.store(&namespace);
    LittleRoom::fill();
    let unrecorded = (0..ROOM).map(|number| format!("v{number}")).find(|name| {
        vault.clone().renamed(name).store(&namespace);
        !LittleRoom::log().contains(&format!("\"name\":\"{name}\""))
    });
    assert!(unrecorded.is_some(), "the log takes more than fits");
    let served = pod("pod");
    served.run(&namespace);
    assert_eq!(served.read(&namespace, "a"), "1");
    LittleRoom::empty();
    lost(&namespace);
}

/// On the node that no other test fills at the same time.
fn pod(name: &str) -> Pod {
    Pod::mounting(name, "app").on("node-b")
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
        let late = pod(&format!("late-{number}"));
        late.create(namespace);
        let waits = eventually("the pod starts, or is told why not", || {
            let told = namespace.events(late.name());
            if told.contains("the audit log cannot be written") {
                assert!(
                    told.contains("nothing is allowed that is not in it"),
                    "{told}"
                );
                return Ok(true);
            }
            let found = namespace.try_get(&format!("pod/{}", late.name()))?;
            let phase = found["status"]["phase"].to_string();
            if phase.contains("Running") {
                Ok(false)
            } else {
                Err(phase)
            }
        });
        if waits {
            return late;
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
        let log = LittleRoom::log();
        if log.contains("\"audit\":\"gap\",\"lost\":") {
            Ok(log)
        } else {
            Err(log)
        }
    });
    // The chains are whole: what could not be written was never a part of them.
    let kept = eventually("the chains are kept", || Kept::now(namespace)?.of(&log));
    let log = LittleRoom::log();
    let _ = kept.verify(&log).expect_success();
    log
}
