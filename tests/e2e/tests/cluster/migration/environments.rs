//! One key per environment: which namespaces a provider is for, and which one a namespace has.

use secretvault_e2e::{KeyProvider, Namespace, Pod, Vault, condition, eventually, kubectl};
use serde_json::json;

const VALUE: &str = "hunter2-environments";

fn provider_of(namespace: &Namespace) -> String {
    namespace.field("sv/app", "{.spec.dataKey.provider}")
}

#[test]
fn a_provider_wraps_for_the_namespaces_that_it_allows_and_for_no_other() {
    let production = Namespace::create("environments");
    let staging = Namespace::create("environments");
    let names = json!({"names": [production.name()]});
    let provider = KeyProvider::local(production.name()).spec("allowedNamespaces", names);
    let provider = provider.ready();
    let vault = Vault::named("app").text("token", VALUE);
    let sealed = vault.clone().spec("keyProvider", json!(provider.name()));
    let _ = sealed.apply(&production).expect_success();

    let says = ["spec.keyProvider", staging.name(), provider.name()];
    sealed.apply(&staging).expect_refusal(&says, VALUE);
    assert!(!sealed.is_stored(&staging));
    // By label too.
    let label = format!("keys={}", production.name());
    let _ = kubectl(&["label", "namespace", staging.name(), &label]).expect_success();
    let labels = json!({"allowedNamespaces": {"matchLabels": {"keys": production.name()}}});
    provider.patch(&labels);
    eventually("the label counts", || sealed.apply(&staging).into_result());

    // Narrowed later, nothing that runs or starts is harmed, and the condition says so.
    provider
        .patch(&json!({"allowedNamespaces": {"matchLabels": null, "names": [production.name()]}}));
    let stored = eventually("the vault says so", || {
        let stored = sealed.stored(&staging);
        let current = condition(&stored, "KeyCurrent");
        if current["reason"] == "ProviderNotAllowed" {
            Ok(stored)
        } else {
            Err(current.to_string())
        }
    });
    assert_eq!(condition(&stored, "Ready")["status"], "True");
    let pod = Pod::mounting("app", "app");
    pod.run(&staging);
    assert_eq!(pod.read(&staging, "token"), VALUE);
}

#[test]
fn a_namespace_names_the_provider_of_its_vaults() {
    let namespace = Namespace::create("environments");
    let provider = KeyProvider::local(namespace.name()).ready();
    let annotation = format!("secretvault.dev/key-provider={}", provider.name());
    let annotate = ["annotate", "namespace", namespace.name(), &annotation];
    let _ = kubectl(&annotate).expect_success();
    let vault = Vault::named("app").text("token", VALUE);
    vault.store(&namespace);
    assert_eq!(provider_of(&namespace), provider.name());
    assert_eq!(namespace.field("sv/app", "{.spec.keyProvider}"), "");
    // A vault's own choice counts more.
    let own = vault.clone().spec("keyProvider", json!("default"));
    own.store(&namespace);
    assert_eq!(provider_of(&namespace), "default");
    vault.store(&namespace);
    eventually("the vault is back", || match provider_of(&namespace) {
        same if same == provider.name() => Ok(()),
        other => Err(other),
    });
    // Without the annotation, the vaults move to the default.
    let annotate = [
        "annotate",
        "namespace",
        namespace.name(),
        "secretvault.dev/key-provider-",
    ];
    let _ = kubectl(&annotate).expect_success();
    eventually("the vault has the default", || {
        match provider_of(&namespace).as_str() {
            "default" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    assert!(vault.holds(&namespace, "token", VALUE));
}
