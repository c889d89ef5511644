//! Each way in which a Transit server can fail, on a real one. What is said of it stands in the table
//! of `docs/keys.md`, word for word: the test reads it there.

mod scene;

use std::thread;

use secretvault_e2e::{KeyProvider, SYSTEM, TransitKey, kubectl, kubectl_with};
use serde_json::{Value, json};

use self::scene::Scene;
use crate::rotation::Held;

const VALUE: &str = "hunter2-faults";

/// One way to fail.
struct Fault {
    reason: &'static str,
    /// For its names, where a reason has several causes.
    cause: &'static str,
    /// What differs from a provider that works.
    spec: fn(&Scene, &TransitKey) -> Value,
    /// What happens before the provider is applied, and after it was ready. The latter if it ever is.
    before: fn(&Scene, &TransitKey),
    after: Option<fn(&Scene, &TransitKey)>,
}

const FAULTS: [Fault; 10] = [
    Fault {
        reason: "BadCertificate",
        spec: |_, key| {
            let path = "jsonpath={.data['ca\\.crt']}";
            let other = kubectl(&["get", "configmap", "kube-root-ca.crt", "-o", path]);
            let mut transit = key.transit();
            transit["caBundle"] = json!(base64(&other.expect_success()));
            transit
        },
        ..WORKING
    },
    Fault {
        reason: "CredentialMissing",
        spec: |_, key| with_token(key, "there-is-none"),
        ..WORKING
    },
    Fault {
        reason: "KeyDeleted",
        after: Some(|_, key| delete(key)),
        ..WORKING
    },
    Fault {
        reason: "KeyDeleted",
        cause: "softly",
        after: Some(|scene, key| {
            scene.sh(&format!(
                "bao delete transit/keys/{}/soft-delete",
                key.name()
            ));
        }),
        ..WORKING
    },
    Fault {
        reason: "KeyMissing",
        before: |_, key| delete(key),
        ..WORKING
    },
    Fault {
        reason: "LoginFailed",
        spec: |_, key| {
            let mut transit = key.transit();
            transit["auth"]["kubernetes"]["role"] = json!("nobody");
            transit
        },
        ..WORKING
    },
    Fault {
        reason: "PermissionDenied",
        after: Some(|scene, key| {
            let name = key.name();
            let only_renew = "path \"auth/token/renew-self\" { capabilities = [\"update\"] }";
            scene.sh(&format!(
                "bao policy write {name} - <<'POLICY'\n{only_renew}\nPOLICY"
            ));
        }),
        ..WORKING
    },
    Fault {
        reason: "TokenRejected",
        spec: |_, key| with_token(key, key.name()),
        before: |scene, key| {
            let name = key.name();
            let create = format!("bao token create -policy={name} -period=1h -field=token");
            put_token(name, scene.sh(&create).trim());
        },
        after: Some(|scene, key| {
            scene.sh(&format!(
                "bao token revoke {} >/dev/null",
                token(key.name())
            ));
        }),
        ..WORKING
    },
    Fault {
        reason: "VersionTooOld",
        spec: |_, key| {
            let mut transit = key.transit();
            transit["cacheFor"] = json!("1s");
            transit
        },
        after: Some(|scene, key| {
            // Nobody is quick enough to rewrap between the two.
            let _held = Held::vaults(&scene.namespace, &[key.name().to_owned()]);
            let path = format!("transit/keys/{}", key.name());
            scene.sh(&format!(
                "bao write -f {path}/rotate >/dev/null
                 bao write {path}/config min_decryption_version=2 >/dev/null"
            ));
        }),
        ..WORKING
    },
    Fault {
        reason: "WrongMount",
        spec: |_, key| {
            let mut transit = key.transit();
            transit["mount"] = json!("nowhere");
            transit
        },
        before: |scene, key| {
            // Also where the policy would allow it.
            let name = key.name();
            let policy = "path \"nowhere/*\" { capabilities = [\"update\"] }";
            scene.sh(&format!(
                "bao policy write {name} - <<'POLICY'\n{policy}\nPOLICY"
            ));
        },
        ..WORKING
    },
];

const WORKING: Fault = Fault {
    reason: "",
    cause: "",
    spec: |_, key| key.transit(),
    before: |_, _| {},
    after: None,
};

fn delete(key: &TransitKey) {
    key.configure("deletion_allowed", &json!(true));
    let delete = format!("bao delete transit/keys/{} >/dev/null", key.name());
    let _ = key.bao.sh(&delete).expect_success();
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

/// The same with a token out of a Secret in the operator's namespace.
fn with_token(key: &TransitKey, secret: &str) -> Value {
    let mut transit = key.transit();
    transit["auth"] = json!({"token": {"secret": {"name": secret, "key": "token"}}});
    transit
}

fn put_token(name: &str, token: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM},
        "stringData": {"token": token},
    });
    let _ = kubectl_with(&["apply", "-f", "-"], &secret.to_string()).expect_success();
}

fn token(name: &str) -> String {
    let path = "go-template={{.data.token | base64decode}}";
    kubectl(&["-n", SYSTEM, "get", "secret", name, "-o", path]).expect_success()
}

#[test]
fn every_fault_is_told_in_the_words_of_the_documentation() {
    let scene = Scene::start();
    // A few at a time: whoever waits asks again and again, and that is what the machine is busy with.
    let mut providers: Vec<(&Fault, KeyProvider)> = Vec::new();
    for some in FAULTS.chunks(4) {
        thread::scope(|scope| {
            let provoked: Vec<_> = some
                .iter()
                .map(|fault| (fault, scope.spawn(|| scene.provoke(fault))))
                .collect();
            let joined = provoked.into_iter();
            providers.extend(joined.map(|(fault, it)| (fault, it.join().unwrap())));
        });
    }
    for (fault, provider) in &providers {
        match fault.reason {
            "VersionTooOld" => scene.assert_told_of_one_vault(fault.reason, provider),
            reason => scene.assert_told(reason, provider),
        }
    }
    // The whole server's.
    let whole = scene.provoke(&Fault {
        reason: "Server",
        after: Some(|_, _| {}),
        ..WORKING
    });
    scene.bao.seal();
    scene.assert_told("Sealed", &whole);
    scene.bao.unseal();
    whole.wait("Ready", "True", "");
    scene.bao.stop();
    scene.assert_told("Unreachable", &whole);
    scene.bao.restart();
    whole.wait("Ready", "True", "");
    let secret = format!("{}-tokenrejected", scene.namespace.name());
    // The third is how every JSON Web Token begins.
    scene.assert_nothing_is_told_of(&[&token(&secret), VALUE, "eyJhbGciOi"]);
    let _ = kubectl(&["-n", SYSTEM, "delete", "secret", &secret]);
}
