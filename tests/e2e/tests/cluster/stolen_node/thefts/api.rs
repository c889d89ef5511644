//! At the API server: with tokens, and with kubelet's own certificate.

use secretvault_delivery::{AGENT_AUDIENCE, POD_AUDIENCE};
use secretvault_e2e::{Answer, STATE, SYSTEM, kubectl, kubectl_with};
use serde_json::{Value, json};

use super::{agents, newest};
use crate::attacker::{AGENT, OPERATOR, kubectl_as, part_of_system};
use crate::stolen_node::attempts::Attempts;
use crate::stolen_node::loot::Loot;
use crate::stolen_node::scene::Scene;

impl Scene {
    /// The agent's and the pod's tokens are none for the API server, and no other token that was found may
    /// do any of this.
    pub(crate) fn steal_at_the_api_server(&self, loot: &Loot, attempts: &mut Attempts) {
        for question in self.questions() {
            let question: Vec<&str> = question.split(' ').collect();
            let control = kubectl(&question);
            for found in loot.tokens() {
                let attack = kubectl_as(&found.token, &question, "");
                let name = format!("{}: {}", found.name(), question.join(" "));
                attempts.refused(&name, &attack, &REFUSED, &control);
            }
        }
        let near = newest(loot, &self.account("near"), POD_AUDIENCE);
        for (name, token) in [("the agent's", agents(loot)), ("the pod's", near)] {
            let attack = kubectl_as(&token, &["auth", "whoami"], "");
            let control = kubectl(&["auth", "whoami"]);
            let name = format!("{name} token: who am I");
            attempts.refused(&name, &attack, &["Unauthorized"], &control);
        }
    }

    /// kubelet may speak of its own pods only.
    pub(crate) fn steal_with_kubelets_certificate(&self, attempts: &mut Attempts) {
        for question in self.questions() {
            let question: Vec<&str> = question.split(' ').collect();
            let name = format!("kubelet: {}", question.join(" "));
            let attack = as_kubelet(&question);
            attempts.refused(&name, &attack, &REFUSED, &kubectl(&question));
        }
        let [near, far] = ["pod/near", "pod/far"].map(|pod| self.home.get(pod));
        let agents = ["node-a", "node-b"].map(|node| part_of_system(AGENT, Some(node)));
        let operator = part_of_system(OPERATOR, None);
        let own_pods = mint(&near, "near", POD_AUDIENCE);
        let own_agents = mint(&agents[0], AGENT, AGENT_AUDIENCE);
        for (name, attack, control) in [
            (
                "another node's pod's token",
                mint(&far, "far", POD_AUDIENCE),
                &own_pods,
            ),
            (
                "another account's token for its own pod",
                mint(&near, "far", POD_AUDIENCE),
                &own_pods,
            ),
            (
                "the other node's agent's token",
                mint(&agents[1], AGENT, AGENT_AUDIENCE),
                &own_agents,
            ),
            (
                "an agent's token for its own pod",
                mint(&near, "near", AGENT_AUDIENCE),
                &own_agents,
            ),
            (
                "the operator's token",
                mint(&operator, OPERATOR, ""),
                &own_agents,
            ),
        ] {
            let name = format!("kubelet: {name}");
            attempts.refused(&name, &attack, &REFUSED, control);
        }
        self.relabel(&near, attempts);
    }

    /// Rules look at labels, and kubelet writes its pods' status.
    fn relabel(&self, near: &Value, attempts: &mut Attempts) {
        let path = format!("/api/v1/namespaces/{}/pods/near", self.home.name());
        let put = |path: &str, pod: &Value| {
            let pod = pod.to_string();
            kubectl_with(&[&kubeconfig(), "replace", "--raw", path, "-f", "-"], &pod)
        };
        let mut same = near.clone();
        same["metadata"]["resourceVersion"] = Value::Null;
        let mut relabelled = same.clone();
        relabelled["metadata"]["labels"] = json!({"app": "other"});
        let status = format!("{path}/status");
        let control = put(&status, &same);
        for path in [&status, &path] {
            let attack = put(path, &relabelled);
            attempts.refused("kubelet: another label", &attack, &REFUSED, &control);
        }
    }

    /// What only others may ask.
    fn questions(&self) -> [String; 9] {
        let (home, palace) = (self.home.name(), self.palace.name());
        [
            "get secretvaults --all-namespaces -o name".to_owned(),
            format!("-n {home} get secretvault app -o name"),
            format!("-n {palace} get secretvault gold -o name"),
            "get keyproviders -o name".to_owned(),
            format!("-n {SYSTEM} get secret secretvault-keyring -o name"),
            format!("-n {SYSTEM} get secrets -o name"),
            format!("-n {SYSTEM} create token {OPERATOR}"),
            format!("-n {home} create token far"),
            "get pods --all-namespaces -o name --as=admin --as-group=system:masters".to_owned(),
        ]
    }
}

/// kubectl as the node's kubelet.
fn as_kubelet(arguments: &[&str]) -> Answer {
    kubectl(&[&[kubeconfig().as_str()], arguments].concat())
}

fn kubeconfig() -> String {
    format!("--kubeconfig={STATE}/pki/node-a.kubeconfig")
}

/// A token bound to a pod, made by kubelet.
fn mint(pod: &Value, account: &str, audience: &str) -> Answer {
    let text = |field: &str| pod["metadata"][field].as_str().expect("a name");
    let (name, uid) = (text("name"), text("uid"));
    let mut create = vec!["-n", text("namespace"), "create", "token", account];
    create.extend(["--bound-object-kind=Pod", "--bound-object-name", name]);
    create.extend(["--bound-object-uid", uid]);
    if !audience.is_empty() {
        create.extend(["--audience", audience]);
    }
    as_kubelet(&create)
}

/// As the API server says it of a token, and of a right.
const REFUSED: [&str; 3] = ["Unauthorized", "Forbidden", "forbidden"];
