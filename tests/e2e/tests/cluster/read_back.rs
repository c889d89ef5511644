//! Reading back: what is public anyone who may read the vault reads, what is private nobody, through no API.
//!
//! Whoever asks here is the cluster's administrator, who may do everything. All answers are searched for the
//! private value in every form; and for the public one, so that a search that sees nothing would show.

mod answers;
mod api;
mod audit_policy;
mod debug;
mod webhook;

use secretvault_e2e::{Namespace, Pod, Vault, kubectl};
use serde_json::Value;

use self::answers::Answers;
use crate::canary::random_text;

/// A vault with a private and a public entry, which a pod shows.
struct Scene {
    namespace: Namespace,
    private: String,
    public: String,
    vault: Vault,
}

impl Scene {
    fn create(prefix: &str) -> Self {
        let namespace = Namespace::create(prefix);
        let [private, public] = [(); 2].map(|()| random_text());
        let vault = Vault::named("app")
            .text("password", &private)
            .public("host", &public);
        let _ = vault.apply(&namespace).expect_success();
        Self {
            namespace,
            private,
            public,
            vault,
        }
    }

    fn answers(&self) -> Answers {
        Answers::searched_for(&self.private, &self.public)
    }

    /// Where the API server has the vault.
    fn path(&self) -> String {
        let namespace = self.namespace.name();
        format!("/apis/secretvault.dev/v1alpha1/namespaces/{namespace}/secretvaults")
    }
}

#[test]
fn a_public_entry_is_for_whoever_may_read_the_vault_and_is_mounted_like_any_other() {
    let scene = Scene::create("public");
    let namespace = &scene.namespace;
    let pod = Pod::mounting("app", "app");
    pod.create(namespace);
    let binding = [
        "create",
        "rolebinding",
        "viewer",
        "--clusterrole=view",
        "--user=viewer",
    ];
    let _ = namespace.kubectl(&binding).expect_success();
    let path = "jsonpath={.spec.publicData.host}";
    let read = |user| namespace.kubectl(&["get", "sv", "app", "-o", path, "--as", user]);
    secretvault_e2e::eventually("the viewer may look", || read("viewer").into_result());
    assert_eq!(read("viewer").expect_success(), scene.public);
    let refused = read("stranger").expect_failure();
    assert!(refused.contains("forbidden"), "{refused}");
    // Of the private one the same person sees an envelope.
    let path = "jsonpath={.spec.data.password}";
    let sealed = namespace.kubectl(&["get", "sv", "app", "-o", path, "--as", "viewer"]);
    let sealed = sealed.expect_success();
    assert!(sealed.starts_with("sv1:"), "{sealed}");
    pod.wait_ready(namespace);
    assert_eq!(pod.read(namespace, "host"), scene.public);
    assert_eq!(pod.read(namespace, "password"), scene.private);
}

#[test]
fn no_api_reads_a_private_value_back() {
    let scene = Scene::create("private");
    // So that there are Events, lines in logs and a consumer in status.
    let pod = Pod::mounting("app", "app");
    pod.run(&scene.namespace);
    assert_eq!(
        pod.read(&scene.namespace, "password"),
        scene.private,
        "it is there"
    );
    let mut answers = scene.answers();
    api::get_and_list(&scene, &mut answers);
    api::watch(&scene, &mut answers);
    api::patch(&scene, &mut answers);
    api::apply_envelope(&scene, &mut answers);
    api::status_events_and_logs(&scene, &mut answers);
    debug::every_port_and_path(&scene, &mut answers);
    webhook::forged_reviews(&scene, &mut answers);
    answers.judge();
}

/// The search itself can fail: a value that was sent as public is found where the private one is not.
#[test]
#[should_panic(expected = "the private value is in get")]
fn a_private_value_in_an_answer_is_noticed() {
    let scene = Scene::create("noticed");
    // As if the private value were the public one.
    let mut answers = Answers::searched_for(&scene.public, &scene.public);
    answers.with_public(
        "get",
        &scene.namespace.kubectl(&["get", "sv", "app", "-o", "json"]),
    );
    answers.judge();
}

/// A stored vault, as JSON.
fn stored(scene: &Scene) -> Value {
    scene.vault.stored(&scene.namespace)
}

/// Every pod of SecretVault.
fn parts() -> Vec<Value> {
    let system = secretvault_e2e::SYSTEM;
    let pods = kubectl(&["-n", system, "get", "pods", "-o", "json"]).expect_success();
    let pods: Value = serde_json::from_str(&pods).expect("JSON");
    pods["items"].as_array().expect("pods").clone()
}
