//! The README's first steps.

use secretvault_e2e::{Namespace, eventually, root};

#[test]
fn the_quickstart_pod_reads_its_secret_with_owner_and_mode_as_asked() {
    let namespace = Namespace::create("quickstart");
    let path = root().join("examples/quickstart");
    let applied = namespace
        .kubectl(&["apply", "-f", path.to_str().unwrap()])
        .expect_success();
    assert!(applied.contains("quickstart created"), "{applied}");
    eventually("the pod runs", || {
        let phase =
            namespace.kubectl(&["get", "pod", "quickstart", "-o", "jsonpath={.status.phase}"]);
        let phase = phase.into_result()?;
        if phase == "Running" {
            Ok(())
        } else {
            Err(namespace.events("quickstart"))
        }
    });
    let read = namespace
        .sh("quickstart", "cat /run/secrets/db/password")
        .expect_success();
    assert_eq!(read, "hunter2");
    let seen = namespace.sh(
        "quickstart",
        "stat -L -c '%u:%g %a' /run/secrets/db/password",
    );
    assert_eq!(seen.expect_success().trim(), "999:999 400");
    let seen = namespace.sh("quickstart", "stat -L -c '%u:%g %a' /run/secrets/db/host");
    assert_eq!(seen.expect_success().trim(), "0:0 444");
}
