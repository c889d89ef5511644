//! Which entries of which vaults a volume holds, where, and whose they are.

mod prefix;
mod told;
mod variables;

use secretvault_e2e::{Namespace, Pod, Vault};
use serde_json::json;

#[test]
fn a_later_vault_overrides_an_earlier_one_path_by_path() {
    let namespace = Namespace::create("selection-merge");
    let shared = Vault::named("shared")
        .text("both", "shared")
        .text("only-shared", "shared")
        .text("renamed-over", "shared");
    let files = json!([{"entry": "other-name", "path": "renamed-over"}]);
    let own = Vault::named("own")
        .text("both", "own")
        .text("only-own", "own")
        .text("other-name", "own")
        .spec("files", files);
    for vault in [shared, own] {
        vault.store(&namespace);
    }
    let pod = Pod::mounting("app", "shared, own");
    pod.run(&namespace);
    assert_eq!(
        list(&namespace, "app"),
        [
            "both 0:0 444 own",
            "only-own 0:0 444 own",
            "only-shared 0:0 444 shared",
            "renamed-over 0:0 444 own",
        ]
    );
    let pod = Pod::mounting("control", "own, shared");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "both"), "shared");
    assert_eq!(pod.read(&namespace, "renamed-over"), "shared");
}

#[test]
fn items_with_commas_take_entries_patterns_and_other_paths() {
    let namespace = Namespace::create("selection-comma");
    app().store(&namespace);
    let items = "db/password=db_password, smtp/*, tls/**";
    let pod = Pod::mounting("app", "app").attribute("items", items);
    pod.run(&namespace);
    assert_eq!(
        list(&namespace, "app"),
        [
            // The vault's rule for the entry goes with it.
            "db_password 999:999 400 db/password",
            // A * stays within a segment, a ** does not.
            "smtp/token 0:0 444 smtp/token",
            "tls/eu/key 0:0 444 tls/eu/key",
            "tls/key 0:0 444 tls/key",
        ]
    );
}

#[test]
fn items_as_a_yaml_list_take_owners_and_modes_and_may_be_optional() {
    let namespace = Namespace::create("selection-yaml");
    app().store(&namespace);
    let items = "\
- {entry: db/password, path: password, uid: 70, gid: 71, mode: '0440'}
- {entry: smtp/**, mode: '0400'}
- {entry: not/there, optional: true}
";
    let pod = Pod::mounting("app", "app").attribute("items", items);
    pod.run(&namespace);
    assert_eq!(
        list(&namespace, "app"),
        [
            "password 70:71 440 db/password",
            "smtp/eu/token 0:0 400 smtp/eu/token",
            "smtp/token 0:0 400 smtp/token",
        ]
    );
}

#[test]
fn a_pod_waits_for_an_entry_that_is_missing_and_starts_when_it_is_there() {
    let namespace = Namespace::create("selection-missing");
    app().store(&namespace);
    let pod = Pod::mounting("app", "app").attribute("items", "db/user, smtp/token");
    pod.create(&namespace);
    let event = pod.wait_event(&namespace, "entry db/user is not in vault");
    assert!(event.contains("NotFound"), "{event}");
    let more = app().text("db/user", "shop");
    more.store(&namespace);
    pod.wait_ready(&namespace);
    assert_eq!(pod.read(&namespace, "db/user"), "shop");
}

#[test]
fn a_pod_waits_for_a_vault_that_is_missing_and_starts_when_it_is_there() {
    let namespace = Namespace::create("selection-vault");
    let pod = Pod::mounting("app", "app");
    pod.create(&namespace);
    let named = format!("vault {}/app does not exist", namespace.name());
    pod.wait_event(&namespace, &named);
    app().store(&namespace);
    pod.wait_ready(&namespace);
    assert_eq!(pod.read(&namespace, "db/password"), "db/password");
}

#[test]
fn the_volumes_own_defaults_override_the_vaults_and_not_those_of_an_entry() {
    let namespace = Namespace::create("selection-defaults");
    let defaults = json!({"uid": 5, "gid": 6, "mode": "0404"});
    let vault = app().spec("fileDefaults", defaults);
    vault.store(&namespace);
    Pod::mounting("control", "app")
        .attribute("items", "db/password, smtp/token")
        .run(&namespace);
    assert_eq!(
        list(&namespace, "control"),
        [
            "db/password 999:999 400 db/password",
            "smtp/token 5:6 404 smtp/token",
        ]
    );
    Pod::mounting("app", "app")
        .attribute("items", "db/password, smtp/token")
        .attribute("uid", "70")
        .attribute("gid", "71")
        .attribute("mode", "0440")
        .run(&namespace);
    assert_eq!(
        list(&namespace, "app"),
        [
            "db/password 999:999 400 db/password",
            "smtp/token 70:71 440 smtp/token",
        ]
    );
}

#[test]
fn a_group_that_somebody_chose_wins_over_fs_group() {
    let namespace = Namespace::create("selection-group");
    let vault = Vault::named("app").text("free", "f-1").text("own", "o-1");
    let vault = vault.spec("files", json!([{"entry": "own", "gid": 0}]));
    vault.store(&namespace);
    let group = json!({"fsGroup": 2000});
    Pod::mounting("app", "app")
        .with("/spec/securityContext", group.clone())
        .run(&namespace);
    assert_eq!(
        list(&namespace, "app"),
        ["free 0:2000 444 f-1", "own 0:0 444 o-1"]
    );
    Pod::mounting("attribute", "app")
        .with("/spec/securityContext", group)
        .attribute("gid", "7")
        .run(&namespace);
    assert_eq!(
        list(&namespace, "attribute"),
        ["free 0:7 444 f-1", "own 0:0 444 o-1"]
    );
}

#[test]
fn a_misspelt_attribute_is_refused_and_the_right_one_is_named() {
    let namespace = Namespace::create("selection-typo");
    app().store(&namespace);
    let pod = Pod::mounting("typo", "app").attribute("item", "smtp/token");
    pod.create(&namespace);
    pod.wait_event(&namespace, "did you mean items?");
    Pod::mounting("control", "app")
        .attribute("items", "smtp/token")
        .run(&namespace);
    assert_eq!(
        list(&namespace, "control"),
        ["smtp/token 0:0 444 smtp/token"]
    );
}

#[test]
fn pods_that_are_applied_together_with_their_vaults_are_not_refused_for_want_of_them() {
    let namespace = Namespace::create("selection-at-once");
    let vault = |index: usize| app().renamed(&format!("app-{index}"));
    let pod = |index: usize| Pod::mounting(&format!("app-{index}"), &format!("app-{index}"));
    let manifests: Vec<String> = (0..AT_ONCE)
        .flat_map(|index| [vault(index).manifest(), pod(index).manifest()])
        .collect();
    let _ = namespace.apply(&manifests.join("\n---\n")).expect_success();
    for index in 0..AT_ONCE {
        pod(index).wait_ready(&namespace);
        let events = namespace.events(pod(index).name());
        assert!(!events.contains("does not exist"), "{events}");
    }
}

/// Vaults and pods of one `kubectl apply`.
const AT_ONCE: usize = 6;

/// A vault in which each value is its entry's name.
fn app() -> Vault {
    let entries = [
        "db/password",
        "smtp/token",
        "smtp/eu/token",
        "tls/key",
        "tls/eu/key",
    ];
    let files = json!([{"entry": "db/password", "uid": 999, "gid": 999, "mode": "0400"}]);
    let vault = Vault::named("app").spec("files", files);
    entries
        .iter()
        .fold(vault, |vault, entry| vault.text(entry, entry))
}

/// The files of a pod's volume, as `path uid:gid mode content`.
fn list(namespace: &Namespace, pod: &str) -> Vec<String> {
    let script = "cd /run/secrets && for f in $(find -L . -name '..*' -prune -o -type f -print | sort); \
                  do echo \"${f#./} $(stat -L -c '%u:%g %a' $f) $(cat $f)\"; done";
    let seen = namespace.sh(pod, script).expect_success();
    seen.lines().map(str::to_owned).collect()
}
