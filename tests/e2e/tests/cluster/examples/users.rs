//! Pods that are not the node's root.

use super::{Example, files, listing};

#[test]
fn non_root() {
    let example = Example::apply("non-root");
    let logs = example.logs("app");
    assert_eq!(
        listing(&logs),
        files(&[
            ("admin-password", "0:3000 r--r-----"),
            ("own-key", "1000:2000 r--------"),
            ("token", "0:2000 r--r-----"),
        ])
    );
    for line in ["3 token", "3 own-key", "admin-password: Permission denied"] {
        assert!(logs.contains(line), "{logs}");
    }
}

#[test]
fn pod_security_restricted() {
    let example = Example::apply("pod-security-restricted");
    let logs = example.logs("app");
    assert_eq!(listing(&logs), files(&[("password", "0:65532 r--r-----")]));
    assert!(logs.contains("7 db/password"), "{logs}");
}

#[test]
fn user_namespace() {
    let example = Example::apply("user-namespace");
    let logs = example.logs("app");
    let map = logs.lines().next().unwrap_or_default();
    let [inside, outside, _] = map.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("no uid_map: {logs}");
    };
    assert_eq!(inside, "0");
    assert_ne!(outside, "0");
    assert_eq!(
        listing(&logs),
        files(&[
            ("for-999", "999:999 r--------"),
            ("root-only", "0:0 r--------"),
        ])
    );
    assert!(logs.contains("3 /run/secrets/root-only"), "{logs}");
}
