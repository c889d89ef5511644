use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};
use secretvault_vault::{
    Condition, EntryName, Explanation, Held, Notice, Outcome, PlannedFile, Request, Subject, Vault,
    VaultRef, allows, explain, plan, rule_for,
};

use crate::fixture::{RuleWords, VaultWords, anyone, ask, pod, vault, web};
use crate::rules::{NAMES, a_subject, a_vault};

fn explained(request: &Request, vaults: &[Vault]) -> Explanation {
    explained_to(&web(), request, vaults)
}

fn explained_to(subject: &Subject, request: &Request, vaults: &[Vault]) -> Explanation {
    explain(request, subject, |reference| {
        vaults.iter().find(|vault| vault.reference == *reference)
    })
}

/// An explanation as lines `vault entry: outcome`.
fn told(explanation: &Explanation) -> Vec<String> {
    let vaults = explanation.vaults.iter();
    let lines = vaults.flat_map(|vault| {
        vault.entries.iter().map(|line| {
            let outcome = match &line.outcome {
                Outcome::Denied(unmet) => {
                    let rules = unmet
                        .iter()
                        .map(|it| format!("{}{:?}", it.rule, it.conditions));
                    format!("denied {}", rules.collect::<String>())
                }
                Outcome::NotAsked => "not asked".to_owned(),
                Outcome::Overridden { file, by } => format!("{} lost to {by}", file.path),
                Outcome::Released(file) => format!("{} by {:?}", file.path, line.rule),
                Outcome::Withheld(file) => {
                    format!("withheld {:?}", file.as_ref().map(|it| it.path.as_str()))
                }
            };
            format!("{} {}: {outcome}", vault.reference, line.entry)
        })
    });
    lines.collect()
}

#[test]
fn every_entry_is_explained_by_its_path_its_rule_and_who_took_its_place() {
    let shared = vault("shop/shared", &["host", "motd"]);
    let app = vault("shop/app", &["db/password", "host", "smtp/token"])
        .with_rule(anyone().accounts(&["batch"]))
        .with_rule(anyone().to(&["db/**", "host"]))
        .landing("db/password", "db_password");
    let explanation = explained(&ask("shared, app", ""), &[shared, app]);
    assert!(explanation.verdict.is_ok());
    assert_eq!(
        told(&explanation),
        [
            "shop/shared host: host lost to shop/app",
            "shop/shared motd: motd by None",
            "shop/app db/password: db_password by Some(1)",
            "shop/app host: host by Some(1)",
            "shop/app smtp/token: denied 0[ServiceAccounts]1[Entries]",
        ]
    );
}

#[test]
fn what_no_item_asks_for_is_said_and_an_entry_at_two_paths_is_there_twice() {
    let app = vault("shop/app", &["a", "b"]);
    let explanation = explained(&ask("app", "a, a=copy"), &[app]);
    assert_eq!(
        told(&explanation),
        [
            "shop/app a: a by None",
            "shop/app a: copy by None",
            "shop/app b: not asked",
        ]
    );
}

#[test]
fn each_condition_that_does_not_hold_is_named() {
    let app = vault("shop/app", &["a"])
        .with_rule(anyone().from(&["batch"]).accounts(&["other"]))
        .with_rule(anyone().labelled("app", "other").to(&["b"]));
    let explanation = explained(&ask("app", "a"), &[app]);
    let Outcome::Denied(unmet) = &explanation.vaults[0].entries[0].outcome else {
        panic!("{explanation:?}");
    };
    let conditions: Vec<&[Condition]> = unmet.iter().map(|it| &it.conditions[..]).collect();
    assert_eq!(
        conditions,
        [
            &[Condition::Namespaces, Condition::ServiceAccounts][..],
            &[Condition::PodLabels, Condition::Entries][..],
        ]
    );
}

#[test]
fn of_a_refused_volume_nothing_is_released_and_what_is_allowed_is_withheld() {
    let app = vault("shop/app", &["a"]);
    let explanation = explained(&ask("app, gone", ""), &[app]);
    assert!(explanation.verdict.is_err());
    assert_eq!(told(&explanation), ["shop/app a: withheld Some(\"a\")"]);
    let gone = &explanation.vaults[1];
    assert!(!gone.exists && gone.refusal.is_some() && gone.entries.is_empty());
}

#[test]
fn of_another_namespace_missing_and_forbidden_are_told_apart_here() {
    let other = vault("platform/shared", &["a"]);
    let request = ask("platform/shared, platform/gone", "");
    let explanation = explained(&request, &[other]);
    assert_eq!(explanation.vaults[0].refusal, {
        let mut refusal = explanation.vaults[1].refusal.clone();
        if let Some(secretvault_vault::Refusal::Forbidden { vaults, .. }) = &mut refusal {
            *vaults = vec![VaultRef::new("platform", "shared")];
        }
        refusal
    });
    assert!(explanation.vaults[0].exists && !explanation.vaults[1].exists);
    assert_eq!(told(&explanation), ["platform/shared a: denied "]);
}

#[test]
fn an_entry_that_no_vault_has_is_missing() {
    let app = vault("shop/app", &["a"]);
    let explanation = explained(&ask("app", "a, b, c*"), &[app]);
    let missing: Vec<&str> = explanation.missing.iter().map(EntryName::as_str).collect();
    assert_eq!(missing, ["b"]);
    assert!(explanation.verdict.is_err());
}

#[test]
fn a_pod_of_another_namespace_is_explained_as_itself() {
    let app = vault("shop/app", &["a"]).with_rule(anyone().from(&["batch"]));
    let request = Request::parse("batch", "shop/app", "", Default::default()).unwrap();
    let explanation = explained_to(&pod("batch", "job"), &request, &[app]);
    assert_eq!(told(&explanation), ["shop/app a: a by Some(0)"]);
}

/// A vault of this name, with some of the entries.
fn a_vault_named(reference: &'static str) -> impl Strategy<Value = Vault> {
    let entries = prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len());
    (a_vault(), entries).prop_map(move |(rules, entries)| Vault {
        access: rules.access,
        ..vault(reference, &entries)
    })
}

fn a_request() -> impl Strategy<Value = (String, String)> {
    let vaults = select(vec![
        "one",
        "one, two",
        "two, platform/one",
        "[{vault: one, prefix: p}, {vault: two, optional: true}]",
        "[{vault: two, optional: true}, {vault: platform/one, optional: true}, {vault: one}]",
    ]);
    let item = select(vec![
        "a", "b=x", "db/*", "db/**", "db/a=a", "**", "none", "a=x",
    ]);
    let items = vec(item, 0..4).prop_map(|mut items| {
        let mut seen = BTreeSet::new();
        items.retain(|item| seen.insert(*item));
        items.join(", ")
    });
    (vaults.prop_map(str::to_owned), items)
}

fn released(explanation: &Explanation) -> Vec<&PlannedFile> {
    let entries = explanation.vaults.iter().flat_map(|it| &it.entries);
    let released = entries.filter_map(|it| match &it.outcome {
        Outcome::Released(file) => Some(&**file),
        Outcome::Denied(_)
        | Outcome::NotAsked
        | Outcome::Overridden { .. }
        | Outcome::Withheld(_) => None,
    });
    let mut released: Vec<&PlannedFile> = released.collect();
    released.sort_by(|one, other| one.path.cmp(&other.path));
    released
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// What is explained is what happens: an entry is said to be released exactly when a plan, made
    /// apart from the explanation, makes a file of it.
    #[test]
    fn an_entry_is_said_to_be_released_exactly_when_the_plan_releases_it(
        vaults in (
            a_vault_named("shop/one"),
            a_vault_named("shop/two"),
            a_vault_named("platform/one"),
        ),
        there in vec(any::<bool>(), 3),
        subject in a_subject(),
        (wanted, items) in a_request(),
    ) {
        let vaults = [vaults.0, vaults.1, vaults.2];
        let seen = |reference: &VaultRef| {
            let mut vaults = vaults.iter().zip(&there);
            vaults
                .find(|(vault, there)| **there && vault.reference == *reference)
                .map(|(vault, _)| vault)
        };
        let request = Request::parse("shop", &wanted, &items, Default::default()).unwrap();
        let explanation = explain(&request, &subject, seen);
        let planned = plan(&request, &subject, seen, &Held::default());
        let files: Vec<&PlannedFile> = planned.as_ref().map(|plan| plan.files.iter().collect()).unwrap_or_default();
        prop_assert_eq!(released(&explanation), files);
        prop_assert_eq!(explanation.verdict.is_ok(), planned.is_ok());
        let notices = planned.map(|plan| plan.notices).unwrap_or_default();
        let overridden = notices.iter().filter_map(Notice::overridden).count();
        let mut lost = 0;
        for explained in &explanation.vaults {
            let vault = seen(&explained.reference);
            prop_assert_eq!(explained.exists, vault.is_some());
            let Some(vault) = vault else { continue };
            let named: BTreeSet<&EntryName> = explained.entries.iter().map(|it| &it.entry).collect();
            prop_assert_eq!(named, vault.entries.keys().collect());
            for line in &explained.entries {
                let may = allows(vault, &subject, &line.entry);
                prop_assert_eq!(line.rule, rule_for(vault, &subject, &line.entry));
                match &line.outcome {
                    Outcome::Denied(unmet) => {
                        prop_assert!(!may);
                        prop_assert_eq!(unmet.len(), vault.access.iter().flatten().count());
                        prop_assert!(unmet.iter().all(|it| !it.conditions.is_empty()));
                    }
                    Outcome::NotAsked => prop_assert!(!request.items.is_empty()),
                    Outcome::Overridden { .. } => {
                        lost += 1;
                        prop_assert!(may);
                    }
                    Outcome::Released(_) => prop_assert!(may),
                    Outcome::Withheld(_) => {
                        prop_assert!(may);
                        prop_assert!(explanation.verdict.is_err());
                    }
                }
            }
        }
        prop_assert_eq!(lost, overridden);
    }
}
