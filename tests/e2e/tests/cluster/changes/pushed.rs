//! Changes reach a running pod by themselves. In these tests the node's kubelet is stopped, so that
//! no republish can have brought them.

use secretvault_e2e::{
    Namespace, NodeVolume, Part, Pod, Vault, WithoutKubelet, eventually, wait_system,
};
use serde_json::json;

/// A pod whose kubelet has stopped. Its container runs on.
struct Alone {
    namespace: Namespace,
    volume: NodeVolume,
    stopped: Option<WithoutKubelet>,
}

impl Alone {
    fn start(prefix: &str, vault: &Vault, pod: &Pod) -> Self {
        let namespace = Namespace::create(prefix);
        vault.store(&namespace);
        pod.run(&namespace);
        Self::stop_kubelet(namespace)
    }

    fn stop_kubelet(namespace: Namespace) -> Self {
        let volume = NodeVolume::of(&namespace, "app");
        Self {
            stopped: Some(volume.node.without_kubelet()),
            namespace,
            volume,
        }
    }

    fn start_kubelet(mut self) -> Namespace {
        drop(self.stopped.take());
        self.namespace
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
}

fn app(value: &str) -> Vault {
    Vault::named("app").text("token", value)
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn edits_arrive_one_after_the_other_although_kubelet_never_asks() {
    let pod = Pod::mounting("app", "app");
    let alone = Alone::start("changes-pushed", &app("t-0"), &pod);
    for number in 1..=5 {
        let value = format!("t-{number}");
        alone.apply(&app(&value));
        alone.wait_content("token", &value);
    }
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_right_that_is_withdrawn_takes_its_files_away_although_kubelet_never_asks() {
    let only = |entries: &[&str]| {
        let access = json!([{"serviceAccounts": ["default"], "entries": entries}]);
        let vault = app("t-1").text("other", "o-1");
        vault
            .spec("onDelete", json!("Retain"))
            .spec("access", access)
    };
    let pod = Pod::mounting("app", "app");
    let alone = Alone::start("changes-right", &only(&["token", "other"]), &pod);
    assert_eq!(alone.names(), ["other", "token"]);
    alone.apply(&only(&["other"]));
    eventually("the file goes", || {
        let names = alone.names();
        if names == ["other"] {
            Ok(())
        } else {
            Err(names)
        }
    });
    let nobody = app("t-1").spec("access", json!([{"serviceAccounts": ["somebody-else"]}]));
    alone.apply(&nobody);
    eventually("all files go", || {
        let names = alone.names();
        if names.is_empty() { Ok(()) } else { Err(names) }
    });
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn an_optional_vault_comes_when_it_is_made_and_goes_when_it_is_deleted() {
    let vaults = "[{vault: app}, {vault: later, optional: true}]";
    let pod = Pod::mounting("app", vaults);
    let alone = Alone::start("changes-optional", &app("t-1"), &pod);
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
    eventually("its file goes", || {
        let names = alone.names();
        if names == ["token"] {
            Ok(())
        } else {
            Err(names)
        }
    });
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn the_death_of_either_replica_leaves_no_volume_stale() {
    let namespace = Namespace::create("changes-replica");
    app("t-0").store(&namespace);
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    // One of the two holds the stream of the pod's node.
    let mut namespace = namespace;
    for (number, replica) in (1..).zip(Part::operators()) {
        let alone = Alone::stop_kubelet(namespace);
        replica.end();
        let value = format!("t-{number}");
        alone.apply(&app(&value));
        alone.wait_content("token", &value);
        namespace = alone.start_kubelet();
        replica.wait_restarted();
        wait_system();
    }
}
