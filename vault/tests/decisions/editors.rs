mod properties;

use std::collections::BTreeMap;

use secretvault_vault::{
    Edit, EditVerb, Editor, EditorRule, EntryName, Written, check_removal, edits, uncovered,
};

use crate::fixture::entry;

const VERBS: [EditVerb; 3] = [EditVerb::Create, EditVerb::Delete, EditVerb::Update];

fn jane() -> Editor {
    user("jane", &["oncall", "system:authenticated"])
}

fn user(name: &str, groups: &[&str]) -> Editor {
    Editor {
        user: name.to_owned(),
        groups: groups.iter().map(ToString::to_string).collect(),
    }
}

fn account(namespace: &str, name: &str) -> Editor {
    let own = format!("system:serviceaccounts:{namespace}");
    let groups = [
        "system:serviceaccounts",
        own.as_str(),
        "system:authenticated",
    ];
    user(
        &format!("system:serviceaccount:{namespace}:{name}"),
        &groups,
    )
}

/// A rule that lets everybody in it do everything.
fn all() -> EditorRule {
    EditorRule {
        verbs: VERBS.to_vec(),
        ..EditorRule::default()
    }
}

trait EditorWords {
    fn users(self, names: &[&str]) -> Self;
    fn groups(self, names: &[&str]) -> Self;
    fn accounts(self, patterns: &[&str]) -> Self;
    fn only(self, verbs: &[EditVerb]) -> Self;
    fn to(self, patterns: &[&str]) -> Self;
}

impl EditorWords for EditorRule {
    fn users(mut self, names: &[&str]) -> Self {
        self.users = names.iter().map(ToString::to_string).collect();
        self
    }

    fn groups(mut self, names: &[&str]) -> Self {
        self.groups = names.iter().map(ToString::to_string).collect();
        self
    }

    fn accounts(mut self, patterns: &[&str]) -> Self {
        self.service_accounts = patterns.iter().map(|p| p.parse().unwrap()).collect();
        self
    }

    fn only(mut self, verbs: &[EditVerb]) -> Self {
        self.verbs = verbs.to_vec();
        self
    }

    fn to(mut self, patterns: &[&str]) -> Self {
        self.entries = Some(patterns.iter().map(|p| p.parse().unwrap()).collect());
        self
    }
}

fn edit(verb: EditVerb, name: &str) -> Edit {
    Edit {
        verb,
        entry: entry(name),
        path: None,
    }
}

fn may(rules: &[EditorRule], editor: &Editor, edit: Edit) -> bool {
    uncovered(rules, "shop", editor, vec![edit]).is_empty()
}

#[test]
fn a_rule_is_for_whom_it_names_and_for_nobody_else() {
    let jane_ = jane();
    let deployer = account("shop", "deployer");
    let other = account("ci", "deployer");
    for (rule, editor, expected) in [
        (all(), &jane_, false),
        (all().users(&["jane"]), &jane_, true),
        (
            all().users(&["Jane", "jan", "jane2", "*", "j*"]),
            &jane_,
            false,
        ),
        (all().groups(&["jane"]), &jane_, false),
        (all().users(&["oncall"]), &jane_, false),
        (all().groups(&["nobody", "oncall"]), &jane_, true),
        (all().groups(&["on*", "*"]), &jane_, false),
        (all().groups(&["system:authenticated"]), &jane_, true),
        (all().accounts(&["jane", "*", "shop/*"]), &jane_, false),
        // One of the three lists is enough.
        (all().users(&["joe"]).groups(&["oncall"]), &jane_, true),
        (all().users(&["jane"]).accounts(&["x"]), &jane_, true),
        (all().accounts(&["deployer"]), &deployer, true),
        (all().accounts(&["x", "dep*"]), &deployer, true),
        (all().accounts(&["deploy"]), &deployer, false),
        (all().accounts(&["shop/deployer"]), &deployer, true),
        (all().accounts(&["ci/deployer"]), &deployer, false),
        // Without a namespace: the vault's own.
        (all().accounts(&["deployer", "*"]), &other, false),
        (all().accounts(&["ci/deployer"]), &other, true),
        (all().accounts(&["ci/*"]), &other, true),
        (all().users(&["deployer"]), &deployer, false),
        (all().users(&[&other.user]), &other, true),
        (all().groups(&["system:serviceaccounts:ci"]), &other, true),
        (
            all().groups(&["system:serviceaccounts:ci"]),
            &deployer,
            false,
        ),
    ] {
        let rules = [rule];
        for verb in VERBS {
            let edit = edit(verb, "db/password");
            assert_eq!(may(&rules, editor, edit), expected, "{rules:?} {editor:?}");
        }
    }
}

#[test]
fn who_has_a_name_like_an_accounts_is_none() {
    let rules = [all().accounts(&["*", "shop/*"])];
    for name in [
        "",
        "deployer",
        "shop:deployer",
        "shop/deployer",
        "serviceaccount:shop:deployer",
        "system:serviceaccount",
        "system:serviceaccount:shop",
        "system:serviceaccounts:shop",
        "oidc:system:serviceaccount:shop:deployer",
        "system:node:shop",
    ] {
        assert!(
            !may(&rules, &user(name, &[]), edit(EditVerb::Update, "a")),
            "{name}"
        );
    }
}

#[test]
fn each_verb_is_its_own() {
    for has in VERBS {
        let rules = [all().users(&["jane"]).only(&[has])];
        for does in VERBS {
            assert_eq!(
                may(&rules, &jane(), edit(does, "a")),
                has == does,
                "{has} {does}"
            );
        }
    }
    let none = [all().users(&["jane"]).only(&[])];
    assert!(!may(&none, &jane(), edit(EditVerb::Update, "a")));
}

#[test]
fn verb_and_entry_must_be_of_one_rule() {
    let rules = [
        all()
            .users(&["jane"])
            .only(&[EditVerb::Update])
            .to(&["db/**"]),
        all()
            .groups(&["oncall"])
            .only(&[EditVerb::Delete])
            .to(&["smtp/*", "*"]),
        all().users(&["joe"]),
    ];
    for (verb, name, expected) in [
        (EditVerb::Update, "db/password", true),
        (EditVerb::Update, "db/x/password", true),
        (EditVerb::Update, "db", false),
        (EditVerb::Update, "smtp/token", false),
        (EditVerb::Delete, "db/password", false),
        (EditVerb::Delete, "smtp/token", true),
        (EditVerb::Delete, "smtp/x/token", false),
        (EditVerb::Delete, "db", true),
        (EditVerb::Create, "db/password", false),
        (EditVerb::Create, "smtp/token", false),
    ] {
        assert_eq!(
            may(&rules, &jane(), edit(verb, name)),
            expected,
            "{verb} {name}"
        );
    }
}

#[test]
fn without_rules_nobody_edits_anything() {
    for verb in VERBS {
        assert!(!may(&[], &jane(), edit(verb, "a")));
    }
    assert!(uncovered(&[], "shop", &jane(), Vec::new()).is_empty());
}

#[test]
fn an_entry_is_put_only_at_a_path_that_its_editor_could_write() {
    let rules = [
        all()
            .users(&["jane"])
            .only(&[EditVerb::Update])
            .to(&["db/**"]),
        all()
            .users(&["jane"])
            .only(&[EditVerb::Update])
            .to(&["etc/*"]),
        all()
            .users(&["jane"])
            .only(&[EditVerb::Create])
            .to(&["tls/*"]),
    ];
    for (path, expected) in [
        ("db/other", true),
        ("etc/db", true),
        ("tls/ca.crt", false),
        ("password", false),
    ] {
        let moved = Edit {
            path: Some(path.parse().unwrap()),
            ..edit(EditVerb::Update, "db/password")
        };
        assert_eq!(may(&rules, &jane(), moved), expected, "{path}");
    }
}

type Vault = BTreeMap<EntryName, Written<&'static str>>;

/// `name=content` or `name=content@path`.
fn written(entries: &[&'static str]) -> Vault {
    let entries = entries.iter().map(|text| {
        let (name, content) = text.split_once('=').unwrap();
        let path = content
            .split_once('@')
            .map(|(_, path)| path.parse().unwrap());
        (entry(name), Written { content, path })
    });
    entries.collect()
}

#[test]
fn edits_are_what_differs() {
    for (stored, incoming, expected) in [
        (&[][..], &[][..], &[][..]),
        (&["a=1", "b=2"], &["a=1", "b=2"], &[]),
        (&[], &["b=1", "a=1"], &["create a", "create b"]),
        (&["a=1"], &[], &["delete a"]),
        (&["a=1", "b=1"], &["a=1", "b=2"], &["update b"]),
        (&["a=1"], &["b=1"], &["delete a", "create b"]),
        (&["a=1@x"], &["a=2@x"], &["update a"]),
        (&["a=1"], &["a=1@x"], &["update a at path x"]),
        (&["a=1@x"], &["a=1@y"], &["update a at path y"]),
        (&["a=1@x"], &["a=1"], &["update a"]),
        (&["a=1@x"], &["a=1@a"], &["update a"]),
        (&["a=1@x"], &[], &["delete a"]),
        (&[], &["a=1@a"], &["create a"]),
        (&[], &["a=1@x"], &["create a at path x"]),
    ] {
        let edits = edits(&written(stored), &written(incoming));
        let edits: Vec<String> = edits.iter().map(ToString::to_string).collect();
        assert_eq!(edits, expected, "{stored:?} {incoming:?}");
    }
}

#[test]
fn a_vault_is_deleted_by_whom_each_entry_could_be() {
    let deletes = |patterns: &[&str]| {
        all()
            .users(&["jane"])
            .only(&[EditVerb::Delete])
            .to(patterns)
    };
    for (rules, names, missing) in [
        (vec![deletes(&["**"])], &["a", "b/c"][..], Some(&[][..])),
        (
            vec![deletes(&["a"]), deletes(&["b/*"])],
            &["a", "b/c"],
            Some(&[]),
        ),
        (vec![deletes(&["a"])], &["a", "b/c"], None),
        (vec![all().users(&["joe"])], &["a"], None),
        (
            vec![all().users(&["jane"]).only(&[EditVerb::Update])],
            &["a"],
            None,
        ),
        // An empty vault too is not deleted by whoever may delete nothing.
        (vec![deletes(&["a"])], &[], Some(&[])),
        (vec![all().users(&["joe"])], &[], None),
        (
            vec![all().users(&["jane"]).only(&[EditVerb::Create])],
            &[],
            None,
        ),
    ] {
        let missing: Option<&[&str]> = missing;
        let entries = names.iter().map(|name| entry(name));
        let judged = check_removal(&rules, "shop", &jane(), entries);
        assert_eq!(judged.is_ok(), missing.is_some(), "{rules:?} {names:?}");
    }
    let missing = check_removal(
        &[deletes(&["a"])],
        "shop",
        &jane(),
        [entry("a"), entry("b")],
    );
    assert_eq!(missing, Err(vec![edit(EditVerb::Delete, "b")]));
}

#[test]
fn a_service_account_is_named_with_one_namespace_or_none() {
    let parse = |text: &str| text.parse::<secretvault_vault::AccountPattern>();
    for text in ["web", "web-*", "*", "ci/web", "ci/*", "ci/a.b"] {
        assert!(parse(text).is_ok(), "{text}");
    }
    for text in [
        "", "*/web", "ci*/web", "/web", "ci/", "ci/a/b", "CI/web", "Web", "a:b", "ci/web**",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.is_empty(), "{text}");
    }
}
