//! The drivers' conformance tests, csi-sanity, on the node agent as it runs in the cluster.
//!
//! Its requests name volumes that do not exist, so they harm nothing. It speaks to the socket with
//! the authority `localhost`, as kubelet does; a client that sends none, or the socket's path, is
//! refused by the HTTP/2 library before the agent hears of it.

use std::collections::BTreeSet;

use secretvault_e2e::Node;
use serde_json::Value;

#[test]
fn the_agent_passes_csi_sanity_for_identity_and_node() {
    let mut passed = Vec::new();
    let mut unexplained = Vec::new();
    let mut explained = BTreeSet::new();
    for case in cases() {
        let reason = NOT_FOR_US
            .iter()
            .position(|(name, _)| case.name.starts_with(name));
        match (case.state.as_str(), reason) {
            ("passed", None) => passed.push(case.name),
            ("skipped", Some(reason)) => _ = explained.insert(reason),
            _ => unexplained.push(case),
        }
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert_eq!(passed.len(), 13, "{passed:#?}");
    assert_eq!(explained.len(), NOT_FOR_US.len(), "{explained:?}");
}

/// What is skipped, and why: the beginning of each case's name, and what we do instead.
const NOT_FOR_US: [(&str, &str); 10] = [
    (
        "Node Service NodePublishVolume with single node multi writer capability",
        "nobody writes to a volume of ours, so there is no such capability",
    ),
    (
        "Node Service NodeUnpublishVolume should remove target path",
        "needs a volume from CreateVolume, which ephemeral volumes do not have, published writable \
         at a path of the test's own, which we refuse; mounts.rs has a_deleted_pod_leaves_nothing",
    ),
    (
        "Node Service NodeGetVolumeStats should fail when volume does not exist on the specified",
        "needs such a volume, too; that another path has none is tested in the agent",
    ),
    (
        "Node Service NodeStageVolume",
        "there is nothing to stage: a volume is one pod's",
    ),
    ("Node Service NodeUnstageVolume", "likewise"),
    (
        "Node Service NodeExpandVolume",
        "the agent itself makes a volume as large as its contents need",
    ),
    (
        "Node Service NodeGetVolumeHealth",
        "newer than our kubelets: they read the volume's condition from its stats",
    ),
    ("Node Service NodeGetStorageHealth", "there is no storage"),
    (
        "Node Service should work",
        "needs the controller service: an ephemeral volume has none",
    ),
    (
        "Node Service should be idempotent",
        "likewise; mounts.rs publishes again and again",
    ),
];

#[derive(Debug)]
struct Case {
    name: String,
    state: String,
    #[expect(dead_code, reason = "shown when the test fails")]
    message: String,
}

/// Runs csi-sanity for the two services that the driver has, and reads its report. (The cases of
/// the controller service, which ephemeral volumes do not need, fail without asking for it.)
fn cases() -> Vec<Case> {
    // Two cases fail where they should be skipped, because they call the controller unasked.
    let skip = "should remove target path|when volume does not exist on the specified path";
    let script = format!(
        "directory=$(mktemp -d /run/csi-sanity-XXXXXX)
         csi-sanity --csi.endpoint /var/lib/kubelet/plugins/csi.secretvault.dev/csi.sock \
           --csi.mountdir $directory/mount --csi.stagingdir $directory/staging \
           --ginkgo.focus '(Identity|Node) Service' \
           --ginkgo.skip '{skip}' \
           --ginkgo.json-report $directory/report >&2
         cat $directory/report
         rm -r $directory"
    );
    let report = Node::named("node-a").sh(&script).expect_success();
    let report: Value = serde_json::from_str(&report).unwrap();
    let cases = report[0]["SpecReports"].as_array().unwrap();
    cases.iter().filter_map(Case::read).collect()
}

impl Case {
    /// A case of one of the two services.
    fn read(report: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = report["ContainerHierarchyTexts"]
            .as_array()?
            .iter()
            .map(text)
            .collect();
        names.push(text(&report["LeafNodeText"]));
        let case = Self {
            name: names.join(" "),
            state: text(&report["State"]),
            message: text(&report["Failure"]["Message"]),
        };
        ["Identity Service", "Node Service"]
            .iter()
            .any(|service| case.name.starts_with(service))
            .then_some(case)
    }
}
