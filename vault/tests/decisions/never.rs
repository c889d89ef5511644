//! Rules that can never allow anything: each is named, and nothing else is.

use secretvault_vault::{
    AccessRule, EntryName, LabelSelector, Operator, Requirement, labels_of_name, never,
};

use crate::fixture::{RuleWords, anyone, entry, label};

/// What is said of rules, in a vault with the entries `db/password` and `db/user`.
fn said(rules: &[AccessRule]) -> Vec<String> {
    let entries: [EntryName; 2] = ["db/password", "db/user"].map(entry);
    let never = never(rules, &entries);
    never.iter().map(ToString::to_string).collect()
}

fn selector(expressions: &[(&str, Operator, &[&str])]) -> LabelSelector {
    let expressions = expressions.iter();
    LabelSelector {
        match_expressions: expressions
            .map(|(key, operator, values)| Requirement {
                key: (*key).to_owned(),
                operator: *operator,
                values: values.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        ..LabelSelector::default()
    }
}

fn of_pods(selector: LabelSelector) -> AccessRule {
    AccessRule {
        pod_selector: Some(selector),
        ..AccessRule::default()
    }
}

fn of_namespaces(rule: AccessRule, selector: LabelSelector) -> AccessRule {
    let mut rule = rule;
    rule.namespaces.get_or_insert_default().selector = Some(selector);
    rule
}

#[test]
fn what_may_match_one_day_is_not_named() {
    let rules = [
        anyone(),
        anyone()
            .accounts(&["*", "no-such-account"])
            .from(&["no-such-namespace"])
            .where_labelled("team", "nobody")
            .labelled("app", "nothing")
            .to(&["nothing", "db/*"]),
        of_pods(LabelSelector::default()),
    ];
    assert_eq!(said(&rules), Vec::<String>::new());
}

#[test]
fn patterns_that_cover_no_entry_are_named() {
    let rules = [
        anyone().to(&["db/**"]),
        anyone().to(&["db/pass", "smtp/**", "db", "kubernetes.io/**"]),
    ];
    let words =
        "spec.access[1].entries: no entry of this vault is covered, so this rule allows nothing";
    assert_eq!(said(&rules), [words]);
    // What a vault without entries will have is not known yet.
    assert_eq!(never(&rules, &[] as &[EntryName]), []);
}

#[test]
fn accounts_that_nothing_can_be_called_are_named() {
    for possible in ["web", "a.b", "*", "x*", "*.*", "a-*", "*-a", "a*-*b"] {
        assert!(
            said(&[anyone().accounts(&[possible])]).is_empty(),
            "{possible}"
        );
    }
    for impossible in ["-a", "a-", ".", "a..b", "a.-*", "*-.b", "*-", ".*"] {
        let rule = anyone().accounts(&[impossible]);
        let words = "spec.access[0].serviceAccounts: no service account can have such a name, so this \
                     rule allows nothing";
        assert_eq!(said(&[rule]), [words], "{impossible}");
        assert!(said(&[anyone().accounts(&[impossible, "web"])]).is_empty());
    }
}

#[test]
fn conditions_on_one_label_that_exclude_each_other_are_named() {
    use Operator::{DoesNotExist, Exists, In, NotIn};
    type Expressions<'a> = &'a [(&'a str, Operator, &'a [&'a str])];
    let cases: [(Expressions<'_>, bool); 12] = [
        (&[("a", Exists, &[]), ("a", NotIn, &["1"])], true),
        (&[("a", In, &["1", "2"]), ("a", NotIn, &["1"])], true),
        (&[("a", In, &["1", "2"]), ("a", In, &["2", "3"])], true),
        (&[("a", DoesNotExist, &[]), ("a", NotIn, &["1"])], true),
        (&[("a", DoesNotExist, &[]), ("b", Exists, &[])], true),
        (&[("a", In, &["1"]), ("b", In, &["2"])], true),
        (&[("a", Exists, &[]), ("a", DoesNotExist, &[])], false),
        (&[("a", In, &["1"]), ("a", DoesNotExist, &[])], false),
        (&[("a", In, &["1"]), ("a", In, &["2"])], false),
        (&[("a", In, &["1", "2"]), ("a", NotIn, &["2", "1"])], false),
        (
            &[("b", Exists, &[]), ("a", In, &["1"]), ("a", NotIn, &["1"])],
            false,
        ),
        (&[("a", In, &[])], false),
    ];
    for (expressions, possible) in cases {
        let words =
            "its conditions on the label \"a\" contradict each other, so this rule allows nothing";
        let of_pod = said(&[of_pods(selector(expressions))]);
        let of_namespace = said(&[of_namespaces(anyone(), selector(expressions))]);
        if possible {
            assert_eq!((of_pod, of_namespace), (vec![], vec![]), "{expressions:?}");
        } else {
            assert_eq!(of_pod, [format!("spec.access[0].podSelector: {words}")]);
            let field = "spec.access[0].namespaces.selector";
            assert_eq!(of_namespace, [format!("{field}: {words}")]);
        }
    }
    let mut both = label("a", "1");
    both.match_expressions = selector(&[("a", NotIn, &["1"])]).match_expressions;
    assert_eq!(said(&[of_pods(both)]).len(), 1);
}

#[test]
fn labels_that_no_object_can_have_are_named() {
    use Operator::{DoesNotExist, Exists, In, NotIn};
    let long = "x".repeat(64);
    let keys = ["a b", "", "a/b/c", "A_/b", "/b", "a/", "-a", long.as_str()];
    for key in keys {
        let words = said(&[of_pods(selector(&[(key, Exists, &[])]))]);
        assert!(
            words[0].contains("nothing can have a label"),
            "{key}: {words:?}"
        );
        // Everything lacks it.
        assert!(said(&[of_pods(selector(&[(key, DoesNotExist, &[])]))]).is_empty());
        assert!(said(&[of_pods(selector(&[(key, NotIn, &["1"])]))]).is_empty());
    }
    for value in ["a b", "-a", "a-", "ä", "a/b", long.as_str()] {
        let words = said(&[of_pods(label("app", value))]);
        assert!(
            words[0].contains("can have such a value"),
            "{value}: {words:?}"
        );
        let one_of_two = selector(&[("app", In, &[value, "web"])]);
        assert!(said(&[of_pods(one_of_two)]).is_empty(), "{value}");
    }
    let usual = [
        ("app.kubernetes.io/name", "A_b.c-d"),
        ("a", ""),
        (&long[1..], "1"),
    ];
    for (key, value) in usual {
        assert!(
            said(&[of_pods(label(key, value))]).is_empty(),
            "{key}={value}"
        );
    }
}

/// Every namespace has its name as a label.
#[test]
fn names_of_namespaces_and_a_selector_that_excludes_them_are_named() {
    use Operator::{DoesNotExist, Exists, NotIn};
    let key = "kubernetes.io/metadata.name";
    assert_eq!(labels_of_name("shop")[key], "shop");
    let named = || anyone().from(&["shop", "batch"]);
    for (rule, possible) in [
        (of_namespaces(named(), label(key, "shop")), true),
        (of_namespaces(named(), label(key, "other")), false),
        (of_namespaces(anyone(), label(key, "other")), true),
        (
            of_namespaces(named(), selector(&[(key, NotIn, &["shop"])])),
            true,
        ),
        (
            of_namespaces(named(), selector(&[(key, NotIn, &["shop", "batch"])])),
            false,
        ),
        (
            of_namespaces(anyone(), selector(&[(key, Exists, &[])])),
            true,
        ),
        (
            of_namespaces(anyone(), selector(&[(key, DoesNotExist, &[])])),
            false,
        ),
        // Of a pod it is a label as any other.
        (of_pods(selector(&[(key, DoesNotExist, &[])])), true),
    ] {
        assert_eq!(
            said(std::slice::from_ref(&rule)).is_empty(),
            possible,
            "{rule:?}"
        );
    }
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let impossible = selector(&[("a b", Operator::Exists, &[])]);
    let mut rule = of_namespaces(anyone().accounts(&["-"]).to(&["x"]), impossible.clone());
    rule.pod_selector = Some(impossible);
    let said = said(&[anyone(), rule, anyone().to(&["y"])]);
    let fields: Vec<&str> = said.iter().filter_map(|it| it.split(':').next()).collect();
    assert_eq!(
        fields,
        [
            "spec.access[1].serviceAccounts",
            "spec.access[1].namespaces.selector",
            "spec.access[1].podSelector",
            "spec.access[1].entries",
            "spec.access[2].entries",
        ]
    );
}
