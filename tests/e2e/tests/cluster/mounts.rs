//! What a node has of a volume, from the first publish to the end of the pod.

use std::collections::BTreeSet;
use std::fs;

use secretvault_e2e::{Mount, Namespace, NodeVolume, Pod, Vault, eventually, kubectl};
use serde_json::Value;

#[test]
fn a_volume_that_is_published_again_and_again_is_mounted_once() {
    let (namespace, pod) = running("mounts-once");
    let volume = NodeVolume::of(&namespace, pod.name());
    let first = volume.mounts();
    assert_eq!(first.len(), 1, "{first:?}");
    volume.wait_republished(2);
    assert_eq!(volume.mounts(), first);
    assert_eq!(pod.read(&namespace, "token"), "t-1");
}

#[test]
fn a_target_directory_that_is_there_already_is_used() {
    let namespace = Namespace::create("mounts-directory");
    let pod = Pod::mounting("app", "app");
    pod.create(&namespace);
    pod.wait_event(&namespace, "vault mounts-directory");
    let volume = NodeVolume::of(&namespace, pod.name());
    let made = volume.node.sh(&format!("mkdir -p '{}'", volume.path()));
    let _ = made.expect_success();
    vault("t-1").store(&namespace);
    pod.wait_ready(&namespace);
    assert_eq!(pod.read(&namespace, "token"), "t-1");
    assert_eq!(volume.mounts().len(), 1);
}

#[test]
fn a_target_that_lost_its_mount_gets_it_back() {
    let (namespace, pod) = running("mounts-lost");
    let volume = NodeVolume::of(&namespace, pod.name());
    let first = volume.mounts();
    let unmounted = volume.node.sh(&format!("umount -l '{}'", volume.path()));
    let _ = unmounted.expect_success();
    let mount = eventually("the volume is mounted again", || {
        match volume.mounts().as_slice() {
            [mount] => Ok(mount.clone()),
            other => Err(other.to_vec()),
        }
    });
    assert_ne!(first, [mount], "the first mount never went");
    let read = volume.node.sh(&format!("cat '{}/token'", volume.path()));
    assert_eq!(read.expect_success(), "t-1");
    // What the container has is its own copy of the first mount.
    assert_eq!(pod.read(&namespace, "token"), "t-1");
}

#[test]
fn a_deleted_pod_leaves_nothing_on_its_node() {
    let (namespace, pod) = running("mounts-gone");
    let volume = NodeVolume::of(&namespace, pod.name());
    let mounts = volume.mounts();
    let [mount] = mounts.as_slice() else {
        panic!("not one mount: {mounts:?}");
    };
    assert!(holders(mount) >= 2, "the node and the container have it");
    assert_ne!(volume.state(), "", "the agent remembers the volume");
    let deleted = namespace.kubectl(&["delete", "pod", pod.name()]);
    let _ = deleted.expect_success();
    let directory = format!("/var/lib/kubelet/pods/{}", volume.pod_uid);
    eventually("the pod's directory goes", || {
        let left = volume.node.sh(&format!("find '{directory}'")).stdout;
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(volume.mounts(), []);
    assert_eq!(volume.state(), "", "the agent still remembers the volume");
    eventually("the last copy of the tmpfs goes", || match holders(mount) {
        0 => Ok(()),
        holders => Err(holders),
    });
}

#[test]
fn kubelet_tells_how_full_a_volume_is() {
    let (namespace, _pod) = running("mounts-stats");
    let volume = NodeVolume::of(&namespace, "app");
    let path = format!("/api/v1/nodes/{}/proxy/stats/summary", volume.node.name());
    eventually("kubelet measures the volume", || {
        let stats = kubectl(&["get", "--raw", &path]).into_result()?;
        let stats: Value = serde_json::from_str(&stats).map_err(|error| error.to_string())?;
        let mut pods = stats["pods"].as_array().into_iter().flatten();
        let pod = pods.find(|pod| pod["podRef"]["uid"] == *volume.pod_uid);
        let mut volumes = pod
            .and_then(|pod| pod["volume"].as_array())
            .into_iter()
            .flatten();
        let found = volumes
            .find(|volume| volume["name"] == "secrets")
            .cloned()
            .unwrap_or_default();
        let used = found["usedBytes"].as_u64().unwrap_or_default();
        let room = found["capacityBytes"].as_u64().unwrap_or_default();
        if used >= BALLAST && room >= 2 * used {
            Ok(())
        } else {
            Err(found.to_string())
        }
    });
}

/// A vault whose volume has a size that no other test's has: so its filesystem can be told from one
/// that gets the same device number later.
fn vault(token: &str) -> Vault {
    Vault::named("app")
        .text("token", token)
        .text("ballast", &"x".repeat(BALLAST as usize))
}

const BALLAST: u64 = 37 * 4096;

fn running(prefix: &str) -> (Namespace, Pod) {
    let namespace = Namespace::create(prefix);
    vault("t-1").store(&namespace);
    let pod = Pod::mounting("app", "app").that_ends_in_order();
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "token"), "t-1");
    (namespace, pod)
}

/// How many mount namespaces of this machine have this very filesystem: each keeps its memory.
fn holders(wanted: &Mount) -> usize {
    let processes = fs::read_dir("/proc").unwrap();
    let mut namespaces = BTreeSet::new();
    for process in processes.flatten() {
        // A process may end while we look.
        let Ok(mountinfo) = fs::read_to_string(process.path().join("mountinfo")) else {
            continue;
        };
        let has_it = Mount::list(&mountinfo).iter().any(|mount| {
            (&mount.device, &mount.source, &mount.options)
                == (&wanted.device, &wanted.source, &wanted.options)
        });
        if has_it {
            namespaces.extend(fs::read_link(process.path().join("ns/mnt")));
        }
    }
    namespaces.len()
}
