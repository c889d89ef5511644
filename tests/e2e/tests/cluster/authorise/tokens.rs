//! A pod is served by its own, living token, on its own node.

use std::time::{SystemTime, UNIX_EPOCH};

use secretvault_delivery::{AGENT_AUDIENCE, v1::Reason};
use secretvault_e2e::{Namespace, Vault};
use serde_json::{Value, json};

use crate::attacker::{Bound, Key, Token, agent_token, mint};

use super::scene::{Bystander, Scene, bystander};
use super::table::{Ask, Refusal, Table, Treasure};

const INVALID: Refusal =
    Refusal::Denied(&[(Reason::TokenRejected, "the token is not valid (any more)")]);
/// The API server does not know a pod any more that is gone. If it has not noticed yet, or this
/// replica has had the token reviewed a moment ago, our own look at the pod says so.
const GONE: Refusal = Refusal::Denied(&[
    (Reason::TokenRejected, "the token is not valid (any more)"),
    (Reason::PodMismatch, "the pod does not exist any more"),
]);
const REPLACED: Refusal = Refusal::Denied(&[
    (Reason::TokenRejected, "the token is not valid (any more)"),
    (Reason::TokenRejected, "another pod's: the UID differs"),
    (Reason::PodMismatch, "the pod was replaced by another"),
]);
const NO_POD: Refusal = Refusal::Denied(&[(
    Reason::TokenRejected,
    "the token is not bound to a pod on a node: authentication.kubernetes.io/pod-name",
)]);
const NO_NODE: Refusal = Refusal::Denied(&[(
    Reason::TokenRejected,
    "the token is not bound to a pod on a node: authentication.kubernetes.io/node-name",
)]);
const OTHER_NODE: Refusal =
    Refusal::Denied(&[(Reason::PodMismatch, "the pod is not on the agent's node")]);
const ENDED: Refusal = Refusal::Denied(&[(Reason::PodMismatch, "the pod has ended")]);
const TERMINATING: Refusal = Refusal::Denied(&[(Reason::PodMismatch, "the pod is being deleted")]);
const ONE: &[&str] = &["password"];

/// A namespace with a vault for all its pods, and one pod that gets it.
struct Home {
    namespace: Namespace,
    scene: Scene,
    pod: Bystander,
    treasure: Treasure,
}

impl Home {
    fn create(prefix: &str) -> Self {
        let namespace = Namespace::create(prefix);
        let vault = Vault::named("app").text("password", "hunter2");
        vault.store(&namespace);
        let scene = Scene::new();
        let pod = Bystander::create(&namespace, "web", "web");
        let treasure = Treasure::of(&scene.operator, &scene.asks(&pod, "app", ""));
        Self {
            namespace,
            scene,
            pod,
            treasure,
        }
    }

    fn table(&self) -> Table<'_> {
        Table::new(&self.scene.operator, &self.treasure)
    }

    /// The pod, with this token.
    fn asks_with(&self, token: &Token) -> Ask {
        self.scene.asks_with(&self.pod, token, "app", "")
    }

    /// The pod as it should be.
    fn control(&self) -> Ask {
        self.asks_with(&self.pod.token())
    }

    fn pod(&self, name: &str) -> Bystander {
        Bystander::create(&self.namespace, name, "web")
    }
}

#[test]
fn a_token_for_anybody_else_releases_nothing() {
    let home = Home::create("audience");
    let control = home.control();
    let mut table = home.table();
    for (name, token) in [
        (
            "the operator's audience",
            home.pod.token_for(AGENT_AUDIENCE),
        ),
        ("the API server's audience", home.pod.token_for("")),
        (
            "another driver's audience",
            home.pod.token_for("csi.example.com"),
        ),
        ("the agent's token", agent_token("node-a")),
        ("no token", Token::from_text("")),
        ("a text", Token::from_text("hunter2")),
    ] {
        table.refuses(name, &home.asks_with(&token), &INVALID, &control, ONE);
    }
    table.finish();
}

/// What we sign with the cluster's key is as good as the API server's own: so the control is made
/// as the attack is.
#[test]
fn a_forged_or_expired_token_releases_nothing() {
    let home = Home::create("forged");
    let token = home.pod.token();
    let cluster = Key::of_cluster();
    let signed = |change: fn(&mut Value)| home.asks_with(&token.resigned(&cluster, change));
    let genuine = signed(|_| {});
    let mut table = home.table();
    let mut refuses = |name: &str, attack: &Ask, control: &Ask| {
        table.refuses(name, attack, &INVALID, control, ONE);
    };
    let forged = home.asks_with(&token.resigned(&Key::random(), |_| {}));
    refuses("another key", &forged, &genuine);
    refuses("no signature", &home.asks_with(&token.unsigned()), &genuine);
    let issuer = signed(|claims| claims["iss"] = json!("https://example.com"));
    refuses("another issuer", &issuer, &genuine);

    let in_time = signed(|claims| valid(claims, -3600, 3600));
    let expired = signed(|claims| valid(claims, -3600, -60));
    refuses("expired", &expired, &in_time);
    let early = signed(|claims| valid(claims, 3600, 7200));
    refuses("not valid yet", &early, &in_time);

    // Another pod's token, made to name this one.
    let uid = home.pod.0["metadata"]["uid"].clone();
    let claim = |claims: &mut Value| {
        claims["kubernetes.io"]["pod"]["name"] = json!("web");
        claims["kubernetes.io"]["pod"]["uid"] = uid.clone();
    };
    let other = home.pod("other").token();
    let genuine = home.asks_with(&other.resigned(&cluster, claim));
    refuses(
        "altered after it was signed",
        &home.asks_with(&other.altered(claim)),
        &genuine,
    );
    table.finish();
}

#[test]
fn a_token_that_proves_no_pod_on_a_node_releases_nothing() {
    let home = Home::create("bound");
    let control = home.control();
    let mut table = home.table();
    let name = home.namespace.name();
    let audience = secretvault_delivery::POD_AUDIENCE;

    let node = mint(name, "web", audience, Bound::Node("node-a".to_owned()));
    table.refuses(
        "bound to a node only",
        &home.asks_with(&node),
        &NO_POD,
        &control,
        ONE,
    );
    let nothing = mint(name, "web", audience, Bound::Nothing);
    table.refuses(
        "bound to nothing",
        &home.asks_with(&nothing),
        &NO_POD,
        &control,
        ONE,
    );

    let mut waiting = bystander("waiting", "web");
    waiting["spec"]["nodeName"] = Value::Null;
    waiting["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
    let waiting = Bystander::create_as(&home.namespace, &waiting);
    let attack = home.scene.asks(&waiting, "app", "");
    table.refuses("a pod on no node yet", &attack, &NO_NODE, &control, ONE);
    table.finish();
}

#[test]
fn an_agent_gets_nothing_for_pods_of_another_node() {
    let home = Home::create("nodes");
    let mut far = bystander("far", "web");
    far["spec"]["nodeName"] = json!("node-b");
    let far = Bystander::create_as(&home.namespace, &far);
    let mut table = home.table();

    let attack = home.scene.asks(&far, "app", "");
    let control = attack.clone().authorized(&home.scene.agent_b);
    table.refuses(
        "a pod on node-b, the agent of node-a",
        &attack,
        &OTHER_NODE,
        &control,
        ONE,
    );
    let control = home.control();
    let attack = control.clone().authorized(&home.scene.agent_b);
    table.refuses(
        "a pod on node-a, the agent of node-b",
        &attack,
        &OTHER_NODE,
        &control,
        ONE,
    );
    table.finish();
}

#[test]
fn an_agent_cannot_ask_for_one_pod_with_the_token_of_another() {
    let home = Home::create("other");
    let other = Bystander::create(&home.namespace, "other", "other");
    let control = home.control();
    let mut table = home.table();
    let name = Refusal::Denied(&[(Reason::TokenRejected, "another pod's: the name differs")]);

    let attack = home.scene.asks_with(&other, &home.pod.token(), "app", "");
    table.refuses("another pod, its own token", &attack, &name, &control, ONE);
    let attack = home.asks_with(&other.token());
    table.refuses(
        "its own pod, another's token",
        &attack,
        &name,
        &control,
        ONE,
    );

    let strangers = Namespace::create("other-stranger");
    let stranger = Bystander::create(&strangers, "web", "web");
    let namespace = Refusal::Denied(&[(Reason::TokenRejected, "the namespace differs")]);
    let attack = home.asks_with(&stranger.token());
    table.refuses(
        "the same names of another namespace",
        &attack,
        &namespace,
        &control,
        ONE,
    );
    let uid = Refusal::Denied(&[(Reason::TokenRejected, "the UID differs")]);
    let attack = control.clone().with(|volume| {
        volume.pod.as_mut().unwrap().uid = "00000000-0000-0000-0000-000000000000".to_owned();
    });
    table.refuses("another UID", &attack, &uid, &control, ONE);
    let account = Refusal::Denied(&[(Reason::TokenRejected, "the service account differs")]);
    let attack = control.clone().with(|volume| {
        volume.pod.as_mut().unwrap().service_account = "default".to_owned();
    });
    table.refuses("another service account", &attack, &account, &control, ONE);
    let attack = control.clone().with(|volume| volume.pod = None);
    table.refuses("no pod named", &attack, &namespace, &control, ONE);
    table.finish();
}

#[test]
fn a_pod_that_lives_no_more_gets_nothing() {
    let home = Home::create("dead");
    let mut table = home.table();
    let delete = |pod: &Bystander| {
        let delete = ["delete", "pod", pod.name(), "--force", "--grace-period=0"];
        let _ = home.namespace.kubectl(&delete).expect_success();
    };
    let asks = |pod: &Bystander| home.scene.asks(pod, "app", "");

    let unseen = home.pod("unseen");
    let attack = asks(&unseen);
    delete(&unseen);
    table.refuses("deleted", &attack, &GONE, &home.control(), ONE);

    let known = home.pod("known");
    let attack = asks(&known);
    table.releases("alive", &attack, ONE);
    delete(&known);
    // Each replica is asked, whether it has served the pod or not.
    for _ in 0..8 {
        let name = "deleted after it was served";
        table.refuses(name, &attack, &GONE, &home.control(), ONE);
    }

    let replaced = home.pod("replaced");
    let attack = asks(&replaced);
    delete(&replaced);
    let replacing = home.pod("replaced");
    let control = asks(&replacing);
    table.refuses("replaced", &attack, &REPLACED, &control, ONE);
    let uid = replacing.0["metadata"]["uid"].as_str().unwrap().to_owned();
    let attack = attack.with(|volume| volume.pod.as_mut().unwrap().uid = uid);
    table.refuses(
        "replaced, with the new UID",
        &attack,
        &REPLACED,
        &control,
        ONE,
    );
    table.finish();
}

#[test]
fn a_pod_that_ends_or_is_being_deleted_gets_no_first_grant() {
    let home = Home::create("ending");
    let mut table = home.table();
    let asks = |pod: &Bystander| home.scene.asks(pod, "app", "");

    let mut ended = bystander("ended", "web");
    ended["spec"]["restartPolicy"] = json!("Never");
    ended["spec"]["containers"][0]["command"] = json!(["true"]);
    let ended = Bystander::create_as(&home.namespace, &ended);
    wait_phase(&home.namespace, "pod/ended", "Succeeded");
    table.refuses("ended", &asks(&ended), &ENDED, &home.control(), ONE);

    // It runs, and has time to end: else kubelet may say that it has ended before we ask.
    let mut held = bystander("held", "web");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    held["spec"]["terminationGracePeriodSeconds"] = json!(600);
    let held = Bystander::create_as(&home.namespace, &held);
    let _held = Held(&home.namespace, "pod/held");
    wait_phase(&home.namespace, "pod/held", "Running");
    let ask = asks(&held);
    table.releases("not yet deleted", &ask, ONE);
    let delete = ["delete", "pod", "held", "--wait=false"];
    let _ = home.namespace.kubectl(&delete).expect_success();
    table.refuses("being deleted", &ask, &TERMINATING, &home.control(), ONE);
    table.finish();
}

fn wait_phase(namespace: &Namespace, pod: &str, phase: &str) {
    let phase = format!("--for=jsonpath={{.status.phase}}={phase}");
    let wait = ["wait", pod, &phase, "--timeout=5m"];
    let _ = namespace.kubectl(&wait).expect_success();
}

/// A pod with a finalizer. Gone when it drops, or the namespace would wait for it.
struct Held<'a>(&'a Namespace, &'a str);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let now = ["--force", "--grace-period=0", "--wait=false"];
        let delete = [&["delete", self.1], &now[..]].concat();
        // While it is there still, or its node would not hear that the grace time is over.
        let _ = self.0.kubectl(&delete);
        let patch = r#"{"metadata": {"finalizers": null}}"#;
        let _ = self
            .0
            .kubectl(&["patch", self.1, "--type=merge", "-p", patch]);
    }
}

/// Makes a token's times, in seconds from now.
fn valid(claims: &mut Value, from: i64, until: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("before the end");
    claims["iat"] = json!(now + from);
    claims["nbf"] = json!(now + from);
    claims["exp"] = json!(now + until);
}
