//! The certificate authority is lost, or ends.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use secretvault_e2e::{Namespace, Pod, SYSTEM, Vault, api, eventually, kubectl, kubectl_with};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::running::Running;

#[test]
#[ignore = "it needs the cluster for itself"]
fn a_lost_authority_is_made_anew_and_everybody_learns_of_it() {
    let running = Running::start("failures-authority");
    let before = authority();
    let lost = ["-n", SYSTEM, "delete", "secret", "secretvault-ca"];
    let _ = kubectl(&lost).expect_success();
    eventually("there is a new authority", || {
        let now = authority();
        if now.is_empty() || now == before {
            Err(now)
        } else {
            Ok(())
        }
    });
    running.assert_unharmed();
    assert_everybody_trusts_it();
    running.assert_the_next_change_arrives();
}

/// The operator may not take a key out of a Secret, but for these two.
#[test]
#[ignore = "it needs the cluster for itself"]
fn an_authority_that_ends_is_followed_by_the_next() {
    let running = Running::start("failures-authority-next");
    // Two thirds of its year are over, and its successor was trusted for more than a day.
    let (signing, next) = (Authority::made(300), Authority::made(2));
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "secretvault-ca", "namespace": SYSTEM},
        "stringData": {
            "tls.crt": signing.certificate, "tls.key": signing.key,
            "next.crt": next.certificate, "next.key": next.key,
            "ca-bundle.crt": signing.certificate.clone() + &next.certificate,
        },
    });
    let replace = kubectl_with(&["replace", "-f", "-"], &secret.to_string());
    let _ = replace.expect_success();
    eventually("the next authority signs", || {
        let stored = api::get(SYSTEM, "secret/secretvault-ca")?["data"].clone();
        let keys: Vec<&String> = stored
            .as_object()
            .into_iter()
            .flatten()
            .map(|it| it.0)
            .collect();
        if stored["tls.crt"] == next.encoded() && keys == ["ca-bundle.crt", "tls.crt", "tls.key"] {
            Ok(())
        } else {
            Err(format!("{keys:?}"))
        }
    });
    running.assert_unharmed();
    assert_everybody_trusts_it();
    running.assert_the_next_change_arrives();
}

/// An authority as the operator makes them.
struct Authority {
    certificate: String,
    key: String,
}

impl Authority {
    /// So many days ago, for a year.
    fn made(days: i64) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.not_before = OffsetDateTime::now_utc() - Duration::days(days);
        parameters.not_after = parameters.not_before + Duration::days(365);
        let name = format!("secretvault-ca of {days} days ago");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self {
            certificate: parameters.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Its certificate, as a Secret has it.
    fn encoded(&self) -> Value {
        json!(BASE64_STANDARD.encode(&self.certificate))
    }
}

/// There is a new authority.
fn assert_everybody_trusts_it() {
    // The API server trusts the webhook again,
    let namespace = Namespace::create("failures-authority-new");
    let vault = Vault::named("app").text("token", "n-1");
    eventually("a vault can be applied", || {
        vault.apply(&namespace).into_result()
    });
    // and the agents trust the operator.
    let pod = Pod::mounting("app", "app");
    pod.run(&namespace);
    assert_eq!(pod.read(&namespace, "token"), "n-1");
}

/// What the agents are told to trust.
fn authority() -> String {
    let path = "jsonpath={.data.ca\\.crt}";
    let found = [
        "-n",
        SYSTEM,
        "get",
        "configmap",
        "secretvault-ca",
        "-o",
        path,
    ];
    kubectl(&found).stdout
}
