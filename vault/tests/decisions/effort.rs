//! What one decision may compare: at the limit, and beyond.

use std::slice;

use secretvault_vault::{
    AccessRule, Edit, EditVerb, Editor, EditorRule, Refusal, Vault, VaultRef, effort::MAX_EFFORT,
    explain, uncovered, withdrawn,
};

use crate::fixture::{
    RuleWords, VaultWords, anyone, ask, decide, entry, holding, pod, publish, publish_for, vault,
    web,
};

/// So many texts, each of which has a weight of 100.
fn texts(start: &str, count: usize) -> Vec<String> {
    texts_of(92, start, count)
}

/// So many texts of this length.
fn texts_of(length: usize, start: &str, count: usize) -> Vec<String> {
    let digits = length - start.len();
    let texts = 0..count;
    texts
        .map(|number| format!("{start}{number:0digits$}"))
        .collect()
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A vault with so many entries, each of which has a weight of 100.
fn with_entries(reference: &str, count: usize) -> Vault {
    vault(reference, &borrowed(&texts("n", count)))
}

/// A rule for the first of such entries, and with patterns of 100 for none of them.
fn patterns(count: usize) -> AccessRule {
    let mut patterns = texts("*x", count);
    patterns.extend(texts("n", 1));
    anyone().to(&borrowed(&patterns))
}

/// Globs that cover nothing, each of which has a weight of 250.
fn globs(count: usize) -> String {
    texts_of(242, "*", count).join(",")
}

#[test]
fn a_generous_vault_is_within_the_limit() {
    let names = texts_of(40, "", 500);
    let mut generous = vault("shop/app", &borrowed(&names));
    for rule in 0..64 {
        let patterns: Vec<String> = (0..5).map(|n| format!("*x{rule:03}{n:04}*")).collect();
        generous = generous.with_rule(anyone().to(&borrowed(&patterns)));
    }
    assert_eq!(generous.effort(), 138_240_000);
    let none = publish(&ask("app", "*"), &[generous]).unwrap();
    assert!(none.files.is_empty());
}

#[test]
fn a_vault_beyond_the_limit_is_refused_by_name() {
    let app = |count: usize| with_entries("shop/app", 500).with_rule(patterns(count));
    assert_eq!(app(30).effort(), MAX_EFFORT);
    let plan = publish(&ask("app", ""), &[app(30)]).unwrap();
    assert_eq!(plan.files.len(), 1);
    let beyond = app(31);
    assert!(beyond.effort() > MAX_EFFORT);
    let refusal = publish(&ask("app", ""), slice::from_ref(&beyond)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "vault shop/app: comparing the patterns in its access with its entries would take too \
         long: use fewer or shorter patterns there, or split the vault"
    );
    // So is a volume that holds something already.
    let held = holding(&plan, slice::from_ref(&beyond));
    let refusal = decide(&web(), &ask("app", ""), &[beyond], &held).unwrap_err();
    assert!(matches!(refusal, Refusal::AccessTooLarge { .. }));
}

#[test]
fn patterns_of_accounts_count_for_the_longest_name_that_there_is() {
    let accounts = texts_of(253, "*", 2_200);
    let app = vault("shop/app", &["a"]).with_rule(anyone().accounts(&borrowed(&accounts)));
    assert_eq!(app.effort(), 2_200 * 261 * 261);
    let named = vault("shop/app", &["a"]).with_rule(anyone().accounts(&["web"]).to(&["a"]));
    assert_eq!(named.effort(), 0);
}

#[test]
fn rules_about_other_pods_do_not_count() {
    let app = with_entries("shop/app", 500)
        .with_rule(patterns(40).accounts(&["other"]))
        .with_rule(patterns(30));
    assert!(app.effort() > MAX_EFFORT);
    assert!(publish(&ask("app", ""), slice::from_ref(&app)).is_ok());
    let refusal = publish_for(&pod("shop", "other"), &ask("app", ""), &[app]).unwrap_err();
    assert!(matches!(refusal, Refusal::AccessTooLarge { .. }));
}

/// To any other pod of another namespace the vault does not exist.
#[test]
fn a_vault_that_is_not_for_the_pod_is_refused_as_if_it_were_missing() {
    let shared = with_entries("platform/shared", 500).with_rule(patterns(31));
    for items in ["", globs(64).as_str()] {
        let request = ask("platform/shared", items);
        let refusal = publish(&request, slice::from_ref(&shared)).unwrap_err();
        assert_eq!(refusal, publish(&request, &[]).unwrap_err());
    }
}

#[test]
fn globs_that_are_too_much_for_the_entries_are_refused_with_a_remedy() {
    let app = with_entries("shop/app", 200);
    let plan = publish(&ask("app", &globs(60)), slice::from_ref(&app)).unwrap();
    assert_eq!(plan.notices.len(), 60);
    let refusal = publish(&ask("app", &globs(61)), &[app]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "items: comparing them with the entries and the access of these vaults would take too long: \
         use fewer or shorter patterns and names, or several volumes with fewer vaults each"
    );
}

#[test]
fn names_that_are_too_much_for_the_access_rules_are_refused() {
    let app = with_entries("shop/app", 1).with_rule(patterns(60));
    let items = |count: usize| {
        let names = texts("n", count);
        let items = names.iter();
        let items = items.map(|name| format!("{{entry: {name}, optional: true}}"));
        format!("[{}]", items.collect::<Vec<_>>().join(", "))
    };
    let plan = publish(&ask("app", &items(500)), slice::from_ref(&app)).unwrap();
    assert_eq!(plan.files.len(), 1);
    let refusal = publish(&ask("app", &items(501)), &[app]).unwrap_err();
    assert_eq!(refusal, Refusal::ItemsTooLarge);
}

#[test]
fn what_several_vaults_take_adds_up() {
    let of = |name: &str| with_entries(&format!("shop/{name}"), 250).with_rule(patterns(30));
    let vaults = ["one", "two", "three", "four", "five"].map(of);
    let apart = |vaults: &str| {
        let each = vaults
            .split(", ")
            .map(|name| format!("{{vault: {name}, prefix: {name}}}"));
        format!("[{}]", each.collect::<Vec<_>>().join(", "))
    };
    let four = apart("one, two, three, four");
    assert!(publish(&ask(&four, ""), &vaults).is_ok());
    let five = apart("one, two, three, four, five");
    let refusal = publish(&ask(&five, ""), &vaults).unwrap_err();
    assert_eq!(refusal, Refusal::ItemsTooLarge);
}

#[test]
fn what_a_volume_holds_counts_once_it_is_gone_from_the_vault() {
    let before = [with_entries("shop/app", 500)];
    let held = holding(&publish(&ask("app", ""), &before).unwrap(), &before);
    for (count, allowed) in [(60, true), (61, false)] {
        let after = with_entries("shop/app", 1).with_rule(patterns(count));
        let plan = decide(&web(), &ask("app", ""), &[after], &held);
        assert_eq!(plan.is_ok(), allowed, "{count}");
    }
}

#[test]
fn only_a_vault_beyond_the_limit_withdraws_nothing() {
    let before = [with_entries("shop/app", 500)];
    let held = holding(&publish(&ask("app", ""), &before).unwrap(), &before);
    for (count, goes) in [(30, 499), (31, 0)] {
        let after = with_entries("shop/app", 1).with_rule(patterns(count));
        let seen = |_: &VaultRef| Some(&after);
        assert_eq!(withdrawn(&web(), seen, &held).len(), goes, "{count}");
    }
}

/// Else a pod whose right ended could keep its files by vaults of its own.
#[test]
fn what_other_vaults_take_does_not_keep_a_right_from_being_withdrawn() {
    let vaults = "[{vault: one, prefix: p}, {vault: two, prefix: q}, {vault: three, prefix: r}]";
    let request = ask(vaults, "");
    let names = ["shop/one", "shop/two", "shop/three"];
    let before = names.map(|name| with_entries(name, 500));
    let held = holding(&publish(&request, &before).unwrap(), &before);
    let after = names.map(|name| with_entries(name, 500).with_rule(patterns(30)));
    let refusal = decide(&web(), &request, &after, &held).unwrap_err();
    assert_eq!(refusal, Refusal::ItemsTooLarge);
    let seen = |reference: &VaultRef| after.iter().find(|it| it.reference == *reference);
    assert_eq!(withdrawn(&web(), seen, &held).len(), 3 * 499);
}

#[test]
fn of_what_takes_too_long_nothing_is_explained_but_that() {
    let explained = |count: usize| {
        let app = with_entries("shop/app", 500).with_rule(patterns(count));
        let mut explanation = explain(&ask("app", ""), &web(), |_| Some(&app));
        explanation.vaults.remove(0)
    };
    let within = explained(30);
    assert_eq!((within.refusal, within.entries.len()), (None, 500));
    let beyond = explained(31);
    assert!(matches!(
        beyond.refusal,
        Some(Refusal::AccessTooLarge { .. })
    ));
    assert!(beyond.exists && beyond.entries.is_empty());
}

#[test]
fn an_editor_whose_rules_take_too_long_may_write_nothing() {
    let jane = Editor {
        user: "jane".to_owned(),
        groups: Vec::new(),
    };
    let edits: Vec<Edit> = texts("n", 500)
        .iter()
        .map(|name| Edit {
            verb: EditVerb::Update,
            entry: entry(name),
            path: None,
        })
        .collect();
    for (count, refused) in [(120, 0), (121, 500)] {
        let mut patterns = texts("*x", count - 1);
        patterns.push(format!("n{:088}*", 0));
        let rule = EditorRule {
            users: vec!["jane".to_owned()],
            verbs: vec![EditVerb::Update],
            entries: Some(patterns.iter().map(|it| it.parse().unwrap()).collect()),
            ..EditorRule::default()
        };
        let uncovered = uncovered(slice::from_ref(&rule), "shop", &jane, edits.clone());
        assert_eq!(uncovered.len(), refused, "{count}");
    }
}
