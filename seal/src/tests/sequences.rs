//! Whatever happens to a vault in whichever order, it opens to what was applied last.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Object;
use super::world::{World, operator, raised, raised_by, wish};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The whole manifest, with plain values.
    Apply(BTreeMap<String, String>),
    /// A reseal that somebody asked for, together with a value.
    EditAndReseal(String, String),
    /// One value, by a patch.
    Edit(String, String),
    /// The vault's own provider is another now.
    Move(&'static str),
    /// The controller's reseal, to the provider that the vault should have.
    Reseal(&'static str),
    /// The provider's primary key is a new one, and the controller wraps with it.
    Rewrap,
    /// Something that is refused.
    Wrong(Mistake),
}

#[derive(Clone, Copy, Debug)]
enum Mistake {
    BothProvidersDown,
    ForeignDataKey,
    MovedEnvelope,
    NewProviderAbsent,
    RekeyTooFar,
}

fn step() -> impl Strategy<Value = Step> {
    let entry = || prop::sample::select(vec!["a", "b/c", "d"]).prop_map(str::to_owned);
    let value = || "[a-z]{0,70}";
    let provider = || prop::sample::select(vec!["default", "transit"]);
    let mistake = prop::sample::select(vec![
        Mistake::BothProvidersDown,
        Mistake::ForeignDataKey,
        Mistake::MovedEnvelope,
        Mistake::NewProviderAbsent,
        Mistake::RekeyTooFar,
    ]);
    prop_oneof![
        prop::collection::btree_map(entry(), value(), 1..4).prop_map(Step::Apply),
        (entry(), value()).prop_map(|(entry, value)| Step::EditAndReseal(entry, value)),
        (entry(), value()).prop_map(|(entry, value)| Step::Edit(entry, value)),
        provider().prop_map(Step::Move),
        provider().prop_map(Step::Reseal),
        Just(Step::Rewrap),
        mistake.prop_map(Step::Wrong),
    ]
}

/// A vault, and what it should open to.
struct Scene {
    world: World,
    stored: Object,
    values: BTreeMap<String, String>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let values = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let stored = world.store(json!({"data": values}));
        Self {
            world,
            stored,
            values,
        }
    }

    fn take(&mut self, step: Step) {
        let before = self.stored.typed().content_revision();
        let values = self.values.clone();
        match step {
            Step::Apply(values) => {
                let mut spec = json!({"data": values});
                spec["keyProvider"] = self.stored.spec["keyProvider"].clone();
                self.values = values;
                self.stored = self.world.put(Some(&self.stored), &Object::new(spec));
            }
            Step::Edit(entry, value) => self.edit(self.stored.clone(), entry, value),
            Step::EditAndReseal(entry, value) => self.edit(raised(&self.stored), entry, value),
            Step::Move(provider) => {
                let incoming = self.stored.with("keyProvider", json!(provider));
                let moved = self
                    .world
                    .request(Some(&self.stored), &incoming, &wish(provider));
                self.stored = moved.unwrap().0;
            }
            Step::Reseal(provider) => {
                self.stored = self.world.reseal(&self.stored, provider).unwrap();
                assert_eq!(self.stored.data_key().provider, provider);
            }
            Step::Rewrap => {
                let provider = self.stored.data_key().provider;
                self.world.provider(&provider).version += 1;
                let incoming = self.world.rewrapped(&self.stored);
                let wish = operator(&provider);
                let rewrapped = self.world.request(Some(&self.stored), &incoming, &wish);
                self.stored = rewrapped.unwrap().0;
                assert_eq!(self.stored.spec, incoming.spec);
            }
            Step::Wrong(mistake) => self.fail(mistake),
        }
        // A change of content is a change of values, and nothing else.
        let after = self.stored.typed().content_revision();
        if self.values == values {
            assert_eq!(after, before);
        } else {
            assert_ne!(after, before);
        }
    }

    fn edit(&mut self, mut incoming: Object, entry: String, value: String) {
        incoming.spec["data"][&entry] = json!(value);
        let provider = self.stored.data_key().provider;
        let edited = self
            .world
            .request(Some(&self.stored), &incoming, &wish(&provider));
        self.stored = edited.unwrap().0;
        self.values.insert(entry, value);
    }

    /// Refused, and by that the world is as it was.
    fn fail(&mut self, mistake: Mistake) {
        let mut world = self.world.clone();
        let mut incoming = raised(&self.stored);
        let mut wish = wish("default");
        match mistake {
            Mistake::BothProvidersDown => {
                world.provider("default").down = true;
                world.provider("transit").down = true;
            }
            Mistake::ForeignDataKey => incoming.spec["dataKey"]["id"] = json!("0".repeat(32)),
            Mistake::MovedEnvelope => {
                let elsewhere = world.store(json!({"data": {"a": "1"}}));
                incoming.spec["data"]["z"] = elsewhere.spec["data"]["a"].clone();
            }
            Mistake::NewProviderAbsent => wish.provider = "absent",
            Mistake::RekeyTooFar => incoming = raised_by(&self.stored, 1_000_001),
        }
        let refused = world.request(Some(&self.stored), &incoming, &wish);
        assert!(refused.is_err(), "{mistake:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_vault_opens_to_what_was_applied_last(steps in prop::collection::vec(step(), 1..12)) {
        let mut scene = Scene::new();
        for step in steps {
            scene.take(step);
            let opened = scene.world.values(&scene.stored);
            let opened: BTreeMap<String, Value> = opened
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8(value).unwrap().into()))
                .collect();
            let expected: BTreeMap<String, Value> = scene
                .values
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            prop_assert_eq!(opened, expected);
        }
    }
}
