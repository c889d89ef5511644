//! Only a node agent may ask, with its own token.

use secretvault_delivery::{AGENT_AUDIENCE, POD_AUDIENCE};
use secretvault_e2e::{Namespace, SYSTEM, Vault};
use serde_json::{Value, json};
use tonic::Code;

use crate::attacker::{AGENT, Bound, Key, OPERATOR, agent_token, bearer, mint, part_of_system};

use super::scene::{Bystander, Scene};
use super::table::{Ask, Refusal, Table, Treasure};

const INVALID: Refusal = Refusal::Rejected(
    Code::Unauthenticated,
    "the agent's token is rejected: the token is not valid (any more)",
);
const NOT_THE_AGENT: Refusal = Refusal::Rejected(
    Code::PermissionDenied,
    "the agent's token is rejected: the token is not the node agent's",
);
const NO_POD: Refusal = Refusal::Rejected(
    Code::PermissionDenied,
    "the token is not bound to a pod on a node: authentication.kubernetes.io/pod-name",
);
const ONE: &[&str] = &["password"];

/// A pod that gets what it asks for, if the agent does.
struct Home {
    namespace: Namespace,
    scene: Scene,
    pod: Bystander,
    control: Ask,
    treasure: Treasure,
}

impl Home {
    fn create(prefix: &str) -> Self {
        let namespace = Namespace::create(prefix);
        let vault = Vault::named("app").text("password", "hunter2");
        vault.store(&namespace);
        let scene = Scene::new();
        let pod = Bystander::create(&namespace, "web", "web");
        let control = scene.asks(&pod, "app", "");
        let treasure = Treasure::of(&scene.operator, &control);
        Self {
            namespace,
            scene,
            pod,
            control,
            treasure,
        }
    }

    fn table(&self) -> Table<'_> {
        Table::new(&self.scene.operator, &self.treasure)
    }

    fn asks_as(&self, authorization: &[String]) -> Ask {
        self.control.clone().authorized(authorization)
    }
}

#[test]
fn whoever_shows_no_token_for_the_operator_gets_nothing() {
    let home = Home::create("agents");
    let mut table = home.table();
    let agent = Bound::to_pod(&part_of_system(AGENT, Some("node-a")));
    let driver = mint(SYSTEM, AGENT, POD_AUDIENCE, agent);
    let agent = Bound::to_pod(&part_of_system(AGENT, Some("node-a")));
    let api = mint(SYSTEM, AGENT, "", agent);
    let own = &home.scene.agent_a;
    for (name, authorization) in [
        ("no token", vec![]),
        ("an empty token", vec!["Bearer ".to_owned()]),
        ("a text", vec!["Bearer hunter2".to_owned()]),
        ("two tokens", [own.clone(), own.clone()].concat()),
        ("another scheme", vec![own[0].replace("Bearer", "Basic")]),
        ("the pod's own token", bearer(&home.pod.token())),
        ("the driver's audience", bearer(&driver)),
        ("the API server's audience", bearer(&api)),
    ] {
        let attack = home.asks_as(&authorization);
        table.refuses(name, &attack, &INVALID, &home.control, ONE);
    }
    table.finish();
}

#[test]
fn whoever_is_not_the_node_agents_account_in_a_pod_gets_nothing() {
    let home = Home::create("accounts");
    let mut table = home.table();
    let operator = Bound::to_pod(&part_of_system(OPERATOR, None));
    let operator = mint(SYSTEM, OPERATOR, AGENT_AUDIENCE, operator);
    let namesake = Bystander::create(&home.namespace, "agent", AGENT);
    let as_agent = |bound| mint(SYSTEM, AGENT, AGENT_AUDIENCE, bound);
    for (name, token, refusal) in [
        (
            "the pod's account",
            home.pod.token_for(AGENT_AUDIENCE),
            &NOT_THE_AGENT,
        ),
        ("the operator's account", operator, &NOT_THE_AGENT),
        (
            "its namesake elsewhere",
            namesake.token_for(AGENT_AUDIENCE),
            &NOT_THE_AGENT,
        ),
        ("not bound", as_agent(Bound::Nothing), &NO_POD),
        (
            "bound to a node only",
            as_agent(Bound::Node("node-a".to_owned())),
            &NO_POD,
        ),
    ] {
        let attack = home.asks_as(&bearer(&token));
        table.refuses(name, &attack, refusal, &home.control, ONE);
    }
    table.finish();
}

#[test]
fn a_forged_or_expired_agents_token_gets_nothing() {
    let home = Home::create("agents-forged");
    let mut table = home.table();
    let token = agent_token("node-a");
    let cluster = Key::of_cluster();
    // The control is made as the attacks are, with the cluster's own key.
    let genuine = home.asks_as(&bearer(&token.resigned(&cluster, |_| {})));
    let claims_node_a = |claims: &mut Value| {
        claims["kubernetes.io"]["node"]["name"] = json!("node-a");
    };
    for (name, token) in [
        ("another key", token.resigned(&Key::random(), |_| {})),
        ("no signature", token.unsigned()),
        ("expired", token.resigned(&cluster, expired)),
        (
            "another node's, altered",
            agent_token("node-b").altered(claims_node_a),
        ),
    ] {
        let attack = home.asks_as(&bearer(&token));
        table.refuses(name, &attack, &INVALID, &genuine, ONE);
    }
    table.finish();
}

/// An hour ago, for a minute.
fn expired(claims: &mut Value) {
    let begun = claims["iat"].as_i64().expect("a number") - 3600;
    claims["iat"] = json!(begun);
    claims["nbf"] = json!(begun);
    claims["exp"] = json!(begun + 60);
}
