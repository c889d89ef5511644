//! The authorisation matrix: every pod's token × every agent × every rule × every place of the vault, asked
//! of every replica, and compared with a table that was written by hand.

mod axes;
mod expected;
mod judge;
mod world;

use std::thread;

use self::axes::{Cell, Place};
use self::judge::{Judge, Row};
use self::world::World;
use crate::attacker::{Connection, Outcome};

#[test]
fn every_cell_of_the_authorisation_matrix_is_as_the_table_says() {
    let world = World::create();
    let replicas = world.scene.operator.replicas();
    assert!(replicas.len() > 1, "only {} replica", replicas.len());
    let mut judges = Vec::new();
    thread::scope(|scope| {
        let world = &world;
        let running = replicas.into_iter();
        let running = running.map(|replica| scope.spawn(move || ask_all(world, &replica)));
        let running: Vec<_> = running.collect();
        judges.extend(running.into_iter().map(|it| it.join().expect("all cells")));
    });
    for (replica, judge) in judges.iter().enumerate() {
        judge.print(replica);
    }
    let wrong: Vec<&String> = judges.iter().flat_map(Judge::wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} cells are wrong: {wrong:#?}",
        wrong.len()
    );
}

/// All cells, and the controls, of one replica.
fn ask_all(world: &World, replica: &Connection) -> Judge {
    let mut judge = Judge::default();
    for control in world.controls() {
        let answer = replica.ask(&control.ask.authorization, &control.ask.volume);
        let found = world.treasure.found_in(&answer.raw);
        let found = found.into_iter().map(str::to_owned).collect();
        judge.control(&control.name, &answer.outcome, &found, &control.released);
    }
    for cell in Cell::all() {
        let ask = world.ask(cell);
        let answer = replica.ask(&ask.authorization, &ask.volume);
        let found = world.treasure.found_in(&answer.raw);
        let found = found.into_iter().map(str::to_owned).collect();
        judge.take(Row {
            cell,
            outcome: answer.outcome,
            found,
            released: world.entry(cell),
        });
    }
    judge
}

/// What a pod hears of another namespace's vault tells it nothing: neither whether the vault is there, nor
/// whether the entry is.
#[test]
fn missing_and_forbidden_look_the_same_from_another_namespace_whatever_the_rule() {
    let world = World::create();
    let replicas = world.scene.operator.replicas();
    for replica in &replicas {
        let words = |place: Place, rule, items: &str| {
            let cell = Cell::of_a_good_pod(rule, place);
            let ask = world
                .ask(cell)
                .with(|volume| items.clone_into(&mut volume.items));
            let answer = replica.ask(&ask.authorization, &ask.volume);
            plain(&answer.outcome, &world.vault(cell))
        };
        for rule in axes::Rule::that_keep_out() {
            for items in ["", "db/password", "db/nothing", "nothing", "*", "**"] {
                let forbidden = words(Place::Elsewhere, rule, items);
                assert!(
                    forbidden.starts_with("Forbidden: vault VAULT"),
                    "{forbidden}"
                );
                let missing = words(Place::MissingElsewhere, rule, items);
                assert_eq!(missing, forbidden, "{rule:?}, items {items:?}");
            }
        }
        // Of the vault that it may have a part of, it is not told which other entries there are.
        let rule = axes::Rule::OtherEntry;
        let [there, absent] = ["db/password", "db/nothing"]
            .map(|entry| words(Place::Elsewhere, rule, entry).replace(entry, "ENTRY"));
        assert!(there.starts_with("Forbidden: entry ENTRY"), "{there}");
        assert_eq!(there, absent);
        // The comparison can fail: at home the words differ.
        let rule = axes::Rule::OtherAccount;
        let [forbidden, missing] =
            [Place::Home, Place::Missing].map(|place| words(place, rule, "db/password"));
        assert_ne!(forbidden, missing);
    }
}

fn plain(outcome: &Outcome, vault: &str) -> String {
    outcome.to_string().replace(vault, "VAULT")
}
