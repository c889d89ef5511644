use std::collections::BTreeMap;

use secretvault_vault::{
    AccessRule, LabelSelector, NamespaceRule, Operator, Requirement, Vault, admits, allows,
    needs_namespace_labels, rule_for,
};

use crate::fixture::{RuleWords, VaultWords, anyone, entry, pod, vault, web};

#[test]
fn without_rules_a_vault_is_for_its_own_namespace() {
    let vault = vault("shop/app", &["a"]);
    assert!(allows(&vault, &web(), &entry("a")));
    assert!(allows(&vault, &pod("shop", "other"), &entry("a")));
    assert!(!allows(&vault, &pod("batch", "web"), &entry("a")));
    assert_eq!(rule_for(&vault, &web(), &entry("a")), None);
}

#[test]
fn with_an_empty_list_of_rules_a_vault_is_for_nobody() {
    let mut vault = vault("shop/app", &["a"]);
    vault.access = Some(Vec::new());
    assert!(!allows(&vault, &web(), &entry("a")));
    assert!(!admits(&vault, &web()));
}

#[test]
fn each_condition_alone_decides() {
    let other = pod("shop", "other");
    let batch = pod("batch", "web");
    for (rule, allowed, refused) in [
        (anyone(), &other, &batch),
        (anyone().accounts(&["web"]), &web(), &other),
        (anyone().accounts(&["x", "oth*"]), &other, &web()),
        (anyone().labelled("app", "web"), &web(), &other),
        (anyone().from(&["batch"]), &batch, &web()),
        (
            anyone().from(&["batch", "shop"]),
            &web(),
            &pod("else", "web"),
        ),
        (anyone().from(&["batch"]).accounts(&["*"]), &batch, &other),
        (anyone().where_labelled("team", "shop"), &web(), &batch),
        (anyone().where_labelled("team", "batch"), &batch, &web()),
        (
            anyone()
                .from(&["batch", "shop"])
                .where_labelled("team", "batch"),
            &batch,
            &web(),
        ),
    ] {
        let vault = vault("shop/app", &["a"]).with_rule(rule.clone());
        assert!(
            allows(&vault, allowed, &entry("a")),
            "{rule:?} allows {allowed:?}"
        );
        assert!(
            !allows(&vault, refused, &entry("a")),
            "{rule:?} refuses {refused:?}"
        );
    }
}

#[test]
fn a_namespace_is_never_matched_by_a_part_or_a_star() {
    let vault = vault("shop/app", &["a"]).with_rule(anyone().from(&["*", "bat"]));
    assert!(!allows(&vault, &pod("batch", "web"), &entry("a")));
}

/// Nothing here makes such a rule, and what did would hardly mean every namespace by it.
#[test]
fn namespaces_that_are_neither_named_nor_selected_are_none() {
    let mut rule = anyone();
    rule.namespaces = Some(NamespaceRule::default());
    let vault = vault("shop/app", &["a"]).with_rule(rule);
    assert!(!allows(&vault, &web(), &entry("a")));
    assert!(!admits(&vault, &pod("batch", "web")));
}

#[test]
fn a_selector_of_namespaces_does_not_look_at_the_pods_labels() {
    let rule = anyone().where_labelled("app", "web");
    let vault = vault("shop/app", &["a"]).with_rule(rule);
    assert!(!allows(&vault, &web(), &entry("a")));
    let mut web = web();
    web.namespace_labels = std::mem::take(&mut web.labels);
    assert!(allows(&vault, &web, &entry("a")));
}

/// The labels that a vault of another namespace may look at are needed whether it is there or not.
#[test]
fn labels_of_a_namespace_are_needed_for_own_vaults_that_select_and_all_others() {
    let plain = anyone().from(&["batch"]).labelled("app", "web");
    let selecting = plain.clone().where_labelled("team", "batch");
    let app = |rules: &[&AccessRule]| {
        let rules = rules.iter().map(|rule| (*rule).clone());
        rules.fold(vault("shop/app", &["a"]), VaultWords::with_rule)
    };
    for (vault, selects) in [
        (app(&[]), false),
        (app(&[&plain]), false),
        (app(&[&plain, &selecting]), true),
    ] {
        let reference = &vault.reference;
        let needs = |namespace, seen: Option<&Vault>| {
            needs_namespace_labels(namespace, [reference], |_| seen)
        };
        assert_eq!(needs("shop", Some(&vault)), selects);
        assert!(!needs("shop", None));
        assert!(needs("batch", Some(&vault)));
        assert!(needs("batch", None));
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold_but_one_rule_is_enough() {
    let vault = vault("shop/app", &["a", "db/p"])
        .with_rule(anyone().accounts(&["web"]).to(&["db/**"]))
        .with_rule(anyone().from(&["batch"]).accounts(&["web"]).to(&["a"]))
        .with_rule(anyone().accounts(&["w*"]).to(&["db/p", "a"]));
    let rule = |subject, name| rule_for(&vault, &subject, &entry(name));
    assert_eq!(rule(web(), "db/p"), Some(0));
    assert_eq!(rule(web(), "a"), Some(2));
    assert_eq!(rule(pod("batch", "web"), "a"), Some(1));
    assert_eq!(rule(pod("batch", "web"), "db/p"), None);
    assert_eq!(rule(pod("shop", "other"), "a"), None);
}

#[test]
fn access_does_not_ask_whether_the_entry_exists() {
    let vault = vault("shop/app", &[]).with_rule(anyone().to(&["db/*"]));
    assert!(allows(&vault, &web(), &entry("db/not-there")));
    assert!(!allows(&vault, &web(), &entry("not-there")));
}

#[test]
fn a_vault_admits_whom_some_rule_is_about() {
    let vault = vault("shop/app", &["a"]).with_rule(anyone().from(&["batch"]).to(&["x"]));
    assert!(admits(&vault, &pod("batch", "any")));
    assert!(!admits(&vault, &web()));
}

#[test]
fn selectors_mean_what_they_mean_in_kubernetes() {
    let labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
    let matches = |key: &str, operator, values: &[&str]| {
        let values = values.iter().map(ToString::to_string).collect();
        let match_expressions = vec![Requirement {
            key: key.to_owned(),
            operator,
            values,
        }];
        LabelSelector {
            match_expressions,
            ..LabelSelector::default()
        }
        .matches(&labels)
    };
    assert!(LabelSelector::default().matches(&labels));
    assert!(LabelSelector::default().matches(&BTreeMap::new()));
    assert!(matches("tier", Operator::In, &["back", "front"]));
    assert!(!matches("tier", Operator::In, &["back"]));
    assert!(!matches("none", Operator::In, &["front"]));
    assert!(!matches("tier", Operator::In, &[]));
    assert!(!matches("tier", Operator::NotIn, &["front"]));
    assert!(matches("tier", Operator::NotIn, &["back"]));
    assert!(matches("none", Operator::NotIn, &["front"]));
    assert!(matches("tier", Operator::Exists, &[]));
    assert!(!matches("none", Operator::Exists, &[]));
    assert!(!matches("tier", Operator::DoesNotExist, &[]));
    assert!(matches("none", Operator::DoesNotExist, &[]));
}

#[test]
fn every_label_and_every_expression_must_hold() {
    let selector = LabelSelector {
        match_labels: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
        match_expressions: vec![Requirement {
            key: "b".to_owned(),
            operator: Operator::Exists,
            values: Vec::new(),
        }],
    };
    let labels = |names: &[&str]| {
        names
            .iter()
            .map(|name| (name.to_string(), "1".to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(selector.matches(&labels(&["a", "b"])));
    assert!(!selector.matches(&labels(&["a"])));
    assert!(!selector.matches(&labels(&["b"])));
}
