//! What RBAC cannot say of the operator's rights: the API server holds it to that, whoever has its
//! token.

use secretvault_e2e::{Answer, Namespace, SYSTEM, Vault, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};

use crate::attacker::{Bound, OPERATOR, kubectl_as, mint, part_of_system};
use crate::schema::other_authority;

const VALUE: &str = "hunter2-policies";

/// kubectl with the operator's own token, changing nothing.
fn as_operator(arguments: &[&str], input: &str) -> Answer {
    let pod = Bound::to_pod(&part_of_system(OPERATOR, None));
    let token = mint(SYSTEM, OPERATOR, "", pod);
    kubectl_as(&token, &[arguments, &["--dry-run=server"]].concat(), input)
}

fn patch(namespace: &Namespace, patch: &Value) -> Answer {
    let patch = patch.to_string();
    let object = [
        "patch",
        "sv/app",
        "--type=merge",
        "-o",
        "json",
        "-p",
        &patch,
    ];
    as_operator(&[&["-n", namespace.name()], &object[..]].concat(), "")
}

#[test]
fn the_operator_may_change_how_a_vault_is_sealed_and_nothing_else_of_it() {
    let namespace = Namespace::create("policies");
    let vault = Vault::named("app")
        .text("token", VALUE)
        .text("other", VALUE)
        .public("host", "db")
        .label("team", "shop");
    vault.store(&namespace);
    let stored = vault.stored(&namespace);
    let spec = |field: &str, value: Value| json!({"spec": {field: value}});
    let other = stored["spec"]["data"]["other"].clone();
    let sealed = "may change nothing of a vault but how it is sealed";
    let anew = "may only have all entries of a vault sealed anew";
    let metadata = "may not change a vault's metadata";
    // Admission says so, before the policy does.
    let stays = "is not as it is stored";
    let cases = [
        // Admission refuses this one to everybody without the right.
        (
            spec("access", json!([{"serviceAccounts": ["*"]}])),
            "manage",
        ),
        (spec("onDelete", json!("Remove")), sealed),
        (spec("description", json!("words")), sealed),
        (spec("publicData", json!({"host": "evil"})), sealed),
        (spec("freshEnvelopes", json!(true)), sealed),
        (spec("rekeyAfter", json!("1d")), sealed),
        (spec("data", json!({"other": null})), anew),
        (spec("data", json!({"more": "value"})), stays),
        (spec("data", json!({"token": "forged"})), stays),
        (spec("binaryData", json!({"more": "AAAA"})), stays),
        (
            json!({"spec": {"dataKey": {"rekey": 1}, "data": {"token": "forged"}}}),
            stays,
        ),
        (json!({"metadata": {"labels": {"team": "other"}}}), metadata),
        (json!({"metadata": {"annotations": {"a": "b"}}}), metadata),
        (
            json!({"metadata": {"finalizers": ["a.example/b"]}}),
            metadata,
        ),
    ];
    for (change, says) in cases {
        let refused = patch(&namespace, &change).expect_failure();
        assert!(refused.contains(says), "{change}: {refused}");
    }
    // What it is for: a new data key, under which admission seals all of it anew.
    let rekeyed = patch(&namespace, &json!({"spec": {"dataKey": {"rekey": 1}}}));
    let rekeyed: Value = serde_json::from_str(&rekeyed.expect_success()).unwrap();
    assert_eq!(rekeyed["spec"]["dataKey"]["rekey"], 1);
    assert_ne!(rekeyed["spec"]["data"]["other"], other);
    // Others may do what the policy forbids.
    let relabel = [
        "label",
        "sv/app",
        "team=other",
        "--overwrite",
        "--dry-run=server",
    ];
    let _ = namespace.kubectl(&relabel).expect_success();
}

/// A Secret of two keys in the operator's namespace. Deleted when it drops.
struct Secret(String);

impl Secret {
    fn manifest(&self, kind: &str, data: &Value) -> String {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind, "stringData": data,
            "metadata": {"name": self.0, "namespace": SYSTEM},
        })
        .to_string()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = kubectl(&["-n", SYSTEM, "delete", "secret", &self.0]);
    }
}

#[test]
fn the_operator_may_write_keyrings_and_nothing_that_others_act_upon() {
    let namespace = Namespace::create("policies");
    let secret = Secret(namespace.name().to_owned());
    let both = json!({"one": "1", "two": "2"});
    let create = |kind: &str| {
        let manifest = secret.manifest(kind, &both);
        as_operator(&["create", "-f", "-"], &manifest)
    };
    let refused = create("helm.sh/release.v1").expect_failure();
    assert!(
        refused.contains("only write Secrets of type Opaque"),
        "{refused}"
    );
    let _ = create("Opaque").expect_success();

    let manifest = secret.manifest("Opaque", &both);
    let _ = kubectl_with(&["create", "-f", "-"], &manifest).expect_success();
    let replace = |data: &Value| {
        let manifest = secret.manifest("Opaque", data);
        as_operator(&["replace", "-f", "-"], &manifest)
    };
    let refused = replace(&json!({"one": "1"})).expect_failure();
    assert!(
        refused.contains("may not take a key out of a Secret"),
        "{refused}"
    );
    let _ = replace(&json!({"one": "changed", "two": "2", "three": "3"})).expect_success();
    // The authority's next key goes when it becomes the one that signs; no other does.
    let authority = ["-n", SYSTEM, "get", "secret/secretvault-ca", "-o", "json"];
    let mut authority: Value = serde_json::from_str(&kubectl(&authority).expect_success()).unwrap();
    authority["data"].as_object_mut().unwrap().remove("tls.key");
    let refused = as_operator(&["replace", "-f", "-"], &authority.to_string());
    let refused = refused.expect_failure();
    assert!(
        refused.contains("may not take a key out of a Secret"),
        "{refused}"
    );
    // The releases that are there.
    let releases = [
        "-n",
        SYSTEM,
        "get",
        "secrets",
        "-l",
        "owner=helm",
        "-o",
        "json",
    ];
    let releases: Value = serde_json::from_str(&kubectl(&releases).expect_success()).unwrap();
    let release = &releases["items"][0];
    assert_eq!(release["type"], "helm.sh/release.v1");
    eventually("a release is out of reach", || {
        let answer = as_operator(&["replace", "-f", "-"], &release.to_string());
        if answer.stderr.contains("only write Secrets of type Opaque") {
            Ok(())
        } else {
            Err(answer.stderr)
        }
    });
}

#[test]
fn the_operator_may_renew_the_authority_of_its_webhook_and_nothing_else_of_it() {
    let webhook = |number: usize, field: &str| format!("/webhooks/{number}/{field}");
    let set = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let remove = |path: &str| json!([{"op": "remove", "path": path}]);
    let url = "https://thief.example/";
    let only = "may change nothing of its webhook but its caBundle";
    let metadata = "may not change its webhook's metadata";
    let cases = [
        (set(&webhook(0, "clientConfig"), json!({"url": url})), only),
        (
            set(&webhook(0, "clientConfig/service/name"), json!("thief")),
            only,
        ),
        (set(&webhook(0, "rules/0/resources"), json!(["*"])), only),
        (set(&webhook(0, "failurePolicy"), json!("Ignore")), only),
        (remove(&webhook(3, "matchConditions")), only),
        (remove(&webhook(3, "namespaceSelector")), only),
        (remove("/webhooks/1"), only),
        (set("/metadata/labels/team", json!("other")), metadata),
    ];
    let patch = |patch: &Value| {
        let patch = patch.to_string();
        let name = "mutatingwebhookconfiguration/00-secretvault";
        as_operator(&["patch", name, "--type=json", "-p", &patch], "")
    };
    for (change, says) in cases {
        let refused = patch(&change).expect_failure();
        assert!(refused.contains(says), "{change}: {refused}");
    }
    let authority = set(&webhook(0, "clientConfig/caBundle"), other_authority());
    let _ = patch(&authority).expect_success();
}
