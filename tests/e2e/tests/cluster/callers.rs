//! The webhook where the API server must prove itself: it answers nobody else.

use std::fs;

use secretvault_e2e::{Answer, Namespace, Part, STATE, SYSTEM, Vault, api, root, run_with};

const NAME: &str = "secretvault-operator.secretvault-system.svc:8443";

/// What curl writes for a request that was never answered.
const NO_ANSWER: &str = "000";

/// Somebody in the cluster's network, with a client certificate or without.
fn ask(namespace: &Namespace, certificate: Option<&str>) -> Answer {
    let replica = Part::operators().pop().expect("a replica");
    let directory = std::env::temp_dir().join(namespace.name());
    fs::create_dir_all(&directory).unwrap();
    let trusted = directory.join("ca.crt");
    let authority = api::get(SYSTEM, "configmap/secretvault-ca").unwrap();
    fs::write(&trusted, authority["data"]["ca.crt"].as_str().unwrap()).unwrap();
    let to = format!("{NAME}:{}", replica.address);
    let url = format!("https://{NAME}/admission/secretvaults");
    let mut arguments = vec!["--silent", "--show-error", "--max-time", "60"];
    arguments.extend(["--cacert", trusted.to_str().unwrap(), "--resolve", &to]);
    arguments.extend(["--header", "Content-Type: application/json"]);
    arguments.extend(["--write-out", "%{http_code}", "--data-binary", "@-", &url]);
    let own = certificate.map(|name| {
        let part = |kind: &str| format!("{STATE}/pki/{name}.{kind}");
        [part("crt"), part("key")]
    });
    if let Some([certificate, key]) = &own {
        arguments.extend(["--cert", certificate, "--key", key]);
    }
    let answer = run_with("curl", &arguments, "{}");
    let _ = fs::remove_dir_all(directory);
    answer
}

#[test]
fn as_it_is_installed_the_webhook_answers_everybody() {
    let namespace = Namespace::create("callers-any");
    for certificate in [None, Some("admin")] {
        let _ = ask(&namespace, certificate).expect_success();
    }
}

pub(crate) fn with_an_authority_of_its_callers_the_webhook_answers_the_api_server_and_nobody_else()
{
    let namespace = Namespace::create("callers");
    let vault = Vault::named("app").text("password", "hunter2-callers");
    vault.store(&namespace);
    let sealed = &vault.stored(&namespace)["spec"]["data"]["password"];
    assert!(sealed.as_str().unwrap().starts_with("sv1:"), "{sealed}");
    let _ = namespace.kubectl(&["delete", "sv/app"]).expect_success();

    let _ = ask(&namespace, Some("apiserver-webhook-client")).expect_success();
    // An administrator's is of another authority.
    for nobody in [None, Some("admin")] {
        let refused = ask(&namespace, nobody);
        assert!(!refused.succeeded);
        // How the end of the connection is told differs from time to time.
        assert_eq!(refused.stdout, NO_ANSWER, "{}", refused.stderr);
    }
}

/// What the documentation has one write is what this cluster's API server runs with.
#[test]
fn the_api_servers_configuration_is_as_documented() {
    let documented = fs::read_to_string(root().join("docs/hardening.md")).unwrap();
    // In a list's items.
    let documented = documented.replace("\n   ", "\n");
    let configuration = fs::read_to_string(STATE.path().join("admission.yaml")).unwrap();
    let configuration = configuration.replace(&STATE.to_string(), "/etc/kubernetes");
    let (_, configuration) = configuration.split_once('\n').unwrap();
    assert!(documented.contains(configuration), "{configuration}");
    let kubeconfig = fs::read_to_string(STATE.path().join("pki/webhooks.kubeconfig")).unwrap();
    let kubeconfig = kubeconfig.replace(&STATE.to_string(), "/etc/kubernetes");
    assert!(documented.contains(&kubeconfig), "{kubeconfig}");
}
