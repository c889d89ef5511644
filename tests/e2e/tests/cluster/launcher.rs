//! Commands that get values as variables, and signals when files change, by annotation.

use std::time::Duration;

use secretvault_e2e::{Answer, Namespace, Pod, Vault, eventually};
use serde_json::{Value, json};

#[test]
fn a_command_finds_its_values_as_variables_and_nothing_of_them_is_in_the_pod() {
    let namespace = restricted("launcher-env");
    let vault = Vault::named("app")
        .text("db/password", "hunter2\n")
        .text("smtp.token", "t-1");
    vault.store(&namespace);
    let script = "env -0 | tr '\\0' '|'; echo; exec sleep infinity";
    let pod = annotated("app", &["env", "true"], script);
    pod.run(&namespace);
    wait_log(&namespace, "app", "|SMTP_TOKEN=t-1|");
    let logs = namespace
        .kubectl(&["logs", "app", "-c", "app"])
        .expect_success();
    assert!(logs.contains("|DB_PASSWORD=hunter2\n|"), "{logs}");
    assert!(logs.contains("|SMTP_TOKEN=t-1|"), "{logs}");
    let stored = namespace.get("pod/app");
    assert!(!stored.to_string().contains("hunter2"), "{stored}");
    let first = &stored["spec"]["initContainers"][0];
    assert_eq!(first["name"], "secretvault-launcher");
    let command = &stored["spec"]["containers"][0]["command"];
    assert_eq!(command[0], "/secretvault/launcher", "{command}");
    eventually("the launcher has become the command", || {
        let process = namespace.sh("app", "tr '\\0' ' ' < /proc/1/cmdline");
        match process.expect_success() {
            words if words == "sleep infinity " => Ok(()),
            other => Err(other),
        }
    });
}

#[test]
fn init_containers_have_their_values_too() {
    let namespace = restricted("launcher-init");
    token("t-1").store(&namespace);
    let init = container("first", "echo \"init has $TOKEN\"");
    let pod = annotated("app", &["env", "true"], "exec sleep infinity")
        .with("/spec/initContainers", json!([init]));
    pod.run(&namespace);
    let logs = namespace
        .kubectl(&["logs", "app", "-c", "first"])
        .expect_success();
    assert_eq!(logs, "init has t-1\n");
}

#[test]
fn an_arbitrary_user_without_rights_and_with_a_read_only_root_can_do_it() {
    let namespace = restricted("launcher-user");
    token("t-1").store(&namespace);
    let pod = annotated(
        "app",
        &["env", "true"],
        "echo $TOKEN $(id -u); exec sleep infinity",
    )
    .with("/spec/securityContext/runAsUser", json!(1_000_680_000))
    .with("/spec/securityContext/runAsGroup", json!(0));
    pod.run(&namespace);
    wait_log(&namespace, "app", "1000680000\n");
    let logs = namespace
        .kubectl(&["logs", "app", "-c", "app"])
        .expect_success();
    assert_eq!(logs, "t-1 1000680000\n");
}

#[test]
fn a_change_is_a_signal_with_and_without_a_shared_process_namespace() {
    for shared in [false, true] {
        let namespace = restricted("launcher-signal");
        token("t-1").store(&namespace);
        let containers = [container("app", COUNTER), container("bystander", BYSTANDER)];
        let pod = annotated("app", &["on-change", "signal:HUP"], COUNTER)
            .with("/spec/shareProcessNamespace", json!(shared))
            .with("/spec/containers", json!(containers))
            .with(
                "/metadata/annotations",
                annotations(&[("on-change", "signal:HUP"), ("containers", "app")]),
            );
        pod.run(&namespace);
        wait_log(&namespace, "app", "ready");
        for value in ["t-2", "t-3"] {
            token(value).store(&namespace);
            wait_log(&namespace, "app", &format!("changed to {value}"));
        }
        let logs = namespace
            .kubectl(&["logs", "app", "-c", "app"])
            .expect_success();
        assert_eq!(
            logs, "ready\nchanged to t-2\nchanged to t-3\n",
            "shared: {shared}"
        );
        let bystander = namespace
            .kubectl(&["logs", "app", "-c", "bystander"])
            .expect_success();
        assert_eq!(bystander, "ready\n", "shared: {shared}");
    }
}

#[test]
fn a_change_before_the_command_has_a_handler_does_not_end_it() {
    let namespace = restricted("launcher-early");
    token("t-1").store(&namespace);
    let script = format!("echo early; until [ -e /dev/shm/go ]; do sleep 0.1; done; {COUNTER}");
    let pod = annotated("app", &["on-change", "signal:HUP"], &script);
    pod.run(&namespace);
    wait_log(&namespace, "app", "early");
    token("t-2").store(&namespace);
    pod.wait_content(&namespace, "token", "t-2");
    std::thread::sleep(Duration::from_secs(1));
    let _ = namespace.sh("app", "touch /dev/shm/go").expect_success();
    wait_log(&namespace, "app", "changed to t-2");
    assert_eq!(restarts(&namespace), "0");
}

#[test]
fn a_pod_that_is_asked_to_end_does_so_at_once() {
    let namespace = restricted("launcher-end");
    token("t-1").store(&namespace);
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let pod = annotated("app", &["on-change", "signal:HUP"], script)
        .with("/spec/terminationGracePeriodSeconds", json!(900));
    pod.run(&namespace);
    wait_log(&namespace, "app", "ready");
    let delete = ["delete", "pod", "app", "--timeout=5m"];
    let _ = namespace.kubectl(&delete).expect_success();
}

#[test]
fn files_that_cannot_be_variables_stop_the_start_and_the_log_says_why() {
    let namespace = restricted("launcher-refused");
    let vault = Vault::named("app")
        .text("a.b", "hunter2")
        .text("a-b", "hunter2");
    vault.store(&namespace);
    let pod = annotated("app", &["env", "true"], "echo it runs; exec sleep infinity");
    let created = namespace.kubectl_with(&["create", "-f", "-"], &pod.manifest());
    // A webhook that knows the vault may say so first.
    let complaint = match created.into_result() {
        Err(complaint) => complaint,
        Ok(_) => eventually("the launcher says why", || {
            let logs: Answer = namespace.kubectl(&["logs", "app", "-c", "app"]);
            if logs.stdout.contains("A_B") {
                Ok(logs.stdout)
            } else {
                Err(logs)
            }
        }),
    };
    assert!(
        complaint.contains("a.b") && complaint.contains("a-b"),
        "{complaint}"
    );
    assert!(
        !complaint.contains("hunter2") && !complaint.contains("it runs"),
        "{complaint}"
    );
}

#[test]
fn a_container_without_a_command_is_refused_with_advice() {
    let namespace = restricted("launcher-command");
    token("t-1").store(&namespace);
    for annotation in [["env", "true"], ["on-change", "signal:HUP"]] {
        let pod = annotated("app", &annotation, "");
        let pod = pod.with("/spec/containers/0/command", Value::Null);
        let refused = namespace.kubectl_with(&["create", "-f", "-"], &pod.manifest());
        let _ = refused.expect_refusal(&["command", "app"], "t-1");
        // What is said in the advice works.
        let pod = pod.with("/spec/containers/0/command", json!(["sleep", "infinity"]));
        let dry_run = ["create", "--dry-run=server", "-f", "-"];
        let _ = namespace
            .kubectl_with(&dry_run, &pod.manifest())
            .expect_success();
    }
}

/// Says what the file holds at each signal.
const COUNTER: &str = "trap 'echo \"changed to $(cat /run/secrets/token)\"' HUP; echo ready; while :; do sleep 0.1; done";

/// The same signal in a container that has no files.
const BYSTANDER: &str = "trap 'echo changed' HUP; echo ready; while :; do sleep 0.1; done";

/// A namespace that lets in nothing but what the strictest of Kubernetes' standards does.
fn restricted(prefix: &str) -> Namespace {
    let namespace = Namespace::create(prefix);
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    let _ = secretvault_e2e::kubectl(&["label", "namespace", namespace.name(), enforce])
        .expect_success();
    namespace
}

fn token(value: &str) -> Vault {
    Vault::named("app").text("token", value)
}

/// A pod of that standard's that uses the vault `app`, with one more annotation.
fn annotated(name: &str, [key, value]: &[&str; 2], script: &str) -> Pod {
    Pod::mounting(name, "app")
        .with("/spec/volumes", json!([]))
        .with("/spec/containers", json!([container("app", script)]))
        .with(
            "/spec/securityContext",
            json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}),
        )
        .with("/metadata/annotations", annotations(&[(*key, *value)]))
}

fn annotations(further: &[(&str, &str)]) -> Value {
    let mut annotations = json!({"secretvault.dev/vaults": "app"});
    for (key, value) in further {
        annotations[format!("secretvault.dev/{key}")] = json!(value);
    }
    annotations
}

fn container(name: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": "busybox:stable",
        "command": ["sh", "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    })
}

fn wait_log(namespace: &Namespace, pod: &str, text: &str) {
    eventually(&format!("{pod} says {text:?}"), || {
        let logs = namespace
            .kubectl(&["logs", pod, "-c", "app"])
            .into_result()?;
        if logs.contains(text) {
            Ok(())
        } else {
            Err(logs)
        }
    });
}

fn restarts(namespace: &Namespace) -> String {
    namespace.field(
        "pod/app",
        "{.status.containerStatuses[?(@.name==\"app\")].restartCount}",
    )
}
