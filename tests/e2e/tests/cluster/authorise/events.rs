//! What the people who wait for a refused pod see, and that it starts once it may.

use secretvault_e2e::{Namespace, Pod, Vault};
use serde_json::{Value, json};

use super::scene::Bystander;

/// Makes a service account.
fn account(namespace: &Namespace, name: &str) {
    let _ = namespace
        .kubectl(&["create", "serviceaccount", name])
        .expect_success();
}

/// What kubelet said about mounts that failed.
fn failed_mounts(namespace: &Namespace, pod: &Pod) -> Vec<String> {
    let selector = format!("involvedObject.name={},reason=FailedMount", pod.name());
    let events = ["get", "events", "--field-selector", &selector, "-o", "json"];
    let events = namespace.kubectl(&events).expect_success();
    let events: Value = serde_json::from_str(&events).unwrap();
    let events = events["items"].as_array().unwrap();
    let messages = events.iter().map(|event| event["message"].as_str());
    messages.map(|it| it.unwrap().to_owned()).collect()
}

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_refused_pods_first_event_says_why_and_the_pod_starts_by_itself_once_it_may() {
    // Beside eleven other tests a first mount may time out, which is an Event of its own.
    let namespace = Namespace::create("waiting");
    account(&namespace, "web");
    let rules =
        json!([{"serviceAccounts": ["web"], "podSelector": {"matchLabels": {"app": "shop"}}}]);
    let vault = Vault::named("app").text("password", "hunter2");
    let closed = vault.clone().spec("access", rules);
    closed.store(&namespace);
    let allowed = Pod::mounting("allowed", "app").service_account("web");
    let allowed = allowed.label("app", "shop");
    allowed.create(&namespace);
    let refused = Pod::mounting("refused", "app").service_account("web");
    refused.create(&namespace);

    let reason = format!(
        "vault {0}/app allows this pod no entry: its access has no rule for service account {0}/web with these labels",
        namespace.name()
    );
    let _ = refused.wait_event(&namespace, &reason);
    for message in failed_mounts(&namespace, &refused) {
        assert!(
            message.contains(&reason),
            "an Event without the reason: {message}"
        );
    }
    // The control differs in its label.
    allowed.wait_ready(&namespace);
    assert_eq!(failed_mounts(&namespace, &allowed), Vec::<String>::new());

    vault.store(&namespace);
    refused.wait_ready(&namespace);
    assert_eq!(refused.read(&namespace, "password"), "hunter2");
}

#[test]
fn the_events_of_a_missing_and_of_a_forbidden_vault_of_another_namespace_differ_in_its_name_only() {
    let [home, palace] = ["events", "events-palace"].map(Namespace::create);
    account(&home, "web");
    let treasure = Vault::named("treasure").text("gold", "g");
    let _ = treasure.apply(&palace).expect_success();
    let [forbidden, missing] = ["treasure", "nothing"].map(|name| {
        let pod = Pod::mounting(name, &format!("{}/{name}", palace.name()));
        let pod = pod.service_account("web");
        pod.create(&home);
        pod
    });
    let words = |pod: &Pod| {
        let reason = "does not exist or does not allow this pod";
        let _ = pod.wait_event(&home, reason);
        // Beside other tests a mount may time out first, which is an Event of its own.
        let messages = failed_mounts(&home, pod);
        let told = messages.iter().find(|message| message.contains(reason));
        told.unwrap().replace(pod.name(), "VAULT")
    };
    assert_eq!(words(&forbidden), words(&missing));
    // The control: where a rule allows it, it is there.
    let rules = json!([{"namespaces": {"names": [home.name()]}}]);
    let _ = treasure
        .spec("access", rules)
        .apply(&palace)
        .expect_success();
    forbidden.wait_ready(&home);
    assert_eq!(forbidden.read(&home, "gold"), "g");
}

/// A pod's author writes `volumeAttributes`; kubelet passes them on beside its own.
#[test]
fn a_token_written_into_the_volumes_attributes_is_refused() {
    let namespace = Namespace::create("smuggled");
    account(&namespace, "nobody");
    let rules = json!([{"serviceAccounts": ["web"]}]);
    let vault = Vault::named("app").text("password", "hunter2");
    vault.spec("access", rules).store(&namespace);
    let web = Bystander::create(&namespace, "bystander", "web");
    let stolen = json!({
        secretvault_delivery::POD_AUDIENCE: {
            "token": web.token().text(),
            "expirationTimestamp": "2099-01-01T00:00:00Z",
        },
    });
    let pod = |name: &str, account: &str| Pod::mounting(name, "app").service_account(account);
    let smuggling = |name: &str, account: &str| {
        let attributes = json!({
            "vaults": "app",
            "csi.storage.k8s.io/serviceAccount.tokens": stolen.to_string(),
        });
        pod(name, account).with("/spec/volumes/0/csi/volumeAttributes", attributes)
    };
    let attack = smuggling("attack", "nobody");
    let owner = smuggling("owner", "web");
    let honest = pod("honest", "nobody");
    let control = pod("control", "web");
    for pod in [&attack, &owner, &honest, &control] {
        pod.create(&namespace);
    }

    let reason = "a service-account token came as a volume attribute";
    for pod in [&attack, &owner] {
        let _ = pod.wait_event(&namespace, reason);
    }
    let _ = honest.wait_event(&namespace, "its access has no rule for service account");
    control.wait_ready(&namespace);
    assert_eq!(control.read(&namespace, "password"), "hunter2");
    for pod in [&attack, &owner, &honest] {
        let pod = namespace.get(&format!("pod/{}", pod.name()));
        assert_eq!(pod["status"]["phase"], "Pending");
    }
}
