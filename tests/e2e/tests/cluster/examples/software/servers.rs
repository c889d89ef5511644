//! Servers: with a key of their own, and with a variable.

use secretvault_e2e::{Answer, eventually, kubectl, run_with};

use super::super::{Example, files, listing};

#[test]
fn nginx() {
    let example = Example::apply("nginx");
    example.wait_rollout("deployment/web");
    example.wait_rollout("deployment/client");
    let key = example.exec("deployment/web", &["ls", "-lnL", "/run/secrets/tls"]);
    assert_eq!(
        listing(&key.expect_success()),
        files(&[
            ("server.crt", "0:0 r--r--r--"),
            ("server.key", "101:0 r--------"),
        ])
    );
    wait_last_certificate(&example, FIRST);
    let before = pod(&example);
    assert!(before.ends_with(" 0"), "{before}");
    let renewed = format!("{}/renewed/", example.folder);
    let _ = kubectl(&["apply", "-f", &renewed]).expect_success();
    wait_last_certificate(&example, SECOND);
    assert_eq!(pod(&example), before, "another pod, or another start of it");
    let mut seen = certificates(&example).expect_success();
    seen.drain(..seen.find(FIRST).unwrap());
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.dedup();
    assert_eq!(seen, [FIRST, SECOND], "a connection failed, or went back");
}

const FIRST: &str = "subject=O = first pair, CN = web";
const SECOND: &str = "subject=O = second pair, CN = web";

fn wait_last_certificate(example: &Example, subject: &str) {
    eventually(&format!("the client sees {subject}"), || {
        let log = certificates(example).into_result()?;
        if log.lines().last() == Some(subject) {
            Ok(())
        } else {
            Err(log)
        }
    });
}

fn certificates(example: &Example) -> Answer {
    example.kubectl(&["logs", "deployment/client"])
}

/// The UIDs of nginx's pods, and how often their containers were started again.
fn pod(example: &Example) -> String {
    let path =
        "jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}";
    let pods = example.kubectl(&["get", "pods", "-l", "app=web", "-o", path]);
    pods.expect_success()
}

#[test]
fn openssh() {
    let example = Example::apply("openssh");
    for server_or_client in ["sshd", "client", "stranger"] {
        example.wait_rollout(&format!("deployment/{server_or_client}"));
    }
    let ssh = ["ssh", "-F", "/etc/example/ssh_config", "sshd", "id", "-un"];
    // A node may not know the way to the server yet.
    let known = eventually("the client gets in", || {
        example.exec("deployment/client", &ssh).into_result()
    });
    assert_eq!(known, "app\n");
    let says = "app@sshd: Permission denied (publickey).";
    eventually("the server refuses the stranger", || {
        let refused = example.exec("deployment/stranger", &ssh).expect_failure();
        if refused.contains(says) {
            Ok(())
        } else {
            Err(refused)
        }
    });
    for pod in ["client", "stranger"] {
        let keys = example.exec(
            &format!("deployment/{pod}"),
            &["ls", "-lnL", "/run/secrets"],
        );
        assert_eq!(
            listing(&keys.expect_success()),
            files(&[
                ("id_ed25519", "65532:0 r--------"),
                ("known_hosts", "0:0 r--r--r--"),
            ])
        );
    }
}

#[test]
fn python_web() {
    let example = Example::apply("python-web");
    example.wait_rollout("deployment/web");
    wait_answer("hunter2");
    let beside = example.exec("deployment/web", &["printenv", "API_TOKEN"]);
    assert_eq!(beside.stdout, "");
    let _ = beside.expect_failure();
    example.assert_nowhere_written("hunter2");
    let patch = r#"{"spec": {"data": {"api/token": "hunter3"}}}"#;
    let patched = example.kubectl(&["patch", "sv", "web", "--type=merge", "-p", patch]);
    let _ = patched.expect_success();
    wait_stale(&example, "1");
    wait_answer("hunter2");
    let restart = example.kubectl(&["rollout", "restart", "deployment/web"]);
    let _ = restart.expect_success();
    example.wait_rollout("deployment/web");
    wait_answer("hunter3");
    wait_stale(&example, "0");
}

/// Waits until the service answers with the digest of this value.
fn wait_answer(value: &str) {
    let digest = run_with("sha256sum", &[], value).expect_success();
    let digest = digest.replace(" ", "").replace('-', "");
    let path = "/api/v1/namespaces/example-python-web/services/web:8080/proxy/";
    eventually(&format!("the service's variable is {value:?}"), || {
        let answer = kubectl(&["get", "--raw", path]).into_result()?;
        if answer == digest {
            Ok(())
        } else {
            Err(answer)
        }
    });
}

fn wait_stale(example: &Example, pods: &str) {
    let path = "jsonpath={.status.staleCount}";
    eventually(&format!("{pods} pods are stale"), || {
        let stale = example.kubectl(&["get", "sv", "web", "-o", path]);
        let stale = stale.into_result()?;
        if stale == pods { Ok(()) } else { Err(stale) }
    });
}
