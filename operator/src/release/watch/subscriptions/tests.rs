mod any_order;
mod limits;

use std::slice::from_ref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secretvault_crds::SecretVault;

use super::super::handle::tests::consumer;
use super::*;

const ROOM: usize = 20_000;

struct Scene {
    shared: Shared,
    stream: Subscriptions,
}

impl Scene {
    /// A stream of the agent on `node-a`, and the vault `shop/app` at generation 3.
    fn new() -> Self {
        let shared = Shared {
            vaults: Vaults::of([app(3)]),
            keys: HandleKeys::generate(),
            consumers: Consumers::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            metrics: WatchMetrics::default(),
        };
        Self {
            stream: Subscriptions::new("node-a".to_owned(), shared.clone()),
            shared,
        }
    }

    fn handle_of(&self, consumer: &Consumer) -> Vec<u8> {
        handle::write(consumer, &self.shared.keys)
    }

    /// The handle of `shop/app` in `shop/web-0`.
    fn handle(&self) -> Vec<u8> {
        self.handle_of(&consumer())
    }

    /// Has the agent say what it holds; gives what it is told.
    fn say(&mut self, handle: &[u8], generation: i64) -> Told {
        let request = words(&[handle.to_vec()], generation);
        self.stream.hear(request).unwrap();
        self.told()
    }

    /// Changes the view; gives what the agent is told.
    fn see(&mut self, change: impl FnOnce(&Vaults)) -> Told {
        change(&self.shared.vaults);
        self.stream.look(&Change::Vault(consumer().vault));
        self.told()
    }

    fn told(&mut self) -> Told {
        let WatchEvent {
            changed,
            generations,
        } = self.stream.tell();
        assert!(!self.stream.has_news());
        changed.into_iter().zip(generations).collect()
    }

    fn holds_nothing(&self) -> bool {
        self.shared.consumers.snapshot().is_empty() && self.shared.room.available_permits() == ROOM
    }
}

type Told = Vec<(Vec<u8>, i64)>;

fn words(handles: &[Vec<u8>], generation: i64) -> WatchRequest {
    let words = handles.iter().map(|handle| Word {
        handle: handle.clone(),
        generation,
        since: 1,
    });
    WatchRequest {
        subscriptions: words.collect(),
        dropped: Vec::new(),
    }
}

fn dropped(handle: &[u8]) -> WatchRequest {
    WatchRequest {
        subscriptions: Vec::new(),
        dropped: vec![handle.to_vec()],
    }
}

fn vault(name: &str, uid: &str, generation: i64) -> SecretVault {
    SecretVault {
        metadata: ObjectMeta {
            namespace: Some("shop".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            generation: Some(generation),
            ..ObjectMeta::default()
        },
        ..SecretVault::default()
    }
}

fn app(generation: i64) -> SecretVault {
    vault("app", "uid-app", generation)
}

fn pod(index: usize) -> Consumer {
    Consumer {
        pod: format!("web-{index}"),
        ..consumer()
    }
}

#[test]
fn what_a_view_says_to_a_volume() {
    let holding = Holding {
        generation: 3,
        since: 1,
    };
    let awaited = Consumer {
        vault_uid: String::new(),
        ..consumer()
    };
    let at = |uid: &str, generation| {
        News::Changed(State::At {
            uid: uid.to_owned(),
            generation,
        })
    };
    let seen = |uid: &str, generation| Some(Seen::from(vault("app", uid, generation)));
    let unreadable = |uid: &str, generation| {
        Some(Seen::Unreadable {
            reference: consumer().vault,
            uid: uid.to_owned(),
            generation,
        })
    };
    let cases = [
        (consumer(), seen("uid-app", 3), News::None),
        (consumer(), seen("uid-app", 2), News::None),
        (consumer(), seen("uid-app", 4), at("uid-app", 4)),
        (consumer(), seen("uid-new", 1), at("uid-new", 1)),
        (consumer(), None, News::Changed(State::Absent)),
        (consumer(), unreadable("uid-app", 4), News::Unknown),
        (consumer(), unreadable("uid-new", 1), News::Unknown),
        (awaited.clone(), seen("uid-new", 1), at("uid-new", 1)),
        (awaited.clone(), None, News::None),
        (awaited, unreadable("uid-new", 1), News::Unknown),
    ];
    for (index, (consumer, seen, expected)) in cases.into_iter().enumerate() {
        let news = news(&consumer, holding, seen.as_ref());
        assert_eq!(news, expected, "case {index}");
    }
}

#[test]
fn a_volume_that_is_behind_is_told_at_once_and_then_once_for_each_change() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    assert_eq!(scene.say(&handle, 2), [(handle.clone(), 3)]);
    assert_eq!(scene.say(&handle, 2), [], "it could not act by it");
    assert_eq!(scene.see(|vaults| vaults.arrive(app(3))), []);
    assert_eq!(
        scene.see(|vaults| vaults.arrive(app(4))),
        [(handle.clone(), 4)]
    );
    assert_eq!(scene.say(&handle, 4), []);
    assert_eq!(
        scene.see(|vaults| vaults.arrive(app(5))),
        [(handle.clone(), 5)]
    );
    assert_eq!(
        scene.see(|vaults| vaults.leave(&consumer().vault)),
        [(handle.clone(), 0)]
    );
    assert_eq!(scene.see(|vaults| vaults.leave(&consumer().vault)), []);
    assert_eq!(
        scene.see(|vaults| vaults.arrive(vault("app", "uid-new", 1))),
        [(handle.clone(), 0)]
    );
}

#[test]
fn a_volume_that_got_only_half_way_is_told_again() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    assert_eq!(scene.say(&handle, 1).len(), 1);
    assert_eq!(scene.say(&handle, 2), [(handle.clone(), 3)]);
}

#[test]
fn a_volume_that_is_ahead_of_this_replica_is_told_nothing() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    assert_eq!(scene.say(&handle, 5), []);
    assert_eq!(scene.see(|vaults| vaults.arrive(app(5))), []);
    assert_eq!(scene.see(|vaults| vaults.arrive(app(6))).len(), 1);
}

#[test]
fn a_vault_that_cannot_be_read_is_no_news() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    let unreadable = |vaults: &Vaults| vaults.arrive_unreadable(consumer().vault, "uid-app", 4);
    assert_eq!(scene.say(&handle, 3), []);
    assert_eq!(scene.see(unreadable), []);
    assert_eq!(
        scene.see(|vaults| vaults.arrive(app(5))),
        [(handle.clone(), 5)]
    );
    assert_eq!(scene.see(unreadable), []);
    assert_eq!(
        scene.see(|vaults| vaults.arrive(app(5))),
        [],
        "that was told before"
    );
}

#[test]
fn a_vault_that_is_awaited_is_told_of_when_it_comes() {
    let mut scene = Scene::new();
    let awaited = Consumer {
        vault: VaultRef::new("shop", "late"),
        vault_uid: String::new(),
        ..consumer()
    };
    let handle = scene.handle_of(&awaited);
    assert_eq!(scene.say(&handle, 0), []);
    scene.shared.vaults.arrive(vault("late", "uid-late", 1));
    scene.stream.look(&Change::Vault(awaited.vault));
    assert_eq!(scene.told(), [(handle, 0)]);
}

#[test]
fn what_happens_while_the_agent_does_not_listen_is_told_once_and_as_it_is_now() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    assert_eq!(scene.say(&handle, 3), []);
    for generation in 4..100 {
        scene.shared.vaults.arrive(app(generation));
        scene.stream.look(&Change::Vault(consumer().vault));
    }
    assert_eq!(scene.told(), [(handle.clone(), 99)]);
    assert_eq!(scene.told(), []);
}

#[test]
fn what_the_agent_learned_elsewhere_needs_not_be_told() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    scene.say(&handle, 3);
    scene.shared.vaults.arrive(app(4));
    scene.stream.look(&Change::Vault(consumer().vault));
    assert!(scene.stream.has_news());
    assert_eq!(scene.say(&handle, 4), []);
}

#[test]
fn only_the_volumes_of_the_vault_that_changed_are_told() {
    let mut scene = Scene::new();
    let other = Consumer {
        vault: VaultRef::new("shop", "other"),
        vault_uid: "uid-other".to_owned(),
        ..consumer()
    };
    scene.shared.vaults.arrive(vault("other", "uid-other", 3));
    let handles = [
        scene.handle(),
        scene.handle_of(&pod(1)),
        scene.handle_of(&other),
    ];
    for handle in &handles {
        assert_eq!(scene.say(handle, 3), []);
    }
    let told = scene.see(|vaults| vaults.arrive(app(4)));
    let mut expected = vec![(handles[0].clone(), 4), (handles[1].clone(), 4)];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn after_a_list_everything_is_looked_at() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    scene.say(&handle, 3);
    scene.shared.vaults.relist([app(7)]);
    scene.stream.look(&Change::Everything);
    assert_eq!(scene.told(), [(handle, 7)]);
}

/// Neither now nor later does it matter whether the vault is there.
#[test]
fn a_forged_handle_is_answered_once_and_nothing_of_it_is_kept() {
    let mut scene = Scene::new();
    let other_node = Consumer {
        node: "node-b".to_owned(),
        ..consumer()
    };
    let missing = Consumer {
        vault: VaultRef::new("shop", "missing"),
        ..consumer()
    };
    let elsewhere = HandleKeys::generate();
    let mut cut = scene.handle();
    cut.pop();
    let forged = [
        handle::write(&consumer(), &elsewhere),
        handle::write(&missing, &elsewhere),
        scene.handle_of(&other_node),
        cut,
        b"forged".to_vec(),
        Vec::new(),
    ];
    for handle in forged {
        assert_eq!(scene.say(&handle, 3), [(handle.clone(), 0)]);
        assert_eq!(scene.say(&handle, 3), [(handle.clone(), 0)], "named again");
        let next = scene.shared.vaults.get(&consumer().vault).unwrap();
        let next = next.metadata.generation.unwrap() + 1;
        assert_eq!(scene.see(|vaults| vaults.arrive(app(next))), []);
        scene.stream.look(&Change::Everything);
        assert_eq!(scene.told(), []);
        assert!(scene.holds_nothing());
    }
}

#[test]
fn consumers_are_what_agents_say_and_go_with_the_stream() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    let holding = |scene: &Scene| scene.shared.consumers.snapshot().get(&consumer()).copied();
    scene.say(&handle, 3);
    let at = |generation| {
        Some(Holding {
            generation,
            since: 1,
        })
    };
    assert_eq!(holding(&scene), at(3));
    scene.say(&handle, 4);
    assert_eq!(holding(&scene), at(4));
    scene.stream.hear(dropped(&handle)).unwrap();
    assert!(scene.holds_nothing());
    scene.say(&handle, 4);
    assert_eq!(holding(&scene), at(4));
    scene.stream = Subscriptions::new("node-a".to_owned(), scene.shared.clone());
    assert!(scene.holds_nothing());
}

#[test]
fn a_volume_that_is_gone_is_not_told_of() {
    let mut scene = Scene::new();
    let handle = scene.handle();
    scene.stream.hear(words(from_ref(&handle), 1)).unwrap();
    scene.stream.hear(dropped(&handle)).unwrap();
    assert_eq!(scene.told(), []);
    assert_eq!(scene.see(|vaults| vaults.arrive(app(9))), []);
    assert!(scene.stream.by_vault.is_empty());
    scene.stream.hear(dropped(b"never there")).unwrap();
}
