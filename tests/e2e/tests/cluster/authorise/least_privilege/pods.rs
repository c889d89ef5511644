//! What the parts' own pods and processes may do on their nodes.

use std::collections::BTreeSet;
use std::fs;

use secretvault_e2e::{Answer, Namespace, Node, Part, eventually};
use serde_json::{Value, json};

use crate::attacker::{AGENT, OPERATOR, part_of_system};
use crate::process::Process;

/// A namespace that is to admit pods of this level only.
fn admitting(level: &str) -> Namespace {
    let namespace = Namespace::create("admitted");
    let label = format!("pod-security.kubernetes.io/enforce={level}");
    let label = ["label", "namespace", namespace.name(), &label];
    let _ = namespace.kubectl(&label).expect_success();
    namespace
}

/// A namespace that admits restricted pods only, and why it refuses the agent's: until the API server has
/// heard of the label, it admits every pod.
fn restricted() -> (Namespace, String) {
    let namespace = admitting("restricted");
    let refused = eventually("the agent's pod is refused", || {
        let answer = tried(&namespace, AGENT);
        if !answer.succeeded && answer.stderr.contains("violates PodSecurity") {
            Ok(answer.stderr)
        } else {
            Err(answer)
        }
    });
    (namespace, refused)
}

/// Tries to make a pod like the one that runs.
fn tried(namespace: &Namespace, account: &str) -> Answer {
    let running = part_of_system(account, None);
    let mut spec = running["spec"].clone();
    // As its owner made it.
    spec["serviceAccountName"] = json!("default");
    spec["serviceAccount"] = Value::Null;
    spec["nodeName"] = Value::Null;
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "like"}, "spec": spec});
    let create = ["create", "--dry-run=server", "-f", "-"];
    namespace.kubectl_with(&create, &pod.to_string())
}

#[test]
fn the_operators_pod_is_admitted_where_pods_are_restricted() {
    let (namespace, _) = restricted();
    let _ = tried(&namespace, OPERATOR).expect_success();
}

/// Everything that sets it apart from a restricted pod: being privileged, for Bidirectional propagation, and
/// four directories of the node.
#[test]
fn the_agents_pod_is_privileged_and_sees_four_directories_of_the_node() {
    let _ = tried(&admitting("privileged"), AGENT).expect_success();
    let (_, refused) = restricted();
    let reasons = [
        "privileged",
        "restricted volume types (volumes \"pods\", \"plugin\", \"plugins-registry\", \"state\"",
        "runAsNonRoot != true",
        "seccompProfile",
    ];
    for reason in reasons {
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    for kept in ["host namespaces", "hostPort", "procMount", "sysctl"] {
        assert!(!refused.contains(kept), "{kept}: {refused}");
    }
    let pod = part_of_system(AGENT, None);
    let volumes = pod["spec"]["volumes"].as_array().unwrap().iter();
    let paths = volumes.filter_map(|it| it["hostPath"]["path"].as_str());
    let expected = [
        "/run/secretvault",
        "/var/lib/kubelet/plugins/csi.secretvault.dev",
        "/var/lib/kubelet/plugins_registry",
        "/var/lib/kubelet/pods",
    ];
    assert_eq!(paths.collect::<BTreeSet<_>>(), expected.into());
    let propagates = |mount: &&Value| mount["mountPropagation"] == "Bidirectional";
    let mounts = pod["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    let mounts: Vec<_> = mounts
        .iter()
        .filter(propagates)
        .map(|it| &it["name"])
        .collect();
    assert_eq!(mounts, ["pods"]);
}

/// What the kernel says of the processes that run: SYS_ADMIN, DAC_OVERRIDE and CHOWN for the agent, nothing
/// for the operator.
#[test]
fn the_processes_have_the_capabilities_that_they_need_and_cannot_gain_others() {
    let agents = ["node-a", "node-b"].map(|node| Part::agent_on(&Node::named(node)));
    for agent in &agents {
        has(agent, "0 0 0 0", "0000000000200003");
    }
    let operators = Part::operators();
    assert!(!operators.is_empty());
    for operator in &operators {
        has(operator, "65532 65532 65532 65532", "0000000000000000");
    }
    for part in agents.iter().chain(&operators) {
        has_namespaces_of_its_own(part);
    }
}

fn has(part: &Part, user: &str, capabilities: &str) {
    let process = Process::of(part);
    let status = |field| process.status(field);
    assert_eq!(status("Uid"), user, "{}", part.name);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status(set), capabilities, "{set} of {}", part.name);
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status(set), "0000000000000000", "{set} of {}", part.name);
    }
    assert_eq!(status("NoNewPrivs"), "1", "{}", part.name);
    assert_eq!(status("Seccomp"), "2", "{}", part.name);
    assert!(!process.writes_at("/"), "the root of {}", part.name);
}

/// Not the node's, in which its kubelet runs.
fn has_namespaces_of_its_own(part: &Part) {
    let process = Process::of(part);
    let kubelets = part.node.sh("readlink /proc/self/ns/net /proc/self/ns/mnt");
    let kubelets = kubelets.expect_success();
    let own = ["net", "mnt", "ipc", "pid", "uts"].map(|kind| {
        let link = fs::read_link(process.file(&format!("ns/{kind}"))).unwrap();
        link.to_string_lossy().into_owned()
    });
    for namespace in &own {
        assert!(
            !kubelets.contains(namespace),
            "{namespace} of {}",
            part.name
        );
    }
    // Those that a node shares with the machine of the tests.
    for (kind, namespace) in ["ipc", "pid"].iter().zip(&own[2..4]) {
        let machines = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(
            machines.to_string_lossy(),
            *namespace,
            "{kind} of {}",
            part.name
        );
    }
}
