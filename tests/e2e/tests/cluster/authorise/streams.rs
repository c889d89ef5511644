//! The stream that tells of changes: only for agents, and only of what was granted on their own node.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secretvault_delivery::AGENT_AUDIENCE;
use secretvault_e2e::{Namespace, SYSTEM, Vault, eventually};
use serde_json::json;
use tonic::Code;

use crate::attacker::{
    AGENT, Bound, Key, OPERATOR, Outcome, Stream, Told, agent_token, bearer, mint, part_of_system,
    volume,
};

use super::scene::{Bystander, Scene, bystander};

/// A vault, and a pod that shows it on each node.
struct Home {
    namespace: Namespace,
    scene: Scene,
    vault: Vault,
    near: Granted,
    far: Granted,
}

/// What a grant gave to watch with.
struct Granted {
    handle: Vec<u8>,
    generation: i64,
}

impl Home {
    fn create(prefix: &str) -> Self {
        let namespace = Namespace::create(prefix);
        let vault = Vault::named("app").text("password", "hunter2");
        vault.store(&namespace);
        let scene = Scene::new();
        let near = Bystander::create(&namespace, "near", "web");
        let mut far = bystander("far", "web");
        far["spec"]["nodeName"] = json!("node-b");
        let far = Bystander::create_as(&namespace, &far);
        let near = granted(&scene, &near, &scene.agent_a);
        let far = granted(&scene, &far, &scene.agent_b);
        assert_ne!(near.handle, far.handle);
        Self {
            namespace,
            scene,
            vault,
            near,
            far,
        }
    }

    /// The vault gets another value.
    fn change(&self, value: &str) {
        let vault = self.vault.clone().text("password", value);
        vault.store(&self.namespace);
    }
}

fn granted(scene: &Scene, pod: &Bystander, agent: &[String]) -> Granted {
    let volume = volume(&pod.0, &pod.token(), "app", "");
    let grant = eventually("the vault is granted", || {
        scene.operator.ask(agent, &volume).outcome.granted()
    });
    let [vault] = &grant.vaults[..] else {
        panic!("one vault");
    };
    assert!(!vault.handle.is_empty(), "nothing to watch with");
    Granted {
        handle: vault.handle.clone(),
        generation: vault.generation,
    }
}

/// A replica has two places for the streams of a node, and the node's own agent has one: of two tests that
/// watch as its agent, each would take the other's.
fn place() -> MutexGuard<'static, ()> {
    static PLACE: Mutex<()> = Mutex::new(());
    // A test that failed has given its place back like any other.
    PLACE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn whoever_is_no_agent_watches_nothing() {
    let _place = place();
    let scene = Scene::new();
    let namespace = Namespace::create("watchers");
    let pod = Bystander::create(&namespace, "web", "web");
    let as_agent = |audience, bound| bearer(&mint(SYSTEM, AGENT, audience, bound));
    let own = part_of_system(AGENT, Some("node-a"));
    let operators = Bound::to_pod(&part_of_system(OPERATOR, None));
    let operators = bearer(&mint(SYSTEM, OPERATOR, AGENT_AUDIENCE, operators));
    let forged = agent_token("node-a").resigned(&Key::random(), |_| {});
    let renamed = agent_token("node-b").altered(|claims| {
        claims["kubernetes.io"]["node"]["name"] = json!("node-a");
    });
    let (unknown, not_one) = (Code::Unauthenticated, Code::PermissionDenied);
    let attacks = [
        ("no token", vec![], unknown),
        ("a text", vec!["Bearer hunter2".to_owned()], unknown),
        ("the pod's own token", bearer(&pod.token()), unknown),
        (
            "another audience",
            as_agent("", Bound::to_pod(&own)),
            unknown,
        ),
        ("forged", bearer(&forged), unknown),
        ("another node's, altered", bearer(&renamed), unknown),
        (
            "another account",
            bearer(&pod.token_for(AGENT_AUDIENCE)),
            not_one,
        ),
        ("the operator's account", operators, not_one),
        (
            "bound to no pod",
            as_agent(AGENT_AUDIENCE, Bound::Nothing),
            not_one,
        ),
    ];
    for (name, authorization, code) in attacks {
        let refused = scene.operator.connect().watch(&authorization);
        let Err(Outcome::Rejected(seen, message)) = refused.map(drop) else {
            panic!("{name}: it watches");
        };
        assert_eq!(seen, code, "{name}: {message}");
        let control = scene.operator.connect().watch(&scene.agent_a);
        assert!(control.is_ok(), "{name}: the control");
    }
}

/// A handle that is not accepted is answered at once like one whose vault is gone, and then never again:
/// so whoever makes one up learns nothing of the vault.
#[test]
fn handles_of_another_node_and_made_up_ones_tell_nothing_of_a_vault() {
    let _place = place();
    let home = Home::create("handles");
    let (near, far) = (&home.near, &home.far);
    let mut stream = open(&home, &home.scene.agent_a);
    let changed_at = |at: usize| {
        let mut handle = near.handle.clone();
        handle[at] ^= 1;
        handle
    };
    let last = near.handle.len() - 1;
    let attacks: [(&str, Vec<u8>); 7] = [
        ("another node's", far.handle.clone()),
        ("another version", changed_at(0)),
        ("another node's name", changed_at(3)),
        ("another tag", changed_at(last)),
        ("cut", near.handle[..last].to_vec()),
        ("a text", b"hunter2".to_vec()),
        ("none", Vec::new()),
    ];
    let handles = attacks.iter().map(|(_, handle)| handle.as_slice());
    let handles = handles.chain([near.handle.as_slice()]);
    stream.subscribe(handles.map(|handle| (handle, near.generation)));
    let told: BTreeSet<Told> = stream.next().into_iter().collect();
    let expected = attacks.iter().map(|(_, handle)| (handle.clone(), 0));
    assert_eq!(
        told,
        expected.collect(),
        "refused ones at once, and the own one not"
    );

    home.change("changed");
    let told = stream.next();
    let own = (near.handle.clone(), near.generation + 1);
    assert_eq!(told, [own], "of the vault is told by the own handle alone");
    assert_eq!(stream.within(MOMENT), None, "and nothing more");
    drop(stream);

    // The control: the other node's handle is as good, for its own node.
    let mut stream = open(&home, &home.scene.agent_b);
    stream.subscribe([(near.handle.as_slice(), near.generation)]);
    assert_eq!(stream.next(), [(near.handle.clone(), 0)]);
    stream.subscribe([(far.handle.as_slice(), far.generation + 1)]);
    assert_eq!(stream.within(MOMENT), None, "it holds the newest");
    home.change("changed again");
    let own = (far.handle.clone(), far.generation + 2);
    assert_eq!(stream.next(), [own]);
}

/// A handle is a right to hear, not to have: what it was given for may not be had any more.
#[test]
fn a_handle_releases_nothing_and_outlives_no_right() {
    let _place = place();
    let home = Home::create("withdrawn");
    let near = &home.near;
    let mut stream = open(&home, &home.scene.agent_a);
    stream.subscribe([(near.handle.as_slice(), near.generation)]);
    let access = json!([{"serviceAccounts": ["nobody"]}]);
    let closed = home.vault.clone().spec("access", access);
    closed.store(&home.namespace);
    // It is told to ask again, once, and asking is refused.
    assert_eq!(stream.next(), [(near.handle.clone(), near.generation + 1)]);
    let pod = Bystander(home.namespace.get("pod/near"));
    let ask = home.scene.asks(&pod, "app", "");
    // The replica that is asked may hear of the change some moments after the one that told of it.
    let answer = eventually("asking is refused", || {
        let answer = home.scene.operator.ask(&ask.authorization, &ask.volume);
        match answer.outcome.to_string() {
            text if text.starts_with("Forbidden") => Ok(answer),
            text => Err(text),
        }
    });
    let found = answer.raw.windows(near.handle.len());
    assert!(!found.into_iter().any(|window| window == near.handle));
}

fn open(home: &Home, agent: &[String]) -> Stream {
    let stream = home.scene.operator.connect().watch(agent);
    let Ok(stream) = stream else {
        panic!("an agent watches");
    };
    stream
}

/// What is not told by then is not told: the own handle's change is, in milliseconds.
const MOMENT: Duration = Duration::from_secs(3);
