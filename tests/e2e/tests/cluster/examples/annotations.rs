//! Pods that only got annotations.

use secretvault_e2e::eventually;

use super::{Example, files, listing};

#[test]
fn annotations() {
    let example = Example::apply("annotations");
    let rollout = ["rollout", "status", "deployment/files", "--timeout=5m"];
    let _ = example.kubectl(&rollout).expect_success();
    let logs = eventually("the deployment logs", || {
        let logs = example.kubectl(&["logs", "deployment/files", "-c", "app"]);
        let logs = logs.into_result()?;
        if logs.contains("token") {
            Ok(logs)
        } else {
            Err(logs)
        }
    });
    assert!(logs.starts_with("/run/secrets/db/password\n"), "{logs}");
    let expected = files(&[
        ("run/secrets/db/password", "0:0 r--r--r--"),
        ("run/secrets/smtp/token", "0:0 r--r--r--"),
    ]);
    assert_eq!(listing(&logs), expected);
    let sidecar = [
        "exec",
        "deployment/files",
        "-c",
        "sidecar",
        "--",
        "ls",
        "/run/secrets",
    ];
    let _ = example.kubectl(&sidecar).expect_failure();
    let says = "the password has 7 characters\n";
    example.wait_logs("variables", says, |logs| logs == says);
    let stored = example.kubectl(&["get", "pod", "variables", "-o", "yaml"]);
    assert!(!stored.expect_success().contains("hunter2"));
    let typo = [
        "run",
        "typo",
        "--image=busybox:stable",
        "--annotations=secretvault.dev/vault=app",
    ];
    let refused = example.kubectl(&typo).expect_failure();
    assert!(refused.contains("did you mean vaults?"), "{refused}");
}
