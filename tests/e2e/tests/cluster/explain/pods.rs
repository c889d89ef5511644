use std::collections::BTreeSet;

use secretvault_e2e::{KeyProvider, Namespace, Pod, Vault, eventually, kubectl};
use serde_json::{Value, json};

use super::{File, kubeconfig_of, secretvault, secretvault_with};

/// Two namespaces, and vaults with rules in both.
struct Scene {
    own: Namespace,
    other: Namespace,
}

impl Scene {
    fn set(name: &str) -> Self {
        let scene = Self {
            own: Namespace::create(name),
            other: Namespace::create(&format!("{name}-other")),
        };
        for account in ["web", "batch"] {
            let create = ["create", "serviceaccount", account];
            let _ = scene.own.kubectl(&create).expect_success();
        }
        let labels = ["label", "namespace", scene.own.name(), "team=shop"];
        let _ = kubectl(&labels).expect_success();
        for vault in scene.own_vaults() {
            let _ = vault.apply(&scene.own).expect_success();
        }
        scene.shared().store(&scene.other);
        scene
    }

    fn own_vaults(&self) -> [Vault; 2] {
        let app = Vault::named("app")
            .text("db/password", "p-1")
            .text("smtp/token", "t-1")
            .public("host", "own")
            .spec("fileDefaults", json!({"mode": "0440"}))
            .spec(
                "files",
                json!([{"entry": "db/password", "path": "db_password", "uid": 999, "mode": "0400"}]),
            )
            .spec(
                "access",
                json!([
                    {"serviceAccounts": ["batch"], "entries": ["smtp/**"]},
                    {
                        "description": "the web tier",
                        "serviceAccounts": ["web"],
                        "podSelector": {"matchLabels": {"app": "web"}},
                        "entries": ["db/**", "host"],
                    },
                ]),
            );
        [app, Vault::named("open").text("a", "1").text("b", "2")]
    }

    fn shared(&self) -> Vault {
        let rules = json!([
            {"namespaces": {"names": [self.own.name()]}, "serviceAccounts": ["web"], "entries": ["host", "motd"]},
        ]);
        Vault::named("shared")
            .text("proxy", "p")
            .public("host", "theirs")
            .public("motd", "hello")
            .spec("access", rules)
    }

    fn both(&self) -> String {
        format!("{}/shared, app", self.other.name())
    }

    /// Pods that start.
    fn starting(&self) -> Vec<Pod> {
        let web = |name, vaults: &str| {
            let pod = Pod::mounting(name, vaults).service_account("web");
            pod.label("app", "web")
        };
        let items = "db/password=pw, host=copies/host, host";
        let optional = "[{vault: open, prefix: o}, {vault: gone, optional: true}]";
        vec![
            web("merged", &self.both()),
            web("items", "app").attribute("items", items),
            web("group", &self.both())
                .with("/spec/securityContext", json!({"fsGroup": 2000}))
                .attribute("mode", "0444"),
            Pod::mounting("batch", "app").service_account("batch"),
            Pod::mounting("default", "open").attribute("uid", "7"),
            Pod::mounting("optional", optional),
        ]
    }

    /// Pods that do not.
    fn refused(&self) -> Vec<Pod> {
        let shared = format!("{}/shared", self.other.name());
        let gone = format!("{}/gone", self.other.name());
        vec![
            // No label.
            Pod::mounting("unlabelled", "app").service_account("web"),
            Pod::mounting("named", "app")
                .service_account("batch")
                .attribute("items", "host"),
            Pod::mounting("missing", "open, gone"),
            Pod::mounting("typo", "open").attribute("items", "aa"),
            Pod::mounting("forbidden", &shared),
            Pod::mounting("nowhere", &gone),
        ]
    }
}

/// What the program says of a pod's volume.
fn explained(namespace: &Namespace, pod: &str) -> (i32, Value) {
    let pod = format!("{}/{pod}", namespace.name());
    let said = secretvault(&["explain", "--pod", &pod, "-o", "json"]);
    (said.code, said.json()[0]["volumes"][0].clone())
}

/// The files that the program says are there, as `path owner mode`.
fn said(volume: &Value) -> BTreeSet<String> {
    let entries = volume["entries"].as_array().unwrap().iter();
    let released = entries.filter(|entry| entry["result"] == "released");
    let lines = released.map(|entry| {
        let file = &entry["file"];
        let mode = file["mode"].as_str().unwrap().trim_start_matches('0');
        let path = file["path"].as_str().unwrap();
        format!("{path} {}:{} {mode}", file["uid"], file["gid"])
    });
    lines.collect()
}

/// The files that are there.
fn seen(namespace: &Namespace, pod: &str) -> BTreeSet<String> {
    let script = "cd /run/secrets && find -L . -type f -not -path './..*' \
                  -exec stat -L -c '%n %u:%g %a' {} +";
    let seen = namespace.sh(pod, script).expect_success();
    let lines = seen.lines().map(|line| line.trim_start_matches("./"));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_is_explained_is_what_the_pod_has() {
    let scene = Scene::set("explain");
    let pods = scene.starting();
    for pod in &pods {
        pod.create(&scene.own);
    }
    for pod in &pods {
        pod.wait_ready(&scene.own);
        let (code, volume) = explained(&scene.own, pod.name());
        assert_eq!(
            (code, &volume["verdict"]),
            (0, &json!("released")),
            "{volume}"
        );
        let (said, seen) = (said(&volume), seen(&scene.own, pod.name()));
        assert_eq!(said, seen, "{}", pod.name());
        assert!(!said.is_empty(), "{}", pod.name());
    }
    let (_, volume) = explained(&scene.own, "merged");
    let entry = |vault: &str, entry: &str| {
        let mut entries = volume["entries"].as_array().unwrap().iter();
        entries
            .find(|it| it["vault"] == vault && it["entry"] == entry)
            .unwrap()
            .clone()
    };
    let own = format!("{}/app", scene.own.name());
    let shared = format!("{}/shared", scene.other.name());
    let lost = entry(&shared, "host");
    assert_eq!(
        (&lost["result"], &lost["overriddenBy"]),
        (&json!("overridden"), &json!(own))
    );
    let rule = entry(&own, "db/password");
    assert_eq!(
        (&rule["rule"], &rule["why"]),
        (&json!(1), &json!("access[1]: the web tier"))
    );
    let denied = entry(&own, "smtp/token");
    let why = "access[0] is for other service accounts; access[1] is for other entries";
    assert_eq!(
        (&denied["result"], &denied["why"]),
        (&json!("notAllowed"), &json!(why))
    );
}

#[test]
fn a_pod_that_does_not_start_is_explained_in_the_words_of_its_event() {
    let scene = Scene::set("explain-denied");
    let pods = scene.refused();
    for pod in &pods {
        pod.create(&scene.own);
    }
    for pod in &pods {
        let (code, volume) = explained(&scene.own, pod.name());
        assert_eq!(
            (code, &volume["verdict"]),
            (1, &json!("denied")),
            "{volume}"
        );
        assert!(said(&volume).is_empty(), "{volume}");
        pod.wait_refused(&scene.own, volume["reason"].as_str().unwrap());
    }
    // Only who may read the vaults learns which of the two it is.
    let there = |pod: &str| explained(&scene.own, pod).1["notices"].to_string();
    assert!(there("nowhere").contains("there is no vault"));
    assert!(!there("forbidden").contains("there is no vault"));
}

/// The same manifests, before anything is applied.
#[test]
fn a_manifest_is_explained_as_its_pod() {
    let scene = Scene::set("explain-offline");
    let placed = |vault: &Vault, namespace: &Namespace| {
        let mut vault: Value = serde_json::from_str(&vault.manifest()).unwrap();
        vault["metadata"]["namespace"] = json!(namespace.name());
        vault
    };
    let [app, open] = scene.own_vaults();
    let vaults = json!({"apiVersion": "v1", "kind": "List", "items": [
        placed(&app, &scene.own),
        placed(&open, &scene.own),
        placed(&scene.shared(), &scene.other),
    ]});
    let vaults = File::new(&scene.own, "vaults.yaml", &vaults.to_string());
    for pod in scene.starting().iter().chain(&scene.refused()) {
        pod.create(&scene.own);
        let manifest = File::new(&scene.own, "pod.yaml", &pod.manifest());
        let offline = [
            "-n",
            scene.own.name(),
            "explain",
            "-o",
            "json",
            "--pod",
            manifest.path(),
            "--vaults",
            vaults.path(),
        ];
        let offline = secretvault(&offline);
        let (code, volume) = explained(&scene.own, pod.name());
        assert_eq!(offline.code, code, "{}: {offline:?}", pod.name());
        assert_eq!(offline.json()[0]["volumes"][0], volume, "{}", pod.name());
    }
}

#[test]
fn a_right_on_a_namespaces_labels_is_explained_as_it_is_decided() {
    let scene = Scene::set("explain-labels");
    let selecting = |team: &str| {
        let rule = json!([{"namespaces": {"selector": {"matchLabels": {"team": team}}}}]);
        Vault::named(team).text("x", "1").spec("access", rule)
    };
    for team in ["shop", "bank"] {
        selecting(team).store(&scene.other);
        let vaults = format!("{}/{team}", scene.other.name());
        Pod::mounting(team, &vaults).create(&scene.own);
    }
    Pod::mounting("shop", "").wait_ready(&scene.own);
    assert_eq!(explained(&scene.own, "shop").0, 0);
    assert_eq!(
        said(&explained(&scene.own, "shop").1),
        seen(&scene.own, "shop")
    );
    let (code, volume) = explained(&scene.own, "bank");
    assert_eq!(code, 1);
    Pod::mounting("bank", "").wait_refused(&scene.own, volume["reason"].as_str().unwrap());
}

/// The rules allow it, and nobody could open it.
#[test]
fn a_vault_without_its_key_is_denied_but_for_what_is_public() {
    let namespace = Namespace::create("explain-key");
    let provider = KeyProvider::local(namespace.name()).ready();
    let vault = Vault::named("app").text("a", "1").public("b", "2");
    let vault = vault.spec("keyProvider", json!(namespace.name()));
    vault.store(&namespace);
    let _ = vault.wait_ready(&namespace);
    Pod::mounting("secret", "app").run(&namespace);
    let public = Pod::mounting("public", "app").attribute("items", "b");
    public.run(&namespace);
    assert_eq!(explained(&namespace, "secret").0, 0);
    drop(provider);
    let _ = vault.wait_condition(&namespace, "False");
    let (code, volume) = explained(&namespace, "secret");
    let reason = volume["reason"].to_string();
    let about = format!("vault {}/app: ", namespace.name());
    assert!(code == 1 && reason.contains(&about), "{code} {volume}");
    assert!(said(&volume).is_empty(), "{volume}");
    assert_eq!(explained(&namespace, "public").0, 0);
}

#[test]
fn a_pod_that_has_ended_is_given_nothing() {
    let namespace = Namespace::create("explain-ended");
    let vault = Vault::named("app").text("a", "1");
    vault.store(&namespace);
    let pod = Pod::mounting("app", "app")
        .with("/spec/restartPolicy", json!("Never"))
        .with("/spec/containers/0/command", json!(["true"]));
    pod.create(&namespace);
    eventually("the pod ends", || {
        let phase = namespace.field("pod/app", "{.status.phase}");
        if phase == "Succeeded" {
            Ok(())
        } else {
            Err(phase)
        }
    });
    let (code, volume) = explained(&namespace, "app");
    assert_eq!(
        (code, &volume["reason"]),
        (1, &json!("the pod has ended")),
        "{volume}"
    );
}

#[test]
fn what_one_may_not_see_is_no_answer() {
    let scene = Scene::set("explain-blind");
    Pod::mounting("open", "open").run(&scene.own);
    let pod = format!("{}/open", scene.own.name());
    let somebody = format!("reader-of-{}", scene.own.name());
    let config = kubeconfig_of(&somebody, &scene.own);
    let explain = || secretvault_with(Some(config.path()), &["explain", "--pod", &pod]);
    let nothing = explain();
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert!(
        nothing.stderr.contains("you may not read pods"),
        "{nothing:?}"
    );
    let bind = |resource: &str| {
        let role = [
            "create",
            "role",
            resource,
            "--verb",
            "get",
            "--resource",
            resource,
        ];
        let _ = scene.own.kubectl(&role).expect_success();
        let binding = [
            "create",
            "rolebinding",
            resource,
            "--role",
            resource,
            "--user",
            &somebody,
        ];
        let _ = scene.own.kubectl(&binding).expect_success();
    };
    bind("pods");
    eventually("it may read pods, and no vault", || {
        let said = explain();
        let blind = said.stderr.contains("you may not read secretvaults open");
        if blind && said.code == 2 {
            Ok(())
        } else {
            Err(said)
        }
    });
    bind("secretvaults");
    eventually("it may read both", || {
        let said = explain();
        if said.code == 0 { Ok(()) } else { Err(said) }
    });
    // A rule looks at labels that it may not see.
    let rule = json!([{"namespaces": {"selector": {"matchLabels": {"team": "shop"}}}}]);
    let vault = Vault::named("open").text("a", "1").spec("access", rule);
    let _ = vault.apply(&scene.own).expect_success();
    let blind = explain();
    assert!(
        blind.code == 2 && blind.stderr.contains("you may not read namespaces"),
        "{blind:?}"
    );
}
