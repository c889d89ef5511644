//! Who deletes a vault that pods have mounted is told so.

use secretvault_e2e::{Vault, eventually, together};

use super::scene::{PASSWORD, Scene, pod_of, reader, template};

#[test]
fn a_vault_in_use_is_deleted_with_a_warning_that_names_its_pods() {
    let _lock = together();
    let scene = Scene::new("injection-deletion");
    let namespace = scene.namespace.name();
    let unused = Vault::named("unused").text("a", "b");
    let _ = unused.apply(&scene.namespace).expect_success();
    let reads = [("env-file", "DB_PASSWORD=db/password")];
    let containers = [reader("app", "exec sleep infinity")];
    let pod = pod_of("web", template(&reads, &containers));
    let _ = scene.create(&pod).expect_success();
    scene.wait_logs(&["web"], PASSWORD);
    eventually("the status names the pod", || {
        let pods = "{.status.consumers[*].pod}";
        let pods = scene.namespace.field("sv/app", pods);
        if pods == format!("{namespace}/web") {
            Ok(())
        } else {
            Err(pods)
        }
    });
    let delete = |vault: &str| {
        let delete = ["delete", "--dry-run=server", vault];
        let answer = scene.namespace.kubectl(&delete);
        assert!(answer.succeeded, "{answer:?}");
        answer.stderr
    };
    let told = delete("sv/app");
    let says = format!("vault {namespace}/app is in use: 1 pod has it mounted, and they keep");
    assert!(told.contains(&says), "{told}");
    assert!(told.contains(&format!("{namespace}/web")), "{told}");
    assert_eq!(delete("sv/unused"), "");
}
