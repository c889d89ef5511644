//! Vaults that are not there yet, or empty.

use secretvault_e2e::{Vault, eventually};
use serde_json::json;

use super::scene::{LOGGED, PASSWORD, Scene, pod_of, reader, template};

#[test]
fn a_pod_whose_vault_is_not_there_waits_says_so_and_starts_when_it_comes() {
    let scene = Scene::new("injection-waiting");
    let containers = [reader("app", "exec sleep infinity")];
    let mut pod = pod_of(
        "web",
        template(&[("env-file", "DB_PASSWORD=pw")], &containers),
    );
    pod["metadata"]["annotations"]["secretvault.dev/vaults"] = json!("later");
    let created = scene.create(&pod);
    let missing = format!("vault {}/later does not exist", scene.namespace.name());
    assert!(created.stderr.contains(&missing), "{created:?}");
    let _ = created.expect_success();
    eventually("an Event says why the pod waits", || {
        let events = scene.namespace.events("web");
        if events.contains(&missing) {
            Ok(())
        } else {
            Err(events)
        }
    });
    let later = Vault::named("later").text("pw", PASSWORD);
    later.store(&scene.namespace);
    scene.wait_logs(&["web"], LOGGED);
}

#[test]
fn a_vault_and_its_pod_can_be_applied_at_once() {
    let scene = Scene::new("injection-at-once");
    for n in 0..10 {
        let name = format!("v{n}");
        let vault = Vault::named(&name).text("pw", PASSWORD).manifest();
        let containers = [reader("app", "exec sleep infinity")];
        let mut pod = pod_of(&name, template(&[("file-env", "true")], &containers));
        pod["metadata"]["annotations"]["secretvault.dev/vaults"] = json!(name);
        // Never run: it is the admission that is looked at.
        pod["spec"]["nodeSelector"] = json!({"nowhere": "true"});
        let both = format!("{vault}\n---\n{pod}");
        let _ = scene.namespace.apply(&both).expect_success();
        let stored = scene.namespace.get(&format!("pod/{name}"));
        let variable = &stored["spec"]["containers"][0]["env"][0];
        assert_eq!(variable["name"], "PW_FILE", "{variable}");
    }
}

#[test]
fn an_empty_vault_is_an_empty_directory_and_a_warning() {
    let scene = Scene::new("injection-empty");
    let empty = Vault::named("empty");
    empty.store(&scene.namespace);
    empty.wait_condition(&scene.namespace, "True");
    let container = json!({
        "name": "app",
        "image": "busybox:stable",
        "command": ["sh", "-c", "find /run/secrets -type f; echo looked; exec sleep infinity"],
    });
    let mut pod = pod_of("web", template(&[], &[container]));
    pod["metadata"]["annotations"]["secretvault.dev/vaults"] = json!("empty");
    let created = scene.create(&pod);
    let says = format!(
        "Warning: vault {}/empty has no entries",
        scene.namespace.name()
    );
    assert!(created.stderr.contains(&says), "{created:?}");
    let _ = created.expect_success();
    scene.wait_logs(&["web"], "looked\n");
}
