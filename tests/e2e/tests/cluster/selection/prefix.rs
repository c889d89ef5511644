//! Vaults that land below a directory of their own.

use secretvault_e2e::{Namespace, Pod, Vault};
use serde_json::json;

use super::list;

#[test]
fn a_prefix_is_before_all_paths_of_its_vault() {
    let namespace = Namespace::create("prefix");
    let files = json!([{"entry": "token", "path": "api/token", "uid": 7, "mode": "0400"}]);
    let shared = Vault::named("shared")
        .text("both", "shared")
        .text("token", "t-1");
    shared.spec("files", files).store(&namespace);
    let own = Vault::named("own").text("both", "own");
    own.store(&namespace);
    let vaults = "[{vault: shared, prefix: of/shared}, {vault: own}]";
    Pod::mounting("whole", vaults).run(&namespace);
    assert_eq!(
        list(&namespace, "whole"),
        [
            "both 0:0 444 own",
            "of/shared/api/token 7:0 400 t-1",
            "of/shared/both 0:0 444 shared",
        ]
    );
    Pod::mounting("items", vaults)
        .attribute("items", "both=renamed, token")
        .run(&namespace);
    assert_eq!(
        list(&namespace, "items"),
        [
            "of/shared/api/token 7:0 400 t-1",
            "of/shared/renamed 0:0 444 shared",
            "renamed 0:0 444 own",
        ]
    );
}

#[test]
fn a_change_reaches_a_file_below_a_prefix() {
    let namespace = Namespace::create("prefix-change");
    let vault = Vault::named("app").text("password", "hunter2");
    vault.store(&namespace);
    let pod = Pod::mounting("app", "[{vault: app, prefix: of/app}]");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "of/app/password"), "hunter2");
    vault.text("password", "hunter3").store(&namespace);
    pod.wait_content(&namespace, "of/app/password", "hunter3");
}

#[test]
fn a_prefix_that_would_leave_the_volume_or_make_a_path_too_long_is_refused() {
    let namespace = Namespace::create("prefix-refused");
    Vault::named("app").text("password", "p").store(&namespace);
    let long = "x".repeat(245);
    let cases = [
        (
            "../outside",
            "has a segment that is '.' or starts with '..'",
        ),
        ("/etc", "has an empty segment"),
        ("kubernetes.io", "is reserved"),
        (&long, "cannot land below the prefix"),
    ];
    for (index, (prefix, why)) in cases.into_iter().enumerate() {
        let vaults = format!("[{{vault: app, prefix: {prefix}}}]");
        let pod = Pod::mounting(&format!("refused-{index}"), &vaults);
        pod.create(&namespace);
        let _ = pod.wait_event(&namespace, why);
    }
    let fits = "x".repeat(244);
    Pod::mounting("control", &format!("[{{vault: app, prefix: {fits}}}]")).run(&namespace);
    let expected = format!("{fits}/password 0:0 444 p");
    assert_eq!(list(&namespace, "control"), [expected]);
}
