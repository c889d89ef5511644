//! Changes reach a running pod by themselves. In these tests the node's kubelet is stopped, so that
//! no republish can have brought them.

use secretvault_e2e::{
    Namespace, Node, NodeVolume, Part, Pod, Vault, eventually, side_by_side, wait_system,
};
use serde_json::json;

/// A pod whose kubelet is going to be stopped. Its container runs on.
struct Alone {
    namespace: Namespace,
    volume: NodeVolume,
}

impl Alone {
    /// Runs a pod `app` with these vaults, one of which there is.
    fn start(prefix: &str, vault: &Vault, vaults: &str) -> Self {
        let namespace = Namespace::create(prefix);
        vault.store(&namespace);
        Pod::mounting("app", vaults).on(NODE).run(&namespace);
        let volume = NodeVolume::of(&namespace, "app");
        Self { namespace, volume }
    }

    /// Applies a vault. A replica that was killed a moment ago may still be asked.
    fn apply(&self, vault: &Vault) {
        eventually("the vault is applied", || {
            vault.apply(&self.namespace).into_result()
        });
    }

    /// The names at the top of the volume.
    fn names(&self) -> Vec<String> {
        let listed = self.volume.node.sh(&format!("ls '{}'", self.volume.path()));
        let listed = listed.expect_success();
        let names = listed.lines().filter(|name| *name != "kubernetes.io");
        names.map(str::to_owned).collect()
    }

    fn wait_content(&self, path: &str, content: &str) {
        let read = format!("cat '{}/{path}'", self.volume.path());
        eventually(&format!("{path} is {content:?}"), || {
            let seen = self.volume.node.sh(&read).into_result();
            if seen.as_deref() == Ok(content) {
                Ok(())
            } else {
                Err(seen)
            }
        });
    }

    fn wait_names(&self, expected: &[&str]) {
        eventually(&format!("the files are {expected:?}"), || {
            let names = self.names();
            if names == expected {
                Ok(())
            } else {
                Err(names)
            }
        });
    }
}

fn app(value: &str) -> Vault {
    Vault::named("app").text("token", value)
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn changes_arrive_although_kubelet_never_asks() {
    let edited = Alone::start("changes-pushed", &app("t-0"), "app");
    let withdrawn = Alone::start("changes-right", &with_rights(&["token", "other"]), "app");
    let later = "[{vault: app}, {vault: later, optional: true}]";
    let later = Alone::start("changes-optional", &app("t-1"), later);
    let _stopped = Node::named(NODE).without_kubelet();
    side_by_side(&[
        ("edits", &|| edits_arrive_one_after_the_other(&edited)),
        ("a right", &|| {
            a_right_that_is_withdrawn_takes_its_files_away(&withdrawn);
        }),
        ("an optional vault", &|| {
            an_optional_vault_comes_when_it_is_made_and_goes_when_it_is_deleted(&later);
        }),
    ]);
}

fn edits_arrive_one_after_the_other(alone: &Alone) {
    for number in 1..=5 {
        let value = format!("t-{number}");
        alone.apply(&app(&value));
        alone.wait_content("token", &value);
    }
}

/// A vault that lets the pod have these of its entries.
fn with_rights(entries: &[&str]) -> Vault {
    let access = json!([{"serviceAccounts": ["default"], "entries": entries}]);
    let vault = app("t-1").text("other", "o-1");
    vault
        .spec("onDelete", json!("Retain"))
        .spec("access", access)
}

fn a_right_that_is_withdrawn_takes_its_files_away(alone: &Alone) {
    assert_eq!(alone.names(), ["other", "token"]);
    alone.apply(&with_rights(&["other"]));
    alone.wait_names(&["other"]);
    let nobody = app("t-1").spec("access", json!([{"serviceAccounts": ["somebody-else"]}]));
    alone.apply(&nobody);
    alone.wait_names(&[]);
}

fn an_optional_vault_comes_when_it_is_made_and_goes_when_it_is_deleted(alone: &Alone) {
    assert_eq!(alone.names(), ["token"]);
    let later = Vault::named("later")
        .text("more", "m-1")
        .spec("onDelete", json!("Remove"));
    alone.apply(&later);
    alone.wait_content("more", "m-1");
    alone.apply(&later.clone().text("more", "m-2"));
    alone.wait_content("more", "m-2");
    let deleted = alone.namespace.kubectl(&["delete", "sv", "later"]);
    let _ = deleted.expect_success();
    alone.wait_names(&["token"]);
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn the_death_of_either_replica_leaves_no_volume_stale() {
    let alone = Alone::start("changes-replica", &app("t-0"), "app");
    // One of the two holds the stream of the pod's node.
    for (number, replica) in (1..).zip(Part::operators()) {
        let stopped = Node::named(NODE).without_kubelet();
        replica.end();
        let value = format!("t-{number}");
        alone.apply(&app(&value));
        alone.wait_content("token", &value);
        drop(stopped);
        replica.wait_restarted();
        wait_system();
    }
}

const NODE: &str = "node-b";
