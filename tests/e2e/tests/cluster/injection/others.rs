//! Others that change pods too.

use secretvault_e2e::{Answer, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};

use super::scene::{LOGGED, Scene, pod_of, reader, template};

/// Cluster-wide objects. Deleted when this drops.
struct Objects(Vec<Value>);

impl Objects {
    fn create(objects: Vec<Value>) -> Self {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let created = Self(objects);
        let _ = kubectl_with(&["create", "-f", "-"], &list).expect_success();
        created
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.0}).to_string();
        let _ = kubectl_with(&["delete", "--ignore-not-found", "-f", "-"], &list);
    }
}

/// Our own webhook once more, under another name: whatever it is given was injected before.
fn a_second_call() -> Value {
    let ours = [
        "get",
        "mutatingwebhookconfiguration/00-secretvault",
        "-o",
        "json",
    ];
    let ours: Value = serde_json::from_str(&kubectl(&ours).expect_success()).unwrap();
    let webhooks = ours["webhooks"].as_array().unwrap();
    let pods = webhooks
        .iter()
        .find(|it| it["name"] == "pods.secretvault.dev")
        .unwrap();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "zz-secretvault-again"},
        "webhooks": [pods],
    })
}

/// A policy that adds a container once our volume is there, in one namespace: so it comes after our
/// webhook, which is then called again.
fn a_mesh(namespace: &str, container: &str) -> Vec<Value> {
    let name = "injection-mesh";
    let expression = format!(
        "object.spec.?volumes.orValue([]).exists(it, it.name == 'secretvault') \
         && !object.spec.containers.exists(it, it.name == 'mesh') \
         ? [JSONPatch{{op: 'add', path: '/spec/containers/-', \
         value: Object.spec.containers{{{container}}}}}] : []"
    );
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["pods"],
                }],
            },
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "mutations": [{
                "patchType": "JSONPatch",
                "jsonPatch": {"expression": expression},
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    vec![policy, binding]
}

/// A pod as it would be stored, once the new configuration is known to the API server.
fn admitted_when(scene: &Scene, pod: &Value, known: impl Fn(&Value) -> bool) -> (Value, String) {
    eventually("the API server knows the others", || {
        let answer: Answer = scene.dry_run(pod);
        let warnings = answer.stderr.clone();
        let stored: Value = serde_json::from_str(&answer.into_result()?).unwrap();
        if known(&stored) {
            Ok((stored, warnings))
        } else {
            Err(stored.to_string())
        }
    })
}

fn injectable() -> Value {
    let containers = [reader("app", "exec sleep infinity")];
    let asked = [
        ("env-file", "DB_PASSWORD=db/password"),
        ("on-change", "signal:HUP"),
        ("containers", "app"),
    ];
    pod_of("web", template(&asked, &containers))
}

/// Alone: these change every pod of the cluster, or would if they were wrong.
#[test]
#[ignore = "it needs the cluster for itself"]
fn a_pod_that_is_injected_twice_is_as_if_it_was_once() {
    let scene = Scene::new("injection-twice");
    let spec = |pod: &Value| pod["spec"].clone();
    let once = spec(&scene.admitted(&injectable()));
    let before = super::scene::reviews();
    let _again = Objects::create(vec![a_second_call()]);
    eventually("the API server asks twice", || {
        let _ = scene.dry_run(&injectable()).expect_success();
        let reviewed = super::scene::reviews();
        let _ = scene.dry_run(&injectable()).expect_success();
        if super::scene::reviews() >= reviewed + 2 {
            Ok(())
        } else {
            Err(reviewed - before)
        }
    });
    assert_eq!(spec(&scene.admitted(&injectable())), once);
    let _ = scene.create(&injectable()).expect_success();
    scene.wait_logs(&["web", "-c", "app"], LOGGED);
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_container_that_comes_after_us_has_the_files_too() {
    let scene = Scene::new("injection-mesh");
    let container = "name: 'mesh', image: 'busybox:stable', command: ['sh', '-c', 'cat \"$DB_PASSWORD_FILE\"; echo; exec sleep infinity']";
    let _mesh = Objects::create(a_mesh(scene.namespace.name(), container));
    let containers = [reader("app", "exec sleep infinity")];
    let pod = pod_of(
        "web",
        template(&[("env-file", "DB_PASSWORD=db/password")], &containers),
    );
    let meshed = |pod: &Value| pod["spec"]["containers"].as_array().unwrap().len() == 2;
    let (stored, _) = admitted_when(&scene, &pod, meshed);
    let containers = &stored["spec"]["containers"];
    assert_eq!(containers[1]["name"], "mesh");
    assert_eq!(containers[1]["volumeMounts"], containers[0]["volumeMounts"]);
    assert_eq!(stored["spec"]["volumes"].as_array().unwrap().len(), 1);
    let _ = scene.create(&pod).expect_success();
    scene.wait_logs(&["web", "-c", "mesh"], LOGGED);
    scene.wait_logs(&["web", "-c", "app"], LOGGED);
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_container_that_comes_after_us_and_cannot_have_the_files_runs_without() {
    let scene = Scene::new("injection-sidecar");
    let container = "name: 'mesh', image: 'busybox:stable', command: ['sleep', 'infinity'], \
                     volumeMounts: [Object.spec.containers.volumeMounts{name: 'secretvault', mountPath: '/var/run/secrets/tokens'}]";
    let _mesh = Objects::create(a_mesh(scene.namespace.name(), container));
    let containers = [reader("app", "exec sleep infinity")];
    let pod = pod_of(
        "web",
        template(&[("env-file", "DB_PASSWORD=db/password")], &containers),
    );
    let meshed = |pod: &Value| pod["spec"]["containers"].as_array().unwrap().len() == 2;
    let (stored, warnings) = admitted_when(&scene, &pod, meshed);
    let mounts = stored["spec"]["containers"][1]["volumeMounts"]
        .as_array()
        .unwrap();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    let says = "container mesh was added later and gets no secrets";
    assert!(warnings.contains(says), "{warnings}");
}
