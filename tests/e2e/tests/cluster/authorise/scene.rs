//! What an attack needs: pods that ask for nothing by themselves, their tokens, and agents'.

use secretvault_delivery::POD_AUDIENCE;
use secretvault_e2e::Namespace;
use serde_json::{Value, json};

use crate::attacker::{Bound, Operator, Token, agent_token, bearer, mint, volume};

use super::table::Ask;

/// The operator, and the agents of both nodes.
pub(super) struct Scene {
    pub(super) operator: Operator,
    /// The authorization of the agent on node-a.
    pub(super) agent_a: Vec<String>,
    /// The authorization of the agent on node-b.
    pub(super) agent_b: Vec<String>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self {
            operator: Operator::find(),
            agent_a: bearer(&agent_token("node-a")),
            agent_b: bearer(&agent_token("node-b")),
        }
    }

    /// What the agent on node-a asks for a pod.
    pub(super) fn asks(&self, pod: &Bystander, vaults: &str, items: &str) -> Ask {
        self.asks_with(pod, &pod.token(), vaults, items)
    }

    /// The same with another token than the pod's own.
    pub(super) fn asks_with(
        &self,
        pod: &Bystander,
        token: &Token,
        vaults: &str,
        items: &str,
    ) -> Ask {
        Ask {
            authorization: self.agent_a.clone(),
            volume: volume(&pod.0, token, vaults, items),
        }
    }
}

/// A pod that mounts nothing.
#[derive(Clone)]
pub(super) struct Bystander(pub(super) Value);

impl Bystander {
    /// Runs on node-a as `account`, which it makes.
    pub(super) fn create(namespace: &Namespace, name: &str, account: &str) -> Self {
        Self::create_as(namespace, &bystander(name, account))
    }

    /// The same with a label.
    pub(super) fn labelled(namespace: &Namespace, name: &str, account: &str, app: &str) -> Self {
        let mut pod = bystander(name, account);
        pod["metadata"]["labels"]["app"] = json!(app);
        Self::create_as(namespace, &pod)
    }

    /// Makes a pod from a manifest, and its account.
    pub(super) fn create_as(namespace: &Namespace, pod: &Value) -> Self {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": pod["spec"]["serviceAccountName"]},
        });
        let _ = namespace.apply(&account.to_string()).expect_success();
        let create = ["create", "-f", "-", "-o", "json"];
        let created = namespace.kubectl_with(&create, &pod.to_string());
        Self(serde_json::from_str(&created.expect_success()).expect("a pod"))
    }

    pub(super) fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().expect("a name")
    }

    pub(super) fn account(&self) -> &str {
        let account = self.0["spec"]["serviceAccountName"].as_str();
        account.expect("an account")
    }

    /// The token that kubelet would mint for it.
    pub(super) fn token(&self) -> Token {
        self.token_for(POD_AUDIENCE)
    }

    /// A token for another audience; empty: the API server's own.
    pub(super) fn token_for(&self, audience: &str) -> Token {
        let namespace = self.0["metadata"]["namespace"].as_str();
        let namespace = namespace.expect("a namespace");
        mint(namespace, self.account(), audience, Bound::to_pod(&self.0))
    }
}

/// The manifest of a pod that sleeps on node-a.
pub(super) fn bystander(name: &str, account: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": "node-a",
            "serviceAccountName": account,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "app",
                "image": "busybox:stable",
                "command": ["sleep", "infinity"],
            }],
        },
    })
}
