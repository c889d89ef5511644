//! What an attack needs: pods that ask for nothing by themselves, their tokens, and agents'.

use secretvault_delivery::POD_AUDIENCE;
use secretvault_e2e::{Namespace, api};
use serde_json::{Value, json};

use crate::attacker::{Bound, Operator, Token, agent_token, bearer, mint, volume};

use super::table::Ask;

/// The operator, and the agents of both nodes.
pub(crate) struct Scene {
    pub(crate) operator: Operator,
    /// The authorization of the agent on node-a.
    pub(crate) agent_a: Vec<String>,
    /// The authorization of the agent on node-b.
    pub(crate) agent_b: Vec<String>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            operator: Operator::find(),
            agent_a: bearer(&agent_token("node-a")),
            agent_b: bearer(&agent_token("node-b")),
        }
    }

    /// What the agent on node-a asks for a pod.
    pub(crate) fn asks(&self, pod: &Bystander, vaults: &str, items: &str) -> Ask {
        self.asks_with(pod, &pod.token(), vaults, items)
    }

    /// The same with another token than the pod's own.
    pub(crate) fn asks_with(
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
pub(crate) struct Bystander(pub(super) Value);

impl Bystander {
    /// Runs on node-a as `account`, which it makes.
    pub(crate) fn create(namespace: &Namespace, name: &str, account: &str) -> Self {
        Self::create_as(namespace, &bystander(name, account))
    }

    /// The same with a label.
    pub(crate) fn labelled(namespace: &Namespace, name: &str, account: &str, app: &str) -> Self {
        let mut pod = bystander(name, account);
        pod["metadata"]["labels"]["app"] = json!(app);
        Self::create_as(namespace, &pod)
    }

    /// Makes a pod from a manifest, and its account.
    pub(crate) fn create_as(namespace: &Namespace, pod: &Value) -> Self {
        Self::create_all(namespace, std::slice::from_ref(pod)).remove(0)
    }

    /// Makes several, and their accounts.
    pub(crate) fn create_all(namespace: &Namespace, pods: &[Value]) -> Vec<Self> {
        let create =
            |collection: &str, object: &Value| api::create(namespace.name(), collection, object);
        let made = pods.iter().map(|pod| {
            let account = json!({"metadata": {"name": pod["spec"]["serviceAccountName"]}});
            // Another pod's may be the same.
            match create("serviceaccount", &account) {
                Err(error) if !error.contains("AlreadyExists") => panic!("{error}"),
                _ => {}
            }
            Self(create("pod", pod).expect("a pod"))
        });
        made.collect()
    }

    pub(crate) fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().expect("a name")
    }

    pub(crate) fn account(&self) -> &str {
        let account = self.0["spec"]["serviceAccountName"].as_str();
        account.expect("an account")
    }

    /// The token that kubelet would mint for it.
    pub(crate) fn token(&self) -> Token {
        self.token_for(POD_AUDIENCE)
    }

    /// A token for another audience; empty: the API server's own.
    pub(crate) fn token_for(&self, audience: &str) -> Token {
        let namespace = self.0["metadata"]["namespace"].as_str();
        let namespace = namespace.expect("a namespace");
        mint(namespace, self.account(), audience, Bound::to_pod(&self.0))
    }
}

/// The manifest of a pod that sleeps on node-a.
pub(crate) fn bystander(name: &str, account: &str) -> Value {
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
