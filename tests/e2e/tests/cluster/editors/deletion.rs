//! Who deletes a vault deletes its entries: what a person may not do by it, and what the cluster may.

use secretvault_e2e::{Namespace, PATIENCE, Vault, eventually, eventually_within, kubectl};
use serde_json::json;

use super::people::{ADMIN, DBA, JANE, STRANGER, Who};
use super::{PASSWORD, store, vault};

const WHOLE: &str = "does not let you delete the vault (delete db/password, delete smtp/host, \
                     delete smtp/token)";

#[test]
fn a_vault_with_editors_is_deleted_by_whom_each_entry_could_be() {
    let namespace = Namespace::create("editors");
    let _ = store(&namespace);
    let _ = Vault::named("other")
        .text("a", "1")
        .apply(&namespace)
        .expect_success();
    let jane = Who::bound(&namespace, JANE, "edit");
    let says = ["Forbidden", WHOLE, "\"manage\""];
    for delete in [
        &["delete", "sv/app"][..],
        &["delete", "sv/app", "--dry-run=server"],
        &["delete", "sv/app", "--cascade=orphan"],
        &["delete", "sv/app", "--force", "--grace-period=0"],
    ] {
        let _ = jane.kubectl(delete).expect_refusal(&says, PASSWORD);
    }
    // Many in one request: those without editors go.
    let all = jane.kubectl(&["delete", "sv", "--all"]);
    let _ = all.expect_refusal(&says, PASSWORD);
    let collection = format!(
        "/apis/secretvault.dev/v1alpha1/namespaces/{}/secretvaults",
        namespace.name()
    );
    let collection = jane.kubectl(&["delete", "--raw", &collection]);
    let _ = collection.expect_refusal(&["does not let you delete the vault"], PASSWORD);
    assert!(vault(&namespace).is_stored(&namespace));
    assert!(!Vault::named("other").is_stored(&namespace));
    // Dora may delete db/* and is now let delete the rest too.
    let dora = Who::bound(&namespace, DBA, "edit");
    let says = "does not let you delete the vault (delete smtp/host, delete smtp/token)";
    let _ = dora
        .kubectl(&["delete", "sv/app"])
        .expect_refusal(&[says], PASSWORD);
    let admin = Who::bound(&namespace, ADMIN, "admin");
    let rules = json!([{"users": ["dora"], "verbs": ["delete"]}]);
    let _ = admin.patch(&json!({"editors": rules})).expect_success();
    let _ = dora.kubectl(&["delete", "sv/app"]).expect_success();
    assert!(!vault(&namespace).is_stored(&namespace));
}

#[test]
fn whoever_manages_a_vault_deletes_it() {
    let namespace = Namespace::create("editors");
    let _ = store(&namespace);
    let admin = Who::bound(&namespace, ADMIN, "admin");
    let _ = admin.kubectl(&["delete", "sv/app"]).expect_success();
    assert!(!vault(&namespace).is_stored(&namespace));
}

/// A vault that has lost its owner is deleted by the cluster.
#[test]
fn an_editor_does_not_have_the_cluster_delete_the_vault() {
    let namespace = Namespace::create("editors");
    let _ = store(&namespace);
    let stranger = Who::bound(&namespace, STRANGER, "edit");
    let admin = Who::bound(&namespace, ADMIN, "admin");
    let owner = ["create", "configmap", "owner"];
    let _ = namespace.kubectl(&owner).expect_success();
    let uid = namespace.field("configmap/owner", "{.metadata.uid}");
    let owners = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid},
    ]}})
    .to_string();
    let patch = ["patch", "sv/app", "--type=merge", "-p", &owners];
    let says = "spec.editors does not let you change metadata.ownerReferences";
    let _ = stranger
        .kubectl(&patch)
        .expect_refusal(&["Forbidden", says], PASSWORD);
    // Whoever manages it may, and then it goes with its owner.
    let _ = admin.kubectl(&patch).expect_success();
    let _ = namespace
        .kubectl(&["delete", "configmap", "owner"])
        .expect_success();
    eventually("the vault goes with its owner", || {
        if vault(&namespace).is_stored(&namespace) {
            Err("it is there")
        } else {
            Ok(())
        }
    });
}

#[test]
fn a_namespace_goes_with_its_vaults_that_have_editors() {
    let namespace = Namespace::create("editors");
    let _ = store(&namespace);
    wait_gone(&namespace);
}

/// Deletes a namespace, and waits until the cluster has done it.
fn wait_gone(namespace: &Namespace) {
    let delete = ["delete", "namespace", namespace.name(), "--wait=false"];
    let _ = kubectl(&delete).expect_success();
    let object = format!("namespace/{}", namespace.name());
    // Among many namespaces that go at once, this takes a while.
    let patience = 3 * PATIENCE;
    eventually_within(patience, "the namespace goes", || {
        match namespace.try_get(&object) {
            Ok(left) => Err(left["status"].to_string()),
            Err(error) if error.contains("NotFound") => Ok(()),
            Err(error) => Err(error),
        }
    });
}

/// Vaults with editors and without, to be deleted while the operator is down.
pub(crate) struct Vaults {
    namespace: Namespace,
    other: Namespace,
    admin: Who,
}

impl Vaults {
    const DELETE: [&str; 2] = ["delete", "sv/app"];

    pub(crate) fn before() -> Self {
        let (namespace, other) = (Namespace::create("editors"), Namespace::create("editors"));
        let _ = store(&namespace);
        let _ = store(&other);
        let open = Vault::named("open").text("a", "1");
        let _ = open.apply(&namespace).expect_success();
        let admin = Who::bound(&namespace, ADMIN, "admin");
        Self {
            namespace,
            other,
            admin,
        }
    }

    /// Nobody can be asked, so nobody may; but what nobody would be asked about goes.
    pub(crate) fn with_editors_go_with_their_namespace_only(&self) {
        let open = self.admin.kubectl(&["delete", "sv/open"]);
        let _ = open.expect_success();
        let says = ["failed calling webhook", "removals.secretvault.dev"];
        let app = self.admin.kubectl(&Self::DELETE);
        let _ = app.expect_refusal(&says, PASSWORD);
        assert!(vault(&self.namespace).is_stored(&self.namespace));
        wait_gone(&self.other);
    }

    pub(crate) fn go(&self) {
        let _ = self.admin.kubectl(&Self::DELETE).expect_success();
    }
}
