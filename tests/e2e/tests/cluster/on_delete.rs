//! What running pods keep of what was deleted, and of what they may no longer have.

use secretvault_e2e::{Namespace, Pod, Vault, eventually};
use serde_json::json;

#[test]
fn the_file_of_a_deleted_entry_stays_or_goes_as_the_vault_says() {
    let namespace = Namespace::create("on-delete-entry");
    let (retain, remove) = (vault("retain", "Retain"), vault("remove", "Remove"));
    for vault in [&retain, &remove] {
        vault.store(&namespace);
    }
    let pod = Pod::mounting("app", "retain, remove");
    pod.run(&namespace);
    assert_eq!(files(&namespace, "app"), ALL);
    for vault in [retain, remove] {
        let less = vault.clone().without("data", &entry(&vault, "deleted"));
        less.store(&namespace);
    }
    let left = ["remove/kept", "retain/deleted", "retain/kept"];
    wait_files(&namespace, "app", &left);
    assert_eq!(pod.read(&namespace, "retain/deleted"), "value");
    // Only pods that had it keep it.
    Pod::mounting("late", "retain, remove").run(&namespace);
    assert_eq!(files(&namespace, "late"), ["remove/kept", "retain/kept"]);
}

#[test]
fn the_files_of_a_deleted_vault_stay_or_go_as_it_said() {
    let namespace = Namespace::create("on-delete-vault");
    for vault in [vault("retain", "Retain"), vault("remove", "Remove")] {
        vault.store(&namespace);
    }
    let pod = Pod::mounting("app", "retain, remove");
    pod.run(&namespace);
    assert_eq!(files(&namespace, "app"), ALL);
    let deleted = namespace.kubectl(&["delete", "sv", "retain", "remove"]);
    let _ = deleted.expect_success();
    wait_files(&namespace, "app", &["retain/deleted", "retain/kept"]);
    assert_eq!(pod.read(&namespace, "retain/kept"), "value");
}

#[test]
fn a_withdrawn_right_takes_the_files_away_whatever_the_vault_says_of_deletion() {
    let namespace = Namespace::create("on-delete-right");
    let only = |entries: &[&str]| {
        let access = json!([{"serviceAccounts": ["default"], "entries": entries}]);
        vault("retain", "Retain").spec("access", access)
    };
    let before = only(&["retain/kept", "retain/deleted"]);
    before.store(&namespace);
    let pod = Pod::mounting("app", "retain");
    pod.run(&namespace);
    assert_eq!(files(&namespace, "app"), ["retain/deleted", "retain/kept"]);
    only(&["retain/kept"]).store(&namespace);
    wait_files(&namespace, "app", &["retain/kept"]);
}

#[test]
fn a_withdrawn_right_to_everything_empties_the_volume_of_a_running_pod() {
    let namespace = Namespace::create("on-delete-rights");
    let allowed_to = |account: &str| {
        let access = json!([{"serviceAccounts": [account]}]);
        vault("retain", "Retain").spec("access", access)
    };
    allowed_to("default").store(&namespace);
    let pod = Pod::mounting("app", "retain");
    pod.run(&namespace);
    assert_eq!(files(&namespace, "app"), ["retain/deleted", "retain/kept"]);
    allowed_to("other").store(&namespace);
    wait_files(&namespace, "app", &[]);
    let running = namespace.field("pod/app", "{.status.phase}");
    assert_eq!(running, "Running");
}

const ALL: [&str; 4] = [
    "remove/deleted",
    "remove/kept",
    "retain/deleted",
    "retain/kept",
];

/// A vault with two entries below its own name, as two vaults of one volume need it.
/// Each alone would say something else of the file: the vault lets a running pod keep it.
#[test]
fn an_entry_that_is_deleted_together_with_the_right_to_it_goes_also_where_files_are_retained() {
    let namespace = Namespace::create("on-delete-both");
    let may = |name: &str, ends: &[&str]| {
        let entries: Vec<String> = ends.iter().map(|end| format!("{name}/{end}")).collect();
        let access = json!([{"serviceAccounts": ["default"], "entries": entries}]);
        vault(name, "Retain").spec("access", access)
    };
    for name in ["both", "control"] {
        let before = may(name, &["kept", "deleted"]);
        before.store(&namespace);
    }
    let pod = Pod::mounting("app", "both, control");
    pod.run(&namespace);
    let all = [
        "both/deleted",
        "both/kept",
        "control/deleted",
        "control/kept",
    ];
    assert_eq!(files(&namespace, "app"), all);
    // One change each. The control differs in the right alone.
    let control = may("control", &["kept", "deleted"]).without("data", "control/deleted");
    control.store(&namespace);
    let both = may("both", &["kept"]).without("data", "both/deleted");
    both.store(&namespace);
    let left = ["both/kept", "control/deleted", "control/kept"];
    wait_files(&namespace, "app", &left);
    assert_eq!(pod.read(&namespace, "control/deleted"), "value");
}

/// In the pod's own namespace the rules of a vault speak about the files of its predecessor too.
#[test]
fn the_files_of_a_vault_that_is_made_anew_without_the_right_to_them_go() {
    let namespace = Namespace::create("on-delete-anew");
    let allowed_to = |name: &str, account: &str| {
        let access = json!([{"serviceAccounts": [account]}]);
        vault(name, "Retain").spec("access", access)
    };
    for name in ["anew", "control"] {
        let before = allowed_to(name, "default");
        before.store(&namespace);
    }
    let pod = Pod::mounting("app", "anew, control");
    pod.run(&namespace);
    let deleted = namespace.kubectl(&["delete", "sv", "anew", "control"]);
    let _ = deleted.expect_success();
    let empty = |name: &str| {
        let vault = Vault::named(name).spec("onDelete", json!("Retain"));
        vault.text("other", "value")
    };
    let rules = |account: &str| json!([{"serviceAccounts": [account]}]);
    let control = empty("control").spec("access", rules("default"));
    control.store(&namespace);
    let anew = empty("anew").spec("access", rules("somebody-else"));
    anew.store(&namespace);
    wait_files(
        &namespace,
        "app",
        &["control/deleted", "control/kept", "other"],
    );
}

fn vault(name: &str, on_delete: &str) -> Vault {
    let vault = Vault::named(name).spec("onDelete", json!(on_delete));
    let entries = ["kept", "deleted"].map(|end| format!("{name}/{end}"));
    entries
        .iter()
        .fold(vault, |vault, entry| vault.text(entry, "value"))
}

fn entry(vault: &Vault, end: &str) -> String {
    vault.object().replace("sv/", "") + "/" + end
}

fn wait_files(namespace: &Namespace, pod: &str, wanted: &[&str]) {
    eventually(&format!("the files of pod {pod} are {wanted:?}"), || {
        let files = files(namespace, pod);
        if files == wanted { Ok(()) } else { Err(files) }
    });
}

/// The files in the pod's volume, as it sees them.
fn files(namespace: &Namespace, pod: &str) -> Vec<String> {
    let script = "cd /run/secrets && find -L . -name '..*' -prune -o -type f -print | sort";
    let found = namespace.sh(pod, script).expect_success();
    let found = found.lines().map(|file| file.trim_start_matches("./"));
    found.map(str::to_owned).collect()
}
