//! The node's own pod, another one elsewhere, and vaults that are partly for them.

use std::sync::Arc;

use secretvault_e2e::{Bao, Namespace, NodeVolume, Pod, TransitKey, Vault, eventually};
use serde_json::{Value, json};

use crate::attacker::{Bound, Operator, Token, agent_token, bearer, mint, volume};
use crate::authorise::table::Treasure;

/// Two pods with their files, `near` on the stolen node and `far` on the other one.
pub(crate) struct Scene {
    pub(super) home: Namespace,
    pub(super) palace: Namespace,
    pub(super) operator: Operator,
    pub(super) agent_a: Vec<String>,
    pub(super) agent_b: Vec<String>,
    /// Every entry of every vault, as the pod sees it that may have it.
    pub(super) treasure: Treasure,
    pub(super) key: TransitKey,
}

impl Scene {
    /// Applies the vaults, and runs the pods.
    #[must_use]
    pub(crate) fn create() -> Self {
        let [home, palace] = ["stolen", "stolen-palace"].map(Namespace::create);
        vault().store(&home);
        let gold = Vault::named("gold").text("gold", "hunter2-gold");
        let _ = gold.apply(&palace).expect_success();
        for (namespace, account) in [(&home, "near"), (&home, "far"), (&palace, "king")] {
            let create = ["create", "serviceaccount", account];
            let _ = namespace.kubectl(&create).expect_success();
        }
        let pod = |name: &str, vaults: &str, node| {
            let pod = Pod::mounting(name, vaults).service_account(name);
            pod.that_ends_in_order().on(node)
        };
        let near = pod("near", "app", "node-a");
        let far = pod("far", "app", "node-b");
        let king = pod("king", "gold", "node-b");
        for (pod, namespace) in [(&near, &home), (&far, &home), (&king, &palace)] {
            pod.create(namespace);
        }
        let bao = Arc::new(Bao::start());
        for (pod, namespace) in [(&near, &home), (&far, &home), (&king, &palace)] {
            pod.wait_ready(namespace);
        }
        let mut scene = Self {
            operator: Operator::find(),
            agent_a: bearer(&agent_token("node-a")),
            agent_b: bearer(&agent_token("node-b")),
            treasure: Treasure::none(),
            key: bao.key("stolen"),
            home,
            palace,
        };
        scene.fill_treasure();
        scene
    }

    /// A service account of the home, as tokens name it.
    #[must_use]
    pub(crate) fn account(&self, name: &str) -> String {
        format!("{}:{name}", self.home.name())
    }

    /// The token that kubelet has for a pod.
    pub(super) fn token(&self, pod: &Value) -> Token {
        let text = |pointer| {
            pod.pointer(pointer)
                .and_then(Value::as_str)
                .expect("a name")
        };
        let (namespace, account) = (
            text("/metadata/namespace"),
            text("/spec/serviceAccountName"),
        );
        let audience = secretvault_delivery::POD_AUDIENCE;
        mint(namespace, account, audience, Bound::to_pod(pod))
    }

    /// The files that a pod of the home has, by the entries' names.
    pub(super) fn files(&self, pod: &str) -> Vec<String> {
        let mounted = NodeVolume::of(&self.home, pod);
        let list = format!("cd '{}'/..data/ && find . -type f", mounted.path());
        let list = mounted.node.sh(&list).expect_success();
        let mut files: Vec<String> = list.lines().map(|it| it[2..].to_owned()).collect();
        files.sort();
        files
    }

    fn fill_treasure(&mut self) {
        let owners = [
            (&self.home, "near", "app", &self.agent_a),
            (&self.home, "far", "app", &self.agent_b),
            (&self.palace, "king", "gold", &self.agent_b),
        ];
        for (namespace, pod, vault, agent) in owners {
            let pod = namespace.get(&format!("pod/{pod}"));
            let volume = volume(&pod, &self.token(&pod), vault, "");
            let grant = eventually("the vault is granted", || {
                self.operator.ask(agent, &volume).outcome.granted()
            });
            self.treasure.add(vault, &grant);
        }
    }
}

/// Something for each of the two pods.
fn vault() -> Vault {
    let access = json!([
        {"serviceAccounts": ["near"], "entries": ["near/**"]},
        {"serviceAccounts": ["far"], "entries": ["far/**"]},
    ]);
    Vault::named("app")
        .text("near/password", "hunter2-near")
        .text("near/token", "t-1-near")
        .text("far/password", "hunter2-far")
        .spec("access", access)
}
