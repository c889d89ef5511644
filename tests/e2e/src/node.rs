use std::time::Duration;

use crate::kubectl::{Answer, Namespace, run};
use crate::mount::Mount;
use crate::wait::eventually;

/// A node of the cluster, as its own daemons see it.
#[derive(Clone, Debug)]
pub struct Node(String);

impl Node {
    /// The node of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The node that a pod runs on.
    #[must_use]
    pub fn of(namespace: &Namespace, pod: &str) -> Self {
        Self(namespace.field(&format!("pod/{pod}"), "{.spec.nodeName}"))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Runs a shell script in the node's network and mount namespaces.
    #[must_use]
    pub fn sh(&self, script: &str) -> Answer {
        self.does(&["exec", "sh", "-c", script])
    }

    /// All of its mounts.
    #[must_use]
    pub fn mounts(&self) -> Vec<Mount> {
        Mount::list(&self.sh("cat /proc/self/mountinfo").expect_success())
    }

    /// Stops its kubelet, until the guard drops.
    #[must_use]
    pub fn without_kubelet(&self) -> WithoutKubelet {
        let _ = self.does(&["stop"]).expect_success();
        WithoutKubelet(self.clone())
    }

    /// Cuts its power: all its processes, namespaces, mounts and tmpfs go, and its disk stays. Then
    /// starts it again.
    #[expect(clippy::expect_used, reason = "without these a test cannot go on")]
    pub fn reboot(&self) {
        let pids = self.does(&["pids"]).expect_success();
        let holder = pids.lines().find_map(|line| line.strip_prefix("holder "));
        let holder = holder.expect("the node has a holder");
        let _ = run("kill", &["-9", holder]).expect_success();
        let up = crate::root().join("tests/cluster/up");
        let up = up.to_str().expect("a path that is text");
        let _ = run(up, &[]).expect_success();
    }

    #[expect(clippy::expect_used, reason = "the repository's path is text")]
    fn does(&self, arguments: &[&str]) -> Answer {
        let program = crate::root().join("tests/cluster/node");
        let program = program.to_str().expect("a path that is text");
        run(program, &[&[self.name()], arguments].concat())
    }
}

/// A node whose kubelet is stopped. Starts it again when it drops.
pub struct WithoutKubelet(Node);

impl Drop for WithoutKubelet {
    fn drop(&mut self) {
        let started = self.0.does(&["start"]);
        assert!(started.succeeded || std::thread::panicking(), "{started:?}");
    }
}

/// A volume of a pod, as the pod's node has it.
#[derive(Clone, Debug)]
pub struct NodeVolume {
    /// The node.
    pub node: Node,
    /// The pod's UID.
    pub pod_uid: String,
    target: String,
}

impl NodeVolume {
    /// The volume `secrets` of a pod that was scheduled.
    #[must_use]
    pub fn of(namespace: &Namespace, pod: &str) -> Self {
        let pod_uid = namespace.field(&format!("pod/{pod}"), "{.metadata.uid}");
        let target = format!("pods/{pod_uid}/volumes/kubernetes.io~csi/secrets/mount");
        Self {
            node: Node::of(namespace, pod),
            pod_uid,
            target,
        }
    }

    /// Where kubelet wants it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/var/lib/kubelet/{}", self.target)
    }

    /// What is mounted there: one mount, unless something is wrong.
    #[must_use]
    pub fn mounts(&self) -> Vec<Mount> {
        let mut mounts = self.node.mounts();
        mounts.retain(|mount| mount.point == self.path());
        mounts
    }

    /// The file in which the agent remembers the volume: its path and its number, which is another
    /// one after each republish. Empty if there is none.
    #[must_use]
    pub fn state(&self) -> String {
        let script = format!(
            "grep -lsF '{}' /run/secretvault/volumes/*.json | xargs -r stat -c '%n %i'",
            self.target
        );
        self.node.sh(&script).stdout
    }

    /// Waits until kubelet has published the volume again so many times, whatever came of it.
    pub fn wait_republished(&self, times: usize) {
        for _ in 0..times {
            let before = self.state();
            eventually("kubelet publishes the volume again", || {
                let now = self.state();
                if !now.is_empty() && now != before {
                    Ok(())
                } else {
                    Err(now)
                }
            });
            // The agent remembers before it asks, and again after: that is one republish.
            std::thread::sleep(Duration::from_secs(5));
        }
    }
}
