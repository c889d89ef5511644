//! Of any pod.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::{Scene, pod};

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    let mount = prop_oneof![
        Just(json!({"name": "v", "mountPath": "/tmp"})),
        Just(json!({"name": "v", "mountPath": "/run/secrets/x"})),
        Just(json!({"name": "secretvault", "mountPath": "/run/secrets", "readOnly": true})),
        Just(json!({"name": "secretvault", "mountPath": "/etc/x", "subPath": "a"})),
    ];
    let variable = prop_oneof![
        Just(json!({"name": "A", "value": "x"})),
        Just(json!({"name": "PW_FILE", "value": "/run/secrets/db/password"})),
        Just(json!({"name": "DB_PASSWORD", "value": "x"})),
    ];
    let mounts = prop::option::of(prop::collection::vec(mount, 0..3));
    let env = prop::option::of(prop::collection::vec(variable, 0..3));
    let command = prop::option::of(prop::collection::vec("[a-z]{1,3}", 0..3));
    let restart = prop::option::of(Just("Always"));
    (mounts, env, command, restart).prop_map(move |(mounts, env, command, restart)| {
        let mut container = json!({"name": name, "image": "i"});
        let fields = [
            ("volumeMounts", mounts.map(|it| json!(it))),
            ("env", env.map(|it| json!(it))),
            ("command", command.map(|it| json!(it))),
            ("restartPolicy", restart.map(|it| json!(it))),
        ];
        for (field, value) in fields
            .into_iter()
            .filter_map(|(name, it)| Some((name, it?)))
        {
            container[field] = value;
        }
        container
    })
}

fn annotations() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let any = [
        ("containers", "app"),
        ("containers", "init, app"),
        ("items", "db/**"),
        ("mount-path", "/etc/x"),
        ("env-file", "PW=db/password"),
        ("file-env", "true"),
        ("env", "true"),
        ("on-change", "signal:HUP"),
        ("on-change", "restart"),
    ];
    prop::sample::subsequence(any.to_vec(), 0..any.len())
}

fn any_pod() -> impl Strategy<Value = Value> {
    let init = prop::option::of(container("init"));
    (annotations(), container("app"), init).prop_map(|(annotations, app, init)| {
        let mut pod = pod(&annotations);
        pod["spec"]["containers"] = json!([app]);
        if let Some(init) = init {
            pod["spec"]["initContainers"] = json!([init]);
        }
        pod
    })
}

/// Every member and element of `old` is in `new`, in the same order.
fn keeps(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old
            .iter()
            .all(|(name, value)| new.get(name).is_some_and(|it| keeps(value, it))),
        (Value::Array(old), Value::Array(new)) => {
            let mut rest = new.iter();
            old.iter().all(|value| rest.any(|it| keeps(value, it)))
        }
        (old, new) => old == new,
    }
}

proptest! {
    /// `Scene::patched` applies the patch, so each operation must find its place too.
    #[test]
    fn injecting_twice_changes_nothing_and_the_first_time_only_adds(pod in any_pod()) {
        let scene = Scene::with_a_vault();
        if let Ok((once, _)) = scene.patched(&pod) {
            let (twice, _) = scene.patched(&once).unwrap();
            prop_assert_eq!(&twice, &once);
            prop_assert!(keeps(&pod, &once), "{pod} {once}");
        }
    }
}
