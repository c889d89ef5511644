//! Every kind of workload.

use secretvault_e2e::eventually;
use serde_json::{Value, json};

use super::scene::{LOGGED, Scene, pod_of, reader, template};

const READS: [(&str, &str); 1] = [("env-file", "DB_PASSWORD=db/password")];
const STAYS: &str = "exec sleep infinity";

/// An object with a selector, as most controllers have one.
fn controller(kind: &str, more: &Value) -> Value {
    let mut template = template(&READS, &[reader("app", STAYS)]);
    template["metadata"]["labels"] = json!({"app": "web"});
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    let members = more.as_object().unwrap().clone();
    object["spec"].as_object_mut().unwrap().extend(members);
    object
}

fn job(template: &Value) -> Value {
    json!({"backoffLimit": 0, "template": template})
}

fn ending() -> Value {
    let mut template = template(&READS, &[reader("app", "true")]);
    template["spec"]["restartPolicy"] = json!("Never");
    template
}

#[test]
fn deployments_stateful_sets_and_daemon_sets_run_injected_pods() {
    let scene = Scene::new("injection-sets");
    for (kind, pods, more) in [
        ("Deployment", 2, json!({"replicas": 2})),
        (
            "StatefulSet",
            2,
            json!({"replicas": 2, "serviceName": "web"}),
        ),
        ("DaemonSet", 2, json!({})),
    ] {
        let _ = scene.create(&controller(kind, &more)).expect_success();
        let object = format!("{kind}/web");
        let rollout = ["rollout", "status", &object, "--timeout=5m"];
        let _ = scene.namespace.kubectl(&rollout).expect_success();
        scene.wait_logs(&["-l", "app=web", "-c", "app"], &LOGGED.repeat(pods));
        let delete = ["delete", &object, "--cascade=foreground"];
        let _ = scene.namespace.kubectl(&delete).expect_success();
    }
}

#[test]
fn jobs_and_cron_jobs_run_injected_pods_to_their_end() {
    let scene = Scene::new("injection-jobs");
    let once = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once"},
        "spec": job(&ending()),
    });
    let often = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "often"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job(&ending())}},
    });
    for object in [once, often] {
        let _ = scene.create(&object).expect_success();
    }
    let complete = [
        "wait",
        "--for=condition=Complete",
        "job/once",
        "--timeout=5m",
    ];
    let _ = scene.namespace.kubectl(&complete).expect_success();
    scene.wait_logs(&["job/once"], LOGGED);
    let of_cron_job = eventually("the cron job makes a job", || {
        let path =
            "jsonpath={.items[?(@.metadata.ownerReferences[0].kind=='CronJob')].metadata.name}";
        let names = scene.namespace.kubectl(&["get", "jobs", "-o", path]);
        let names = names.into_result()?;
        let first = names.split_whitespace().next().map(str::to_owned);
        first.ok_or(names)
    });
    scene.wait_logs(&[&format!("job/{of_cron_job}")], LOGGED);
    let _ = scene
        .namespace
        .kubectl(&["delete", "cronjob/often"])
        .expect_success();
}

#[test]
fn a_bare_pod_has_the_files_in_init_containers_sidecars_and_containers() {
    let scene = Scene::new("injection-pod");
    let mut sidecar = reader("sidecar", STAYS);
    sidecar["restartPolicy"] = json!("Always");
    let containers = [reader("app", STAYS), reader("other", STAYS)];
    let mut pod = pod_of("web", template(&READS, &containers));
    pod["spec"]["initContainers"] = json!([reader("init", "true"), sidecar]);
    let _ = scene.create(&pod).expect_success();
    for container in ["init", "sidecar", "app", "other"] {
        scene.wait_logs(&["web", "-c", container], LOGGED);
    }
    let stored = scene.namespace.get("pod/web");
    let volumes = stored["spec"]["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 1, "{volumes:?}");
}

#[test]
fn containers_that_are_not_named_have_nothing() {
    let scene = Scene::new("injection-named");
    let other = json!({
        "name": "other",
        "image": "busybox:stable",
        "command": ["sh", "-c", "ls /run/secrets 2>/dev/null || echo nothing; exec sleep infinity"],
    });
    let named = [READS[0], ("containers", "app")];
    let pod = pod_of("web", template(&named, &[reader("app", STAYS), other]));
    let _ = scene.create(&pod).expect_success();
    scene.wait_logs(&["web", "-c", "app"], LOGGED);
    eventually("the other container logs", || {
        let logs = scene.namespace.kubectl(&["logs", "web", "-c", "other"]);
        let logs = logs.into_result()?;
        if logs.ends_with("nothing\n") {
            Ok(())
        } else {
            Err(logs)
        }
    });
}

#[test]
fn one_can_debug_an_injected_pod() {
    let scene = Scene::new("injection-debug");
    let pod = pod_of("web", template(&READS, &[reader("app", STAYS)]));
    let _ = scene.create(&pod).expect_success();
    scene.wait_logs(&["web", "-c", "app"], LOGGED);
    let debug = [
        "debug",
        "web",
        "--image=busybox:stable",
        "--image-pull-policy=IfNotPresent",
        "-c",
        "debugger",
        "--profile=general",
        "--",
        "sh",
        "-c",
        "ls /run/secrets 2>/dev/null || echo nothing",
    ];
    let _ = scene.namespace.kubectl(&debug).expect_success();
    eventually("the debugger logs", || {
        let logs = scene.namespace.kubectl(&["logs", "web", "-c", "debugger"]);
        let logs = logs.into_result()?;
        if logs.ends_with("nothing\n") {
            Ok(())
        } else {
            Err(logs)
        }
    });
    let restarts = "{.status.containerStatuses[0].restartCount}";
    assert_eq!(scene.namespace.field("pod/web", restarts), "0");
}

#[test]
fn the_files_lie_where_the_pod_wants_them_and_with_its_owner_and_mode() {
    let scene = Scene::new("injection-place");
    let asked = [
        ("mount-path", "/etc/app/secrets"),
        ("items", "db/password=pw"),
        ("uid", "999"),
        ("gid", "998"),
        ("mode", "0440"),
        ("file-env", "true"),
    ];
    let script =
        "echo $PW_FILE; stat -L -c '%u:%g %a' $PW_FILE; ls /etc/app/secrets; exec sleep infinity";
    let container = json!({
        "name": "app", "image": "busybox:stable", "command": ["sh", "-c", script],
    });
    let pod = pod_of("web", template(&asked, &[container]));
    let _ = scene.create(&pod).expect_success();
    let expected = "/etc/app/secrets/pw\n999:998 440\nkubernetes.io\npw\n";
    eventually("the container logs", || {
        let logs = scene.namespace.kubectl(&["logs", "web"]).into_result()?;
        let without_directory = |text: &str| text.replace("kubernetes.io\n", "");
        if without_directory(&logs) == without_directory(expected) {
            Ok(())
        } else {
            Err(logs)
        }
    });
}
