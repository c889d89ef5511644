//! A key of Vault's Transit engine, in a real OpenBao: how often it is asked, with what rights, and
//! what happens while it does not answer.

mod faults;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use secretvault_e2e::{Bao, KeyProvider, Namespace, Pod, Vault, condition, eventually};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-transit";

fn vault(provider: &KeyProvider) -> Vault {
    Vault::named("app")
        .text("token", VALUE)
        .spec("keyProvider", json!(provider.name()))
}

/// As many pods as two nodes hold beside all other tests: the 200 would not fit. What is
/// counted does not depend on it: without the cache there would be one request for each.
const PODS: usize = 60;

#[test]
fn all_pods_of_a_vault_cost_one_decrypt_for_each_replica_that_serves_them() {
    let namespace = Namespace::create("transit-count");
    let key = Bao::shared().key(namespace.name());
    let provider = KeyProvider::transit(namespace.name(), &key.transit()).ready();
    vault(&provider).text("other", VALUE).store(&namespace);
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "app"}},
            "template": template(),
        },
    });
    let _ = namespace.apply(&deployment.to_string()).expect_success();
    let rollout = ["rollout", "status", "deployment/app", "--timeout=8m"];
    let _ = namespace.kubectl(&rollout).expect_success();
    let data_key = &vault(&provider).stored(&namespace)["spec"]["dataKey"];
    let wrapped = data_key["wrapped"].as_str().unwrap();
    let decrypts = key.requests("decrypt", wrapped);
    // A replica that wrapped it needs none.
    assert!(
        decrypts <= 2,
        "{decrypts} decrypts for {PODS} pods and two replicas"
    );
    // The control: this counts. A ciphertext of its own, which no replica decrypts.
    let script = format!(
        "c=$(bao write -field=ciphertext transit/encrypt/{0} plaintext=b3du) &&
         bao write transit/decrypt/{0} ciphertext=$c >/dev/null && echo $c",
        key.name()
    );
    let own = key.bao.sh(&script).expect_success();
    assert_eq!(key.requests("decrypt", own.trim()), 1);
}

fn template() -> Value {
    let read = "cat /run/secrets/token /run/secrets/other && exec sleep infinity";
    let pod = Pod::mounting("app", "app");
    let pod = pod.with("/spec/containers/0/command", json!(["sh", "-c", read]));
    let mut pod: Value = serde_json::from_str(&pod.manifest()).unwrap();
    pod["metadata"] = json!({"labels": {"app": "app"}});
    json!({"metadata": pod["metadata"], "spec": pod["spec"]})
}

#[test]
fn with_the_server_down_cached_vaults_go_on_and_others_wait_and_say_why() {
    let namespace = Namespace::create("transit-down");
    let bao = Arc::new(Bao::start());
    let key = bao.key(namespace.name());
    let cached = KeyProvider::transit(namespace.name(), &key.transit()).ready();
    let mut forgetful = key.transit();
    forgetful["cacheFor"] = json!("1s");
    let forgetful = KeyProvider::transit(&format!("{}-1s", namespace.name()), &forgetful).ready();
    let waiting = vault(&forgetful).renamed("waiting");
    vault(&cached).store(&namespace);
    waiting.store(&namespace);
    let before = waiting.wait_ready(&namespace);
    // The agent of a node keeps to one replica, which has opened the data key from now on.
    let pod = |name: &str, vaults: &str| Pod::mounting(name, vaults).on("node-a");
    pod("first", "app").run(&namespace);
    thread::sleep(Duration::from_secs(2));

    bao.stop();
    let second = pod("second", "app");
    second.run(&namespace);
    assert_eq!(second.read(&namespace, "token"), VALUE);
    let third = pod("third", "waiting");
    third.create(&namespace);
    third.wait_event(&namespace, "does not answer");
    let down = forgetful.wait("Ready", "False", "Unreachable");
    let message = condition(&down, "Ready")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains(&bao.address()), "{message}");
    let says = [
        "ServiceUnavailable",
        "no usable key: ",
        forgetful.name(),
        "does not answer",
    ];
    let new = waiting.clone().renamed("new");
    eventually("no replica takes a new vault", || {
        let dry_run = ["create", "--dry-run=server", "-f", "-"];
        let answer = namespace.kubectl_with(&dry_run, &new.manifest());
        if answer.succeeded {
            Err(answer)
        } else {
            Ok(())
        }
    });
    new.create(&namespace).expect_refusal(&says, VALUE);
    assert!(!new.is_stored(&namespace));
    let edit = waiting.clone().text("token", "another-value");
    // Client-side apply prints the patch that it sent.
    edit.replace(&namespace)
        .expect_refusal(&says, "another-value");
    let told = waiting.wait_condition(&namespace, "False");
    assert_eq!(condition(&told, "Ready")["reason"], "KeyUnavailable");
    let message = condition(&told, "Ready")["message"].to_string();
    assert!(message.contains("does not answer"), "{message}");
    assert_eq!(told["spec"], before["spec"]);

    bao.restart();
    third.wait_ready(&namespace);
    assert_eq!(third.read(&namespace, "token"), VALUE);
    waiting.wait_ready(&namespace);
    forgetful.wait("Ready", "True", "");
}

#[test]
fn a_token_that_was_taken_away_is_made_anew_by_another_login() {
    let namespace = Namespace::create("transit-login");
    let key = Bao::shared().key(namespace.name());
    let provider = KeyProvider::transit(namespace.name(), &key.transit()).ready();
    vault(&provider).store(&namespace);
    let role = format!("auth/kubernetes/login role {}", key.name());
    // Every token of this role, of all replicas, by their accessors.
    let revoke = format!(
        "for accessor in $(bao list -format=json auth/token/accessors | tr -d '[]\", ')
         do bao token lookup -accessor $accessor 2>/dev/null | grep -q '\\b{}\\b' &&
           bao token revoke -accessor $accessor >/dev/null && echo revoked || true; done",
        key.name()
    );
    let revoked = key.bao.sh(&revoke).expect_success();
    assert!(revoked.contains("revoked"), "no token of {role}: {revoked}");
    eventually("a vault is sealed with another token", || {
        let vault = vault(&provider).renamed("later");
        vault.apply(&namespace).into_result()
    });
    let pod = Pod::mounting("app", "later");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "token"), VALUE);
    provider.wait("Ready", "True", "");
}

#[test]
fn the_status_of_a_transit_provider_says_what_is_known_of_it() {
    let namespace = Namespace::create("transit-status");
    let key = Bao::shared().key(namespace.name());
    let provider = KeyProvider::transit(namespace.name(), &key.transit()).ready();
    vault(&provider).store(&namespace);
    let status = eventually("the provider counts its vault", || {
        let status = provider.stored()["status"].clone();
        if status["vaults"] == 1 {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    });
    let cluster =
        secretvault_e2e::kubectl(&["get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(status["scope"], cluster.expect_success());
    assert_eq!(status["primaryKeyId"], "v1");
    let source = status["keyringSource"].as_str().unwrap();
    for text in [key.name(), &key.bao.address(), "etcd yields nothing"] {
        assert!(source.contains(text), "{text}: {source}");
    }
    // The vault's status too, and nothing of it is the wrapped key.
    let stored = vault(&provider).wait_ready(&namespace);
    assert_eq!(stored["spec"]["dataKey"]["keyId"], "v1");
    let wrapped = stored["spec"]["dataKey"]["wrapped"].as_str().unwrap();
    assert!(wrapped.starts_with("vault:v1:"), "{wrapped}");
    assert!(!stored["status"].to_string().contains(wrapped));
}
