use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, sample::select};
use secretvault_vault::{
    Edit, EditVerb, Editor, EditorRule, EntryName, Written, check_removal, edits, uncovered,
};

use super::{EditorWords, VERBS, Vault, account, all, edit, jane, may, user};
use crate::fixture::entry;

const NAMES: [&str; 5] = ["a", "b", "db/a", "db/b", "db/x/a"];
const PATTERNS: [&str; 6] = ["a", "*", "**", "db/*", "db/**", "**/a"];

fn a_rule() -> impl Strategy<Value = EditorRule> {
    let patterns = vec(select(PATTERNS.to_vec()), 1..3);
    (
        prop::sample::subsequence(vec!["jane", "joe"], 0..=2),
        prop::sample::subsequence(vec!["oncall", "dba"], 0..=2),
        prop::sample::subsequence(vec!["deployer", "dep*", "ci/*"], 0..=3),
        prop::sample::subsequence(VERBS.to_vec(), 0..=3),
        option::of(patterns),
    )
        .prop_map(|(users, groups, accounts, verbs, entries)| {
            let rule = all().users(&users).groups(&groups);
            let rule = rule.accounts(&accounts).only(&verbs);
            match entries {
                Some(entries) => rule.to(&entries),
                None => rule,
            }
        })
}

fn an_editor() -> impl Strategy<Value = Editor> {
    select(vec![
        jane(),
        user("joe", &[]),
        user("jim", &["dba"]),
        account("shop", "deployer"),
        account("ci", "deployer"),
        account("ci", "other"),
    ])
}

fn an_edit() -> impl Strategy<Value = Edit> {
    let path = option::of(select(NAMES.to_vec()));
    (select(VERBS.to_vec()), select(NAMES.to_vec()), path).prop_map(|(verb, name, path)| Edit {
        path: path.map(|path| path.parse().unwrap()),
        ..edit(verb, name)
    })
}

fn a_vault() -> impl Strategy<Value = Vault> {
    let content = select(vec!["1", "2"]);
    let path = option::of(select(vec!["p", "q/r"]));
    let one = (select(NAMES.to_vec()), content, path);
    vec(one, 0..6).prop_map(|entries| {
        let entries = entries.into_iter().map(|(name, content, path)| {
            let path = path.map(|path| path.parse().unwrap());
            (entry(name), Written { content, path })
        });
        entries.collect()
    })
}

proptest! {
    #[test]
    fn removing_a_rule_or_a_part_of_one_never_widens(
        rules in vec(a_rule(), 1..4),
        editor in an_editor(),
        edit in an_edit(),
        which in any::<prop::sample::Index>(),
        part in 0..6_usize,
    ) {
        let mut narrow = rules.clone();
        let index = which.index(narrow.len());
        match part {
            0 => drop(narrow.remove(index)),
            1 => drop(narrow[index].users.pop()),
            2 => drop(narrow[index].groups.pop()),
            3 => drop(narrow[index].service_accounts.pop()),
            4 => drop(narrow[index].verbs.pop()),
            _ => narrow[index].entries = Some(vec!["db/*".parse().unwrap()]),
        }
        // The last one says something else, where the rule had other entries.
        prop_assume!(part < 5 || rules[index].entries.is_none());
        prop_assert!(!may(&narrow, &editor, edit.clone()) || may(&rules, &editor, edit));
    }

    #[test]
    fn what_no_rule_with_that_verb_covers_is_never_let_through(
        rules in vec(a_rule(), 0..4),
        editor in an_editor(),
        edit in an_edit(),
    ) {
        let covered = |name: &EntryName| rules.iter().any(|rule| {
            let entries = rule.entries.as_ref();
            rule.verbs.contains(&edit.verb)
                && entries.is_none_or(|it| it.iter().any(|pattern| pattern.matches(name)))
        });
        let path = edit.path.as_ref().map(EntryName::from);
        if !covered(&edit.entry) || path.is_some_and(|path| !covered(&path)) {
            prop_assert!(!may(&rules, &editor, edit));
        }
    }

    /// One edit is not let through because of another.
    #[test]
    fn each_edit_is_judged_for_itself(
        rules in vec(a_rule(), 0..4),
        editor in an_editor(),
        edits in vec(an_edit(), 0..6),
    ) {
        let alone: Vec<Edit> =
            edits.iter().filter(|it| !may(&rules, &editor, (*it).clone())).cloned().collect();
        prop_assert_eq!(uncovered(&rules, "shop", &editor, edits), alone);
    }

    #[test]
    fn each_entry_that_differs_is_one_edit_and_no_other_is(stored in a_vault(), incoming in a_vault()) {
        let edits = edits(&stored, &incoming);
        let names: BTreeSet<&EntryName> = stored.keys().chain(incoming.keys()).collect();
        let differ = names.into_iter().filter(|name| stored.get(*name) != incoming.get(*name));
        prop_assert_eq!(edits.iter().map(|edit| &edit.entry).collect::<Vec<_>>(), differ.collect::<Vec<_>>());
        for edit in edits {
            let (before, now) = (stored.get(&edit.entry), incoming.get(&edit.entry));
            let verb = match (before, now) {
                (None, _) => EditVerb::Create,
                (_, None) => EditVerb::Delete,
                _ => EditVerb::Update,
            };
            prop_assert_eq!(edit.verb, verb);
            let path = now.and_then(|now| now.path.clone());
            let moved = path != before.and_then(|before| before.path.clone());
            prop_assert_eq!(edit.path, path.filter(|_| moved));
        }
    }

    /// Whoever may delete the vault may delete each of its entries, and the other way round.
    #[test]
    fn a_vault_is_the_sum_of_its_entries(
        rules in vec(a_rule(), 0..4),
        editor in an_editor(),
        names in prop::sample::subsequence(NAMES.to_vec(), 1..5),
    ) {
        let one_by_one = names.iter().all(|name| may(&rules, &editor, edit(EditVerb::Delete, name)));
        let whole = check_removal(&rules, "shop", &editor, names.iter().map(|name| entry(name)));
        prop_assert_eq!(whole.is_ok(), one_by_one);
    }
}
