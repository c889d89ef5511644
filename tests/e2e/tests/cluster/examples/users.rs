//! Pods that are not the node's root.

use super::Example;

#[test]
fn non_root() {
    let example = Example::apply("non-root");
    example.wait_listing(
        "app",
        &[
            ("admin-password", "0:3000 r--r-----"),
            ("own-key", "1000:2000 r--------"),
            ("token", "0:2000 r--r-----"),
        ],
    );
    for line in ["3 token", "3 own-key", "admin-password: Permission denied"] {
        example.wait_logged("app", line);
    }
}

#[test]
fn pod_security_restricted() {
    let example = Example::apply("pod-security-restricted");
    example.wait_listing("app", &[("password", "0:65532 r--r-----")]);
    example.wait_logged("app", "7 db/password");
}

#[test]
fn user_namespace() {
    let example = Example::apply("user-namespace");
    let logs = example.wait_listing(
        "app",
        &[
            ("for-999", "999:999 r--------"),
            ("root-only", "0:0 r--------"),
        ],
    );
    let map = logs.lines().next().unwrap_or_default();
    let [inside, outside, _] = map.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("no uid_map: {logs}");
    };
    assert_eq!(inside, "0");
    assert_ne!(outside, "0");
    example.wait_logged("app", "3 /run/secrets/root-only");
}
