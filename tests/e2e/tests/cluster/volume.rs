//! What a pod finds at its mount point: owners, groups, modes, and nothing that it can write to.

use secretvault_e2e::{Mount, Namespace, NodeVolume, Pod, Vault};
use serde_json::{Value, json};

#[test]
fn a_pod_of_root_finds_owners_groups_and_modes_as_the_vault_says() {
    let namespace = Namespace::create("volume-root");
    app(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(
        look(&namespace, &pod, &["plain", "own", "group", "other"]),
        [
            "plain 0:0 444 p-1",
            "own 1000:1001 400 o-1",
            "group 0:0 440 g-1",
            "other 1002:1002 400 x-1"
        ]
    );
}

#[test]
fn a_pod_that_is_not_root_reads_its_own_files_and_those_of_its_fs_group() {
    let namespace = Namespace::create("volume-user");
    app(&namespace);
    let user =
        json!({"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000});
    let pod = Pod::mounting("app", "app").with("/spec/securityContext", user);
    pod.run(&namespace);
    assert_eq!(
        look(&namespace, &pod, &["plain", "own", "group", "other"]),
        [
            "plain 0:2000 444 p-1",
            "own 1000:1001 400 o-1",
            "group 0:2000 440 g-1",
            "other 1002:1002 400 denied"
        ]
    );
}

#[test]
fn a_pod_in_a_user_namespace_finds_the_same_owners_as_one_without() {
    let namespace = Namespace::create("volume-userns");
    app(&namespace);
    let pod = Pod::mounting("app", "app").with("/spec/hostUsers", json!(false));
    pod.run(&namespace);
    let map = namespace.sh("app", "cat /proc/self/uid_map");
    let map = map.expect_success();
    let outside = map.split_whitespace().nth(1);
    assert_ne!(outside, Some("0"), "root is the node's root: {map}");
    assert_eq!(
        look(&namespace, &pod, &["plain", "own", "group", "other"]),
        [
            "plain 0:0 444 p-1",
            "own 1000:1001 400 o-1",
            "group 0:0 440 g-1",
            "other 1002:1002 400 x-1"
        ]
    );
}

#[test]
fn the_container_sees_a_read_only_tmpfs() {
    let namespace = Namespace::create("volume-mount");
    app(&namespace);
    for (name, host_users) in [("app", true), ("in-userns", false)] {
        let pod = Pod::mounting(name, "app")
            .with("/spec/hostUsers", json!(host_users))
            .with("/spec/containers/0/volumeMounts/0/readOnly", json!(false));
        pod.run(&namespace);
        let mountinfo = namespace.sh(name, "cat /proc/self/mountinfo");
        let mounts = Mount::list(&mountinfo.expect_success());
        let mounts: Vec<_> = mounts
            .iter()
            .filter(|mount| mount.point == "/run/secrets")
            .collect();
        let [mount] = mounts.as_slice() else {
            panic!("{name}: not one mount: {mounts:?}");
        };
        assert_eq!(mount.kind, "tmpfs", "{name}");
        assert!(mount.has(&["ro"]), "{name}: {mount:?}");
    }
}

#[test]
fn the_nodes_mount_keeps_every_flag() {
    let namespace = Namespace::create("volume-flags");
    app(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    let volume = NodeVolume::of(&namespace, "app");
    let mounts = volume.mounts();
    let [mount] = mounts.as_slice() else {
        panic!("not one mount: {mounts:?}");
    };
    assert_eq!(mount.kind, "tmpfs");
    assert_eq!(mount.source, "secretvault");
    assert!(
        mount.has(&["ro", "nosuid", "nodev", "noexec"]),
        "a flag is missing: {mount:?}"
    );
    let swappable = !mount.options.contains("noswap");
    assert!(!swappable || kernel() < (6, 4), "it may swap: {mount:?}");
    let bounded = mount.options.iter().any(|it| it.starts_with("size="));
    assert!(bounded, "it has no size: {mount:?}");
}

#[test]
fn no_container_can_write_into_its_volume() {
    let namespace = Namespace::create("volume-write");
    app(&namespace);
    for (name, host_users) in [("app", true), ("in-userns", false)] {
        let pod = writers(name).with("/spec/hostUsers", json!(host_users));
        pod.run(&namespace);
        for container in ["app", "bold"] {
            for attempt in ATTEMPTS {
                let write = |directory: &str| {
                    let script = format!("cd {directory} && {attempt}");
                    let shell = ["exec", name, "-c", container, "--", "sh", "-c", &script];
                    namespace.kubectl(&shell)
                };
                let complaint = write("/run/secrets").expect_failure();
                assert!(
                    complaint.contains("Read-only file system"),
                    "{name}/{container}: {attempt}: {complaint}"
                );
                let _ = write("/control").expect_success();
            }
        }
    }
}

#[test]
fn a_volume_that_asks_to_be_writable_is_refused_with_advice() {
    let namespace = Namespace::create("volume-readonly");
    app(&namespace);
    let read_only = "/spec/volumes/0/csi/readOnly";
    let refused = Pod::mounting("writable", "app").with(read_only, json!(false));
    refused.create(&namespace);
    refused.wait_event(&namespace, "set readOnly: true under volumes[].csi");
    Pod::mounting("control", "app")
        .with(read_only, json!(true))
        .run(&namespace);
}

#[test]
fn the_pods_own_token_fits_into_the_volume() {
    let namespace = Namespace::create("volume-token");
    app(&namespace);
    // The token is mounted at `/var/run/secrets/kubernetes.io/serviceaccount`. That is inside the
    // volume if it is mounted there, or where `/var/run` is a link to `/run`, as in Debian's images.
    for (name, image, mount_path) in [
        ("same-path", "busybox:stable", "/var/run/secrets"),
        ("link", "localhost/var-run-link:stable", "/run/secrets"),
    ] {
        let pod = Pod::mounting(name, "app")
            .with("/spec/automountServiceAccountToken", json!(true))
            .with("/spec/containers/0/image", json!(image))
            .with(
                "/spec/containers/0/volumeMounts/0/mountPath",
                json!(mount_path),
            );
        pod.run(&namespace);
        let token = "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace";
        let token = namespace.sh(name, token).expect_success();
        assert_eq!(token, namespace.name(), "{name}");
        let entry = namespace.sh(name, &format!("cat {mount_path}/plain"));
        assert_eq!(entry.expect_success(), "p-1", "{name}");
    }
}

#[test]
fn one_file_can_be_mounted_by_its_sub_path() {
    let namespace = Namespace::create("volume-subpath");
    let vault = Vault::named("app").text("db/password", "p-1");
    vault.store(&namespace);
    let file = json!([{
        "name": "secrets",
        "mountPath": "/etc/app/password",
        "subPath": "db/password",
        "readOnly": true,
    }]);
    let pod = Pod::mounting("app", "app").with("/spec/containers/0/volumeMounts", file);
    pod.run(&namespace);
    let read = namespace.sh("app", "cat /etc/app/password");
    assert_eq!(read.expect_success(), "p-1");
}

/// What kubelet and the runtime add for a container is not there yet.
#[test]
fn nobody_on_the_node_can_write_into_a_volume() {
    let namespace = Namespace::create("volume-node");
    app(&namespace);
    Pod::mounting("app", "app").run(&namespace);
    let volume = NodeVolume::of(&namespace, "app");
    let control = format!("/run/{}", namespace.name());
    let made = format!("mkdir '{control}' && echo p-1 > '{control}/plain'");
    let _ = volume.node.sh(&made).expect_success();
    for attempt in ATTEMPTS {
        let write = |directory: &str| volume.node.sh(&format!("cd '{directory}' && {attempt}"));
        let complaint = write(&volume.path()).expect_failure();
        assert!(
            complaint.contains("Read-only file system"),
            "{attempt}: {complaint}"
        );
        let _ = write(&control).expect_success();
    }
    let _ = volume
        .node
        .sh(&format!("rm -r '{control}'"))
        .expect_success();
}

/// Every way to change a directory that has a file `plain` in it.
const ATTEMPTS: [&str; 7] = [
    "touch new",
    "mkdir new-directory",
    "echo x >> plain",
    "chmod 0666 plain",
    "chown 7 plain",
    "ln -s /tmp link",
    "rm -f plain",
];

/// A vault with a file for each kind of owner.
fn app(namespace: &Namespace) {
    let files = json!([
        {"entry": "own", "uid": 1000, "gid": 1001, "mode": "0400"},
        {"entry": "group", "mode": "0440"},
        {"entry": "other", "uid": 1002, "gid": 1002, "mode": "0400"},
    ]);
    let vault = Vault::named("app")
        .text("plain", "p-1")
        .text("own", "o-1")
        .text("group", "g-1")
        .text("other", "x-1")
        .spec("files", files);
    vault.store(namespace);
}

/// Each file as `name uid:gid mode content`; in place of the content `denied` if it may not be read.
fn look(namespace: &Namespace, pod: &Pod, files: &[&str]) -> Vec<String> {
    let script = format!(
        "cd /run/secrets; for file in {}; do \
           echo \"$file $(stat -L -c '%u:%g %a' $file) $(cat $file 2>/dev/null || echo denied)\"; \
         done",
        files.join(" ")
    );
    let seen = namespace.sh(pod.name(), &script).expect_success();
    seen.lines().map(str::to_owned).collect()
}

/// A pod with two containers of root's: one mounts the volume read-only, the other does not say so.
/// Both have a writable directory with the same file beside it.
fn writers(name: &str) -> Pod {
    let container = |name: &str, volume: Value| {
        json!({
            "name": name,
            "image": "busybox:stable",
            "command": ["sh", "-c", "echo p-1 > /control/plain; exec sleep infinity"],
            "volumeMounts": [volume, {"name": format!("control-{name}"), "mountPath": "/control"}],
        })
    };
    let control = |name: &str| json!({"name": format!("control-{name}"), "emptyDir": {}});
    let secrets = json!({
        "name": "secrets",
        "csi": {
            "driver": "csi.secretvault.dev",
            "readOnly": true,
            "volumeAttributes": {"vaults": "app"},
        },
    });
    let containers = json!([
        container(
            "app",
            json!({"name": "secrets", "mountPath": "/run/secrets", "readOnly": true})
        ),
        container(
            "bold",
            json!({"name": "secrets", "mountPath": "/run/secrets", "readOnly": false})
        ),
    ]);
    Pod::mounting(name, "app")
        .with("/spec/containers", containers)
        .with(
            "/spec/volumes",
            json!([secrets, control("app"), control("bold")]),
        )
}

/// The kernel's major and minor version.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|it| it.parse().ok());
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}
