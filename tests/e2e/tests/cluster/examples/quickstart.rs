//! The quickstart's README, line by line. (quickstart.rs has the shortest way through it.)

use secretvault_e2e::{Answer, Namespace, eventually, root};

use super::{files, listing};

#[test]
fn the_quickstart_does_what_its_readme_says() {
    let namespace = Namespace::create("example-quickstart");
    let folder = root().join("examples/quickstart");
    let folder = folder.to_str().unwrap();
    let apply = || namespace.kubectl(&["apply", "-f", folder]).expect_success();
    assert_eq!(
        apply(),
        "pod/quickstart created\nsecretvault.secretvault.dev/quickstart created\n"
    );
    let wait = [
        "wait",
        "--for=condition=Ready",
        "pod/quickstart",
        "--timeout=5m",
    ];
    let waited = namespace.kubectl(&wait).expect_success();
    assert_eq!(waited, "pod/quickstart condition met\n");
    assert_eq!(read(&namespace).expect_success(), "hunter2");
    let expected = files(&[
        ("run/secrets/api-token", "0:0 r--r--r--"),
        ("run/secrets/db/host", "0:0 r--r--r--"),
        ("run/secrets/db/password", "999:999 r--------"),
        ("run/secrets/tls/key.der", "0:0 r--r--r--"),
    ]);
    // The container logs while it is already ready.
    eventually("the pod lists its files", || {
        let logs = namespace.kubectl(&["logs", "quickstart"]).into_result()?;
        if listing(&logs) == expected {
            Ok(())
        } else {
            Err(logs)
        }
    });
    let sealed = namespace.field("sv/quickstart", "{.spec.data.db/password}");
    assert!(sealed.starts_with("sv1:"), "{sealed}");
    let generation = || namespace.field("sv/quickstart", "{.metadata.generation}");
    let before = generation();
    let _ = apply();
    assert_eq!(generation(), before, "applying it again changed something");
    assert_a_change_follows(&namespace);
    let _ = namespace
        .kubectl(&["delete", "-f", folder])
        .expect_success();
}

fn assert_a_change_follows(namespace: &Namespace) {
    let vault = std::fs::read_to_string(root().join("examples/quickstart/vault.yaml")).unwrap();
    let changed = vault.replace("hunter2", "hunter3");
    let _ = namespace.apply(&changed).expect_success();
    eventually("the file follows", || {
        match read(namespace).into_result()?.as_str() {
            "hunter3" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    let restarts = "{.status.containerStatuses[0].restartCount}";
    assert_eq!(namespace.field("pod/quickstart", restarts), "0");
}

fn read(namespace: &Namespace) -> Answer {
    namespace.sh("quickstart", "cat /run/secrets/db/password")
}
