use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive(i64),
    Leave,
    Remake,
    Unread,
    Say(i64),
    Drop,
    Relist,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1_i64..6).prop_map(Step::Arrive),
        Just(Step::Leave),
        Just(Step::Remake),
        Just(Step::Unread),
        (1_i64..6).prop_map(Step::Say),
        Just(Step::Drop),
        Just(Step::Relist),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens in whatever order: who listens knows of the newest state that differs
    /// from what it says, is told of nothing that does not, and of nothing twice.
    #[test]
    fn who_listens_knows_what_is_new(steps in steps()) {
        let mut scene = Scene::new();
        let handle = scene.handle();
        let mut held: Option<i64> = None;
        let mut known = None;
        for step in steps {
            match step {
                Step::Arrive(generation) => scene.shared.vaults.arrive(app(generation)),
                Step::Leave => scene.shared.vaults.leave(&consumer().vault),
                Step::Remake => scene.shared.vaults.arrive(vault("app", "uid-new", 1)),
                Step::Unread => {
                    scene.shared.vaults.arrive_unreadable(consumer().vault, "uid-app", 9);
                }
                Step::Say(generation) => {
                    scene.stream.hear(words(from_ref(&handle), generation)).unwrap();
                    if held != Some(generation) {
                        known = None;
                    }
                    held = Some(generation);
                }
                Step::Drop => {
                    scene.stream.hear(dropped(&handle)).unwrap();
                    (held, known) = (None, None);
                }
                Step::Relist => {}
            }
            if matches!(step, Step::Relist) {
                scene.stream.look(&Change::Everything);
            } else {
                scene.stream.look(&Change::Vault(consumer().vault));
            }
            let told = scene.told();
            let seen = scene.shared.vaults.seen(&consumer().vault);
            let news = held.map(|generation| {
                let holding = Holding { generation, since: 1 };
                news(&consumer(), holding, seen.as_ref())
            });
            let new = match news {
                Some(News::Changed(state)) if known.as_ref() != Some(&state) => {
                    known = Some(state);
                    true
                }
                Some(News::None) => {
                    known = None;
                    false
                }
                Some(News::Changed(_) | News::Unknown) | None => false,
            };
            prop_assert_eq!(told.len(), usize::from(new), "{:?}", step);
        }
    }
}
