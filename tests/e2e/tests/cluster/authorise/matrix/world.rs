//! What the cells are asked about: vaults of every rule, in two namespaces, and the pods that differ in
//! one thing each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use secretvault_delivery::AGENT_AUDIENCE;
use secretvault_e2e::{Namespace, Vault, eventually};
use serde_json::{Value, json};

use super::axes::{Agent, Cell, Place, PodToken, Rule};
use crate::attacker::{Key, Token, bearer, volume};
use crate::authorise::scene::{Bystander, Scene, bystander};
use crate::authorise::table::{Ask, Treasure};

/// Two namespaces with a vault of each rule, a third one, and the pods.
pub(super) struct World {
    pub(super) scene: Scene,
    /// What no answer may hold, but the releases.
    pub(super) treasure: Treasure,
    home: Namespace,
    palace: Namespace,
    _stranger: Namespace,
    pods: Pods,
    tokens: Vec<Token>,
    not_the_agent: Vec<String>,
}

/// All of them run as `web` with the label `app: web`, on node-a, unless they are named for what differs.
struct Pods {
    web: Bystander,
    other: Bystander,
    deleted: Bystander,
    other_account: Bystander,
    other_label: Bystander,
    on_node_b: Bystander,
    /// In the namespace elsewhere.
    king: Bystander,
    /// In the third namespace.
    stranger: Bystander,
}

/// A call that must be granted.
pub(super) struct Control {
    pub(super) name: String,
    pub(super) ask: Ask,
    /// What of the treasure must be in the answer.
    pub(super) released: BTreeSet<String>,
}

impl World {
    pub(super) fn create() -> Self {
        let [home, palace, stranger] =
            ["matrix", "matrix-palace", "matrix-stranger"].map(Namespace::create);
        apply_vaults(&home, None, &stranger);
        apply_vaults(&palace, Some(home.name()), &stranger);
        let scene = Scene::new();
        let pods = Pods::create(&home, &palace, &stranger);
        let mut world = Self {
            tokens: pods.tokens(),
            not_the_agent: bearer(&pods.web.token_for(AGENT_AUDIENCE)),
            treasure: Treasure::none(),
            scene,
            home,
            palace,
            _stranger: stranger,
            pods,
        };
        world.fill_treasure();
        world.delete_pod();
        world
    }

    /// What a cell asks.
    pub(super) fn ask(&self, cell: Cell) -> Ask {
        let pod = match cell.token {
            PodToken::DeletedPods => &self.pods.deleted,
            PodToken::Valid
            | PodToken::OtherPods
            | PodToken::OtherNamespaces
            | PodToken::WrongAudience
            | PodToken::Expired
            | PodToken::Forged
            | PodToken::None => &self.pods.web,
        };
        let place = PodToken::ALL.iter().position(|it| *it == cell.token);
        let token = &self.tokens[place.expect("one of all")];
        let authorization = match cell.agent {
            Agent::OfThePodsNode => self.scene.agent_a.clone(),
            Agent::OfTheOtherNode => self.scene.agent_b.clone(),
            Agent::OtherAccount => self.not_the_agent.clone(),
            Agent::None => Vec::new(),
        };
        Ask {
            authorization,
            volume: volume(&pod.0, token, &self.vault(cell), ENTRY),
        }
    }

    /// The vault that a cell asks for, as a pod names it.
    pub(super) fn vault(&self, cell: Cell) -> String {
        let namespace = if cell.place.is_elsewhere() {
            &self.palace
        } else {
            &self.home
        };
        let missing = if cell.place.is_missing() { "no-" } else { "" };
        format!("{}/{missing}{}", namespace.name(), cell.rule.vault())
    }

    /// The entry that a cell asks for, as the treasure names it.
    pub(super) fn entry(&self, cell: Cell) -> String {
        format!("{}/{ENTRY}", self.vault(cell))
    }

    /// For each vault the pod that it is for; and whatever else the refused cells differ from.
    pub(super) fn controls(&self) -> Vec<Control> {
        let mut controls: Vec<Control> = self.owners().collect();
        let vault = self.vault(Cell::of_a_good_pod(Rule::Allows, Place::Home));
        let with = |pod: &Bystander, token: &Token| self.scene.asks_with(pod, token, &vault, "");
        let web = &self.pods.web;
        let signed = web.token().resigned(&Key::of_cluster(), |_| {});
        let on_node_b = &self.pods.on_node_b;
        let far = with(on_node_b, &on_node_b.token()).authorized(&self.scene.agent_b);
        let other = &self.pods.other;
        for (name, ask) in [
            ("signed as the forged token is", with(web, &signed)),
            ("a pod of the other node, for that node's agent", far),
            ("the other pod, for itself", with(other, &other.token())),
        ] {
            controls.push(Control {
                name: name.to_owned(),
                ask,
                released: BTreeSet::from([format!("{vault}/{ENTRY}")]),
            });
        }
        controls
    }

    fn owners(&self) -> impl Iterator<Item = Control> {
        let places = [Place::Home, Place::Elsewhere].into_iter();
        let vaults = places.flat_map(|place| Rule::ALL.into_iter().map(move |it| (it, place)));
        vaults.map(|(rule, place)| {
            let vault = self.vault(Cell::of_a_good_pod(rule, place));
            let owner = self.owner(rule, place);
            let entries: &[&str] = match rule {
                Rule::None => &[ENTRY, OTHER],
                Rule::OtherEntry => &[OTHER],
                Rule::Allows | Rule::OtherAccount | Rule::OtherNamespace | Rule::OtherLabel => {
                    &[ENTRY]
                }
            };
            let entries = entries.iter().map(|entry| format!("{vault}/{entry}"));
            Control {
                name: format!("{rule:?}, {place:?}: for {}", owner.name()),
                ask: self.scene.asks(owner, &vault, ""),
                released: entries.collect(),
            }
        })
    }

    /// The pod that a vault is for.
    fn owner(&self, rule: Rule, place: Place) -> &Bystander {
        match rule {
            Rule::None if place.is_elsewhere() => &self.pods.king,
            Rule::None | Rule::Allows | Rule::OtherEntry => &self.pods.web,
            Rule::OtherAccount => &self.pods.other_account,
            Rule::OtherNamespace => &self.pods.stranger,
            Rule::OtherLabel => &self.pods.other_label,
        }
    }

    /// What each vault's owner gets, and all envelopes.
    fn fill_treasure(&mut self) {
        let owners: Vec<Control> = self.owners().collect();
        for owner in owners {
            let grant = eventually(&owner.name, || {
                let Ask {
                    authorization,
                    volume,
                } = &owner.ask;
                self.scene
                    .operator
                    .ask(authorization, volume)
                    .outcome
                    .granted()
            });
            self.treasure.add(&owner.ask.volume.vaults, &grant);
        }
        for namespace in [&self.home, &self.palace] {
            let stored = namespace.get("secretvault");
            for vault in stored["items"].as_array().expect("vaults") {
                let name = vault["metadata"]["name"].as_str().expect("a name");
                let name = format!("{}/{name}", namespace.name());
                self.treasure.add_envelopes(&name, vault);
            }
        }
    }

    /// The pod was served, and is gone.
    fn delete_pod(&self) {
        let deleted = &self.pods.deleted;
        let vault = self.vault(Cell::of_a_good_pod(Rule::Allows, Place::Home));
        let place = PodToken::ALL
            .iter()
            .position(|it| *it == PodToken::DeletedPods);
        let token = &self.tokens[place.expect("one of all")];
        let ask = self.scene.asks_with(deleted, token, &vault, ENTRY);
        let answer = self.scene.operator.ask(&ask.authorization, &ask.volume);
        let served = answer.outcome.granted();
        assert!(
            served.is_ok(),
            "the control, before it is deleted: {served:?}"
        );
        let delete = [
            "delete",
            "pod",
            deleted.name(),
            "--force",
            "--grace-period=0",
        ];
        let _ = self.home.kubectl(&delete).expect_success();
    }
}

impl Pods {
    fn create(home: &Namespace, palace: &Namespace, stranger: &Namespace) -> Self {
        let pod = |name: &str| {
            let mut pod = bystander(name, "web");
            pod["metadata"]["labels"]["app"] = json!("web");
            pod
        };
        let mut account = pod("other-account");
        account["spec"]["serviceAccountName"] = json!("other");
        let mut label = pod("other-label");
        label["metadata"]["labels"]["app"] = json!("other");
        let mut node = pod("on-node-b");
        node["spec"]["nodeName"] = json!("node-b");
        let at_home = [
            pod("web"),
            pod("other"),
            pod("deleted"),
            account,
            label,
            node,
        ];
        let created = <[_; 6]>::try_from(Bystander::create_all(home, &at_home));
        let Ok([web, other, deleted, other_account, other_label, on_node_b]) = created else {
            panic!("as many pods as were asked for");
        };
        let [king, stranger] = [palace, stranger].map(|namespace| {
            let mut created = Bystander::create_all(namespace, &[pod("web")]);
            created.pop().expect("a pod")
        });
        Self {
            web,
            other,
            deleted,
            other_account,
            other_label,
            on_node_b,
            king,
            stranger,
        }
    }

    /// One for each of [`PodToken::ALL`], in this order.
    fn tokens(&self) -> Vec<Token> {
        let valid = self.web.token();
        let tokens = PodToken::ALL.map(|token| match token {
            PodToken::Valid => valid.clone(),
            PodToken::OtherPods => self.other.token(),
            PodToken::DeletedPods => self.deleted.token(),
            PodToken::OtherNamespaces => self.stranger.token(),
            PodToken::WrongAudience => self.web.token_for(AGENT_AUDIENCE),
            PodToken::Expired => valid.resigned(&Key::of_cluster(), expire),
            PodToken::Forged => valid.resigned(&Key::random(), |_| {}),
            PodToken::None => Token::from_text(""),
        });
        tokens.into()
    }
}

/// It ended a minute ago, after an hour.
fn expire(claims: &mut Value) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    claims["iat"] = json!(now - 3660);
    claims["nbf"] = json!(now - 3660);
    claims["exp"] = json!(now - 60);
}

/// A vault of each rule. For pods of `guests`, where that is another namespace than the vaults' own.
fn apply_vaults(namespace: &Namespace, guests: Option<&str>, stranger: &Namespace) {
    let vaults = Rule::ALL.map(|rule| {
        let vault = Vault::named(rule.vault())
            .text(ENTRY, &format!("hunter2-{}", rule.vault()))
            .text(OTHER, &format!("t-1-{}", rule.vault()));
        let vault = match access(rule, guests, stranger) {
            Some(access) => vault.spec("access", json!([access])),
            None => vault,
        };
        let manifest: Value = serde_json::from_str(&vault.manifest()).expect("JSON");
        manifest
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": vaults});
    let _ = namespace.apply(&list.to_string()).expect_success();
}

fn access(rule: Rule, guests: Option<&str>, stranger: &Namespace) -> Option<Value> {
    let namespaces = guests.map(|guests| json!({"names": [guests]}));
    let mut allows = BTreeMap::from([
        ("serviceAccounts", json!(["web"])),
        ("podSelector", json!({"matchLabels": {"app": "web"}})),
        ("entries", json!(["db/*"])),
    ]);
    allows.extend(namespaces.map(|namespaces| ("namespaces", namespaces)));
    let other = match rule {
        Rule::None => return None,
        Rule::Allows => None,
        Rule::OtherAccount => Some(("serviceAccounts", json!(["other"]))),
        Rule::OtherNamespace => Some(("namespaces", json!({"names": [stranger.name()]}))),
        Rule::OtherLabel => Some(("podSelector", json!({"matchLabels": {"app": "other"}}))),
        Rule::OtherEntry => Some(("entries", json!(["smtp/*"]))),
    };
    allows.extend(other);
    Some(json!(allows))
}

/// What every cell asks for.
const ENTRY: &str = "db/password";

/// The vaults' other entry.
const OTHER: &str = "smtp/token";
