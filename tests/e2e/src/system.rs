use http::Method;
use serde_json::{Value, json};

use crate::SYSTEM;
use crate::api;
use crate::kubectl::{Answer, kubectl, run};
use crate::node::Node;
use crate::provider::condition;
use crate::wait::eventually;

/// A pod of SecretVault itself, at one moment.
#[derive(Clone, Debug)]
pub struct Part {
    /// The pod's name.
    pub name: String,
    /// Its UID: another one is another pod.
    pub uid: String,
    /// Where it runs.
    pub node: Node,
    /// Its own IP address.
    pub address: String,
    container: String,
    restarts: u64,
    leaving: bool,
}

impl Part {
    /// The operator's replicas.
    #[must_use]
    pub fn operators() -> Vec<Self> {
        Self::list("operator")
    }

    /// The agents, each on a node of its own.
    #[must_use]
    pub fn agents() -> Vec<Self> {
        Self::list("node-agent")
    }

    /// The agent on a node.
    #[must_use]
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    pub fn agent_on(node: &Node) -> Self {
        let mut agents = Self::agents().into_iter();
        agents
            .find(|agent| agent.node.name() == node.name())
            .expect("the node has an agent")
    }

    /// Kills its process, as the kernel would for want of memory, and waits until it is up again.
    pub fn kill(&self) {
        self.end();
        self.wait_restarted();
        wait_system();
    }

    /// Kills its process. A node without kubelet starts no other.
    pub fn end(&self) {
        self.signal("SIGKILL");
    }

    /// Tells its process to leave. Its pod stays, so nobody else hears of it.
    pub fn ask_to_leave(&self) {
        self.signal("SIGTERM");
    }

    fn signal(&self, signal: &str) {
        let _ = self.try_signal(signal).expect_success();
    }

    fn try_signal(&self, signal: &str) -> Answer {
        // The environment names the containerd of one node.
        let ctr = "ctr --address /run/containerd/containerd.sock --namespace k8s.io";
        let kill = format!("{ctr} tasks kill --signal {signal} {}", self.container);
        self.node.sh(&kill)
    }

    /// Waits until kubelet has found it ended and started it again. Until then it counts as up.
    pub fn wait_restarted(&self) {
        eventually(&format!("{} is started again", self.name), || {
            let all = [Self::operators(), Self::agents()].concat();
            let found = all.iter().find(|part| part.uid == self.uid);
            match found {
                Some(part) if part.restarts > self.restarts => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// The bytes that the kernel charges to its pod: also what a process wrote that is gone.
    #[must_use]
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    pub fn charged_bytes(&self) -> u64 {
        // The file's name in version 1 of control groups, and in version 2.
        let script = format!(
            "find /sys/fs/cgroup -type d -name '*pod{}*' | while read -r group; do \
             cat $group/memory.usage_in_bytes $group/memory.current 2>/dev/null; done",
            self.uid
        );
        let found = run("sh", &["-c", &script]).stdout;
        let bytes = found.lines().filter_map(|line| line.parse().ok()).max();
        bytes.expect("the pod has a memory control group")
    }

    /// How often it was started again, and why it ended the last time.
    #[must_use]
    pub fn restarts(&self) -> (u64, String) {
        let pod = api::get(SYSTEM, &format!("pod/{}", self.name)).unwrap_or_default();
        let container = &pod["status"]["containerStatuses"][0];
        let reason = &container["lastState"]["terminated"]["reason"];
        let reason = reason.as_str().unwrap_or_default().to_owned();
        (
            container["restartCount"].as_u64().unwrap_or_default(),
            reason,
        )
    }

    #[expect(clippy::panic, reason = "this is how a test fails")]
    fn list(component: &str) -> Vec<Self> {
        let selector = format!("labelSelector=app.kubernetes.io%2Fcomponent%3D{component}");
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods?{selector}");
        let pods = api::ask(&Method::GET, &path, None);
        let pods = pods.unwrap_or_else(|error| panic!("{component}: {error}"));
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        pods.iter().map(Self::read).collect()
    }

    fn read(pod: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let container = &pod["status"]["containerStatuses"][0];
        Self {
            name: text(&pod["metadata"]["name"]),
            uid: text(&pod["metadata"]["uid"]),
            node: Node::named(&text(&pod["spec"]["nodeName"])),
            address: text(&pod["status"]["podIP"]),
            container: text(&container["containerID"]).replace("containerd://", ""),
            restarts: container["restartCount"].as_u64().unwrap_or_default(),
            leaving: !pod["metadata"]["deletionTimestamp"].is_null(),
        }
    }
}

/// A cluster whose operator is scaled to nothing. Brings it back when it drops.
pub struct WithoutOperator(());

/// Scales the operator to nothing, and waits until nothing of it is left.
#[must_use]
pub fn without_operator() -> WithoutOperator {
    let guard = WithoutOperator(());
    let _ = scale_operator(0).expect_success();
    eventually("the operator goes", || {
        hurry_leaving();
        let left = Part::operators();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    guard
}

impl Drop for WithoutOperator {
    fn drop(&mut self) {
        let scaled = scale_operator(2);
        if !std::thread::panicking() {
            let _ = scaled.expect_success();
            wait_system();
        }
    }
}

/// The release with other values. Rolled back when it drops.
pub struct Upgraded {
    /// The revision that was there before: an upgrade that fails early makes none of its own.
    before: String,
}

/// Upgrades the release, with these arguments for helm.
#[must_use]
pub fn upgraded(arguments: &[&str]) -> Upgraded {
    let status = helm(&["status", "secretvault", "-o", "json"]).expect_success();
    let status: Value = serde_json::from_str(&status).unwrap_or_default();
    let guard = Upgraded {
        before: status["version"].to_string(),
    };
    guard.again(arguments);
    guard
}

impl Upgraded {
    /// Upgrades it once more: with these arguments too.
    #[expect(clippy::expect_used, reason = "the repository's path is text")]
    pub fn again(&self, arguments: &[&str]) {
        let chart = crate::root().join("charts/secretvault");
        let chart = chart.to_str().expect("a path that is text");
        let upgrade = ["upgrade", "secretvault", chart, "--reuse-values"];
        let _ = helm(&[&upgrade, arguments].concat()).expect_success();
        wait_replaced();
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        let rolled_back = helm(&["rollback", "secretvault", &self.before]);
        if !std::thread::panicking() {
            let _ = rolled_back.expect_success();
            wait_replaced();
        }
    }
}

/// Waits until every part of SecretVault is up, as its last change says, and its predecessor gone: a
/// replica that leaves still answers for some seconds. And until the API server reaches the operator.
pub fn wait_system() {
    wait_rolled_out();
    wait_settled();
}

/// The same, sooner: no request that a test makes may be on its way to a replica that leaves.
pub fn wait_replaced() {
    wait_rolled_out();
    hurry_leaving();
    wait_settled();
}

/// Tells replicas that leave a second time: they do not wait for the last requests then.
fn hurry_leaving() {
    for replica in Part::operators() {
        if replica.leaving {
            // It may be gone by now.
            let _ = replica.try_signal("SIGTERM");
        }
    }
}

fn wait_rolled_out() {
    for (_, object, _) in PARTS {
        let wait = ["-n", SYSTEM, "rollout", "status", object, "--timeout=5m"];
        let _ = kubectl(&wait).expect_success();
    }
}

fn wait_settled() {
    eventually("the last replicas go", || {
        let pods = api::get(SYSTEM, "pod")?;
        let pods = pods["items"].as_array().into_iter().flatten();
        match pods
            .filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
            .count()
        {
            0 => Ok(()),
            leaving => Err(format!("{leaving} pods are leaving")),
        }
    });
    // A status may still be that of before a pod was killed or deleted.
    eventually("every part is ready", || {
        for (component, object, wanted) in PARTS {
            let wants = api::get(SYSTEM, object)?.pointer(wanted).cloned();
            let ready = ready_pods(component)?;
            if wants != Some(json!(ready)) {
                return Err(format!("{ready} of {wants:?} are ready of {component}"));
            }
        }
        Ok(())
    });
    wait_reachable();
}

/// The parts: their label, what makes their pods, and where it says how many.
const PARTS: [(&str, &str, &str); 2] = [
    (
        "operator",
        "deployment/secretvault-operator",
        "/spec/replicas",
    ),
    (
        "node-agent",
        "daemonset/secretvault-node-agent",
        "/status/desiredNumberScheduled",
    ),
];

fn ready_pods(component: &str) -> Result<usize, String> {
    let pods = api::get(SYSTEM, "pod")?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let ready = pods.filter(|pod| {
        pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
            && condition(pod, "Ready")["status"] == "True"
    });
    Ok(ready.count())
}

/// Waits until the API server gets an answer from the operator, whatever it is: a replica may be ready
/// before the node of the API server knows the way to it.
fn wait_reachable() {
    let vault = json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": "reachable"},
        "spec": {"data": {"token": "none"}},
    });
    let path = format!("{}?dryRun=All", api::path("default", "sv"));
    eventually("the API server reaches the operator", || {
        match api::ask(&Method::POST, &path, Some(&vault)) {
            Err(error) if error.contains("failed calling webhook") => Err(error),
            _ => Ok(()),
        }
    });
}

/// Runs helm in SecretVault's namespace.
#[must_use]
pub fn helm(arguments: &[&str]) -> Answer {
    run("helm", &[&["--namespace", SYSTEM], arguments].concat())
}

fn scale_operator(replicas: u32) -> Answer {
    let replicas = format!("--replicas={replicas}");
    let operator = "deployment/secretvault-operator";
    kubectl(&["-n", SYSTEM, "scale", operator, &replicas])
}
