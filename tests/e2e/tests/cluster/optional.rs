//! Vaults that a volume may do without.

use secretvault_e2e::{Namespace, Pod, Vault};
use serde_json::json;

#[test]
fn a_pod_starts_without_an_optional_vault_and_gets_its_files_when_it_is_there() {
    let namespace = Namespace::create("optional");
    Vault::named("app").text("own", "o-1").store(&namespace);
    let pod = Pod::mounting("app", "[{vault: app}, {vault: extra, optional: true}]");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "own"), "o-1");
    let missing = format!("optional vault {}/extra does not exist", namespace.name());
    let _ = pod.wait_event(&namespace, &missing);
    // The control is not optional, and waits.
    let control = Pod::mounting("control", "app, extra");
    control.create(&namespace);
    let missing = format!("vault {}/extra does not exist", namespace.name());
    control.wait_refused(&namespace, &missing);
    let extra = Vault::named("extra").text("more", "m-1");
    extra.store(&namespace);
    pod.wait_content(&namespace, "more", "m-1");
    control.wait_ready(&namespace);
    extra.text("more", "m-2").store(&namespace);
    pod.wait_content(&namespace, "more", "m-2");
}

#[test]
fn a_volume_of_nothing_but_a_missing_optional_vault_is_empty() {
    let namespace = Namespace::create("optional-alone");
    let pod = Pod::mounting("app", "[{vault: extra, optional: true}]");
    pod.run(&namespace);
    let files = namespace.sh("app", "find -L /run/secrets -type f -not -path '*/..*'");
    assert_eq!(files.expect_success(), "");
    let extra = Vault::named("extra").text("more", "m-1");
    extra.store(&namespace);
    pod.wait_content(&namespace, "more", "m-1");
}

/// A pod must not start without its password because another vault is missing.
#[test]
fn an_optional_vault_makes_no_item_optional() {
    let namespace = Namespace::create("optional-item");
    Vault::named("app").text("own", "o-1").store(&namespace);
    let vaults = "[{vault: app}, {vault: extra, optional: true}]";
    let pod = Pod::mounting("app", vaults).attribute("items", "own, password");
    pod.create(&namespace);
    let _ = pod.wait_event(&namespace, "entry password is not in vault");
    let items = "[{entry: own}, {entry: password, optional: true}]";
    Pod::mounting("control", vaults)
        .attribute("items", items)
        .run(&namespace);
    let extra = Vault::named("extra").text("password", "p-1");
    extra.store(&namespace);
    pod.wait_ready(&namespace);
    assert_eq!(pod.read(&namespace, "password"), "p-1");
}

#[test]
fn an_optional_vault_of_another_namespace_is_told_alike_whether_it_is_there_or_not() {
    let [home, palace] = ["optional-home", "optional-palace"].map(Namespace::create);
    let treasure = Vault::named("treasure").text("gold", "g");
    let _ = treasure.apply(&palace).expect_success();
    Vault::named("app").text("own", "o-1").store(&home);
    let pod = |name: &str| {
        let other = format!("{{vault: {}/{name}, optional: true}}", palace.name());
        Pod::mounting(name, &format!("[{{vault: app}}, {other}]"))
    };
    let words = |pod: &Pod| {
        pod.run(&home);
        let events = pod.wait_event(&home, "optional vault");
        let line = events.lines().find(|line| line.contains("optional vault"));
        line.unwrap().replace(pod.name(), "VAULT")
    };
    assert_eq!(words(&pod("treasure")), words(&pod("nothing")));
    // The control: where a rule allows it, it is there.
    let rules = json!([{"namespaces": {"names": [home.name()]}}]);
    let _ = treasure
        .spec("access", rules)
        .apply(&palace)
        .expect_success();
    let late = Pod::mounting(
        "late",
        &format!("[{{vault: {}/treasure, optional: true}}]", palace.name()),
    );
    late.run(&home);
    late.wait_content(&home, "gold", "g");
}
