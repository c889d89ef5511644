//! Vaults that move from one key provider to another, and get new keys, while pods mount them.

mod environments;
mod untouched;

use secretvault_e2e::{Bao, KeyProvider, Namespace, TransitKey, Vault, eventually, now};
use serde_json::{Value, json};

pub(crate) use self::untouched::Untouched;

const TEXT: &str = "hunter2-migration";
/// Bytes that are no text.
const BYTES: &str = "AP8Q3q2+7w==";

fn vault(provider: &str) -> Vault {
    Vault::named("app")
        .text("token", TEXT)
        .binary("key.der", BYTES)
        .spec("keyProvider", json!(provider))
}

/// A vault on its way, with the pods that mount it.
struct Journey {
    namespace: Namespace,
    keyring: KeyProvider,
    key: TransitKey,
    transit: KeyProvider,
    pods: Untouched,
    vault: Vault,
}

impl Journey {
    /// A vault that is sealed with a keyring, and pods that run with it.
    fn start() -> Self {
        let namespace = Namespace::create("migration");
        let keyring = KeyProvider::local(namespace.name()).ready();
        let key = Bao::shared().key(namespace.name());
        let transit = format!("{}-transit", namespace.name());
        let transit = KeyProvider::transit(&transit, &key.transit()).ready();
        let vault = vault(keyring.name());
        let _ = vault.apply(&namespace).expect_success();
        let pods = Untouched::start(&namespace);
        Self {
            namespace,
            keyring,
            key,
            transit,
            pods,
            vault,
        }
    }

    /// Does something to the keys, waits until the vault is where it should be, and looks at
    /// everything that must not notice. Returns the data key.
    fn stage(&self, name: &str, act: impl FnOnce(&Self), there: impl Fn(&Value) -> bool) -> Value {
        act(self);
        let data_key = eventually(&format!("{name}: the vault is there"), || {
            let stored = self.vault.stored(&self.namespace);
            let data_key = &stored["spec"]["dataKey"];
            if there(data_key) {
                Ok(data_key.clone())
            } else {
                Err(format!("{data_key} {}", stored["status"]))
            }
        });
        let current = [
            "wait",
            "--for=condition=KeyCurrent",
            "sv/app",
            "--timeout=5m",
        ];
        let _ = self.namespace.kubectl(&current).expect_success();
        assert!(self.vault.holds(&self.namespace, "token", TEXT), "{name}");
        self.pods.assert_as_before(&self.namespace, name);
        self.pods.assert_a_new_one_reads(&self.namespace, name);
        data_key
    }

    fn patch(&self, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        let patch = ["patch", "sv/app", "--type=merge", "-p", &patch];
        let _ = self.namespace.kubectl(&patch).expect_success();
    }
}

/// The headline: there and back again, with every key rotated on the way.
#[test]
fn pods_notice_nothing_while_their_vault_moves_to_transit_and_back_and_every_key_is_rotated() {
    let journey = Journey::start();
    let (keyring, transit) = (journey.keyring.name(), journey.transit.name());
    let first = journey.vault.stored(&journey.namespace)["spec"]["dataKey"].clone();
    let by = |provider: &str| json!({"keyProvider": provider});
    let is = |data_key: &Value, provider: &str| data_key["provider"] == provider;

    let act = |it: &Journey| it.keyring.patch(&json!({"local": {"rotatedSince": now()}}));
    let rotated = journey.stage("rotated", act, |it| it["keyId"] != first["keyId"]);
    assert_eq!(rotated["id"], first["id"], "rewrapped only");

    let act = |it: &Journey| it.patch(&by(transit));
    let moved = journey.stage("moved", act, |it| is(it, transit));
    assert_ne!(
        moved["id"], first["id"],
        "under another provider, another data key"
    );
    assert_eq!(moved["keyId"], "v1");

    let act = |it: &Journey| it.key.rotate();
    let newer = journey.stage("rotated-in-transit", act, |it| it["keyId"] == "v2");
    assert_eq!(newer["id"], moved["id"], "rewrapped only");
    // By the server itself. Each replica may have had to open it, for a pod or for admission.
    let wrapped = moved["wrapped"].as_str().unwrap();
    assert!(journey.key.requests("rewrap", wrapped) >= 1);
    assert!(journey.key.requests("decrypt", wrapped) <= 2);

    let rekey = newer["rekey"].as_u64().unwrap() + 1;
    let act = |it: &Journey| it.patch(&json!({"dataKey": {"rekey": rekey}}));
    let rekeyed = journey.stage("rekeyed", act, |it| it["rekey"] == rekey);
    assert_ne!(rekeyed["id"], newer["id"]);

    let act = |it: &Journey| it.patch(&by(keyring));
    let back = journey.stage("back", act, |it| is(it, keyring));
    assert_eq!(back["keyId"], rotated["keyId"]);

    // The same with a whole provider: the vault goes on naming the one that moves.
    let act = |it: &Journey| it.keyring.patch(&json!({"migrateTo": transit}));
    journey.stage("all-moved", act, |it| is(it, transit));
    let named = journey.namespace.field("sv/app", "{.spec.keyProvider}");
    assert_eq!(named, keyring);
    let act = |it: &Journey| it.keyring.patch(&json!({"migrateTo": null}));
    journey.stage("all-back", act, |it| is(it, keyring));

    // What would have been seen of a change.
    journey
        .pods
        .assert_a_change_is_seen(&journey.namespace, &journey.vault);
}
