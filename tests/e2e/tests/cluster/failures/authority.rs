//! The certificate authority is lost.

use secretvault_e2e::{Namespace, SYSTEM, Vault, eventually, kubectl};

use crate::running::Running;

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_lost_authority_is_made_anew_and_everybody_learns_of_it() {
    let running = Running::start("failures-authority");
    let before = authority();
    let lost = ["-n", SYSTEM, "delete", "secret", "secretvault-ca"];
    let _ = kubectl(&lost).expect_success();
    eventually("there is a new authority", || {
        let now = authority();
        if now.is_empty() || now == before {
            Err(now)
        } else {
            Ok(())
        }
    });
    running.assert_unharmed();
    // The API server trusts the webhook again,
    let namespace = Namespace::create("failures-authority-new");
    let vault = Vault::named("app").text("token", "n-1");
    eventually("a vault can be applied", || {
        vault.apply(&namespace).into_result()
    });
    // and the agents trust the operator.
    let pod = secretvault_e2e::Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "token"), "n-1");
    running.assert_the_next_change_arrives();
}

/// What the agents are told to trust.
fn authority() -> String {
    let path = "jsonpath={.data.ca\\.crt}";
    let found = [
        "-n",
        SYSTEM,
        "get",
        "configmap",
        "secretvault-ca",
        "-o",
        path,
    ];
    kubectl(&found).stdout
}
