use std::slice;

use secretvault_vault::{EntryKind, FileAttributes, FileMode, Notice, Refusal, Request};

use crate::fixture::{
    RuleWords, VaultWords, anyone, ask, entry, files, mode, notices, owner, pod, publish,
    publish_for, vault, web,
};

#[test]
fn without_items_a_pod_gets_every_entry_it_may_have() {
    let app = vault("shop/app", &["a", "db/p", "smtp/t"]).with_rule(anyone().to(&["db/*", "a"]));
    let plan = publish(&ask("app", ""), &[app]).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a", "db/p<-shop/app:db/p"]);
    assert_eq!(plan.vaults.len(), 1);
    assert!(plan.notices.is_empty() && plan.retained.is_empty());
}

#[test]
fn a_file_knows_its_kind() {
    let mut app = vault("shop/app", &["a", "b"]);
    app.entries.insert(entry("b"), EntryKind::Public);
    let plan = publish(&ask("app", ""), &[app]).unwrap();
    let kinds: Vec<EntryKind> = plan.files.iter().map(|file| file.kind).collect();
    assert_eq!(kinds, [EntryKind::Secret, EntryKind::Public]);
}

#[test]
fn items_take_entries_globs_and_other_paths() {
    let app = vault("shop/app", &["a", "db/p", "db/q", "smtp/t"]).landing("db/q", "q");
    for (items, expected) in [
        ("a", vec!["a<-shop/app:a"]),
        ("a=x/y", vec!["x/y<-shop/app:a"]),
        ("a,a=x", vec!["a<-shop/app:a", "x<-shop/app:a"]),
        ("db/*", vec!["db/p<-shop/app:db/p", "q<-shop/app:db/q"]),
        ("db/q", vec!["q<-shop/app:db/q"]),
        ("db/q=z", vec!["z<-shop/app:db/q"]),
        (
            "db/p=pw,db/**",
            vec!["pw<-shop/app:db/p", "q<-shop/app:db/q"],
        ),
        (
            "db/**,db/p=pw",
            vec!["pw<-shop/app:db/p", "q<-shop/app:db/q"],
        ),
        ("smtp/*,**/t", vec!["smtp/t<-shop/app:smtp/t"]),
    ] {
        let plan = publish(&ask("app", items), slice::from_ref(&app)).unwrap();
        assert_eq!(files(&plan), expected, "{items}");
    }
}

#[test]
fn of_two_globs_the_first_says_how_an_entry_lands() {
    let app = vault("shop/app", &["db/p"]);
    let items = "[{entry: 'db/*', uid: 1}, {entry: '**', uid: 2}]";
    let plan = publish(&ask("app", items), &[app]).unwrap();
    assert_eq!(plan.files[0].uid, 1);
}

#[test]
fn a_glob_that_covers_nothing_is_told_and_no_refusal() {
    let app = vault("shop/app", &["a", "b"]).with_rule(anyone().to(&["a"]));
    let plan = publish(&ask("app", "b*"), slice::from_ref(&app)).unwrap();
    assert!(plan.files.is_empty());
    assert_eq!(
        notices(&plan),
        ["items: \"b*\" covers no entry that this pod may have"]
    );
    let optional = ask("app", "[{entry: 'b*', optional: true}]");
    assert!(publish(&optional, &[app]).unwrap().notices.is_empty());
}

#[test]
fn an_empty_vault_makes_an_empty_volume_and_a_notice() {
    let plan = publish(&ask("app", ""), &[vault("shop/app", &[])]).unwrap();
    assert!(plan.files.is_empty());
    assert_eq!(notices(&plan), ["vault shop/app has no entries"]);
}

#[test]
fn what_is_missing_in_the_own_namespace_is_named() {
    let refusal = publish(&ask("app", ""), &[]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "vault shop/app does not exist: create it, or correct vaults"
    );
    let refusal = publish(&ask("app", "x"), &[vault("shop/app", &["a"])]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "entry x is not in vault shop/app: add it, or correct items"
    );
    let missing_beside_a_found_one =
        publish(&ask("app, gone", "a"), &[vault("shop/app", &["a"])]).unwrap_err();
    assert!(matches!(
        missing_beside_a_found_one,
        Refusal::NotFound { .. }
    ));
}

#[test]
fn what_is_not_allowed_in_the_own_namespace_is_said_to_be_so() {
    let app = vault("shop/app", &["a"]).with_rule(anyone().accounts(&["other"]));
    let refusal = publish(&ask("app", ""), slice::from_ref(&app)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "vault shop/app allows this pod no entry: its access has no rule for service account \
         shop/web with these labels"
    );
    let nothing_there = vault("shop/app", &["a"]).with_rule(anyone().to(&["b"]));
    assert!(matches!(
        publish(&ask("app", ""), &[nothing_there]).unwrap_err(),
        Refusal::Forbidden { .. }
    ));
}

#[test]
fn another_namespace_tells_nothing_of_what_exists() {
    let shared = vault("platform/shared", &["a"]);
    let closed = shared.clone().with_rule(anyone().from(&["batch"]));
    let empty = vault("platform/shared", &[]);
    let others_only = shared
        .clone()
        .with_rule(anyone().from(&["shop"]).to(&["b"]));
    for items in ["", "a", "b", "**"] {
        let request = ask("platform/shared", items);
        let absent = publish(&request, &[]).unwrap_err();
        assert_eq!(
            absent.to_string(),
            "vault platform/shared does not exist or does not allow this pod (shop/web)"
        );
        for vault in [&shared, &closed, &empty] {
            assert_eq!(
                publish(&request, slice::from_ref(vault)).unwrap_err(),
                absent,
                "{items}"
            );
        }
    }
    let request = ask("platform/shared", "");
    let absent = publish(&request, &[]).unwrap_err();
    assert_eq!(publish(&request, &[others_only]).unwrap_err(), absent);
}

#[test]
fn an_entry_that_is_not_allowed_is_refused_alike_whether_it_exists_or_not() {
    for reference in ["shop/app", "platform/shared"] {
        let rule = anyone().from(&["shop"]).to(&["a"]);
        let with = vault(reference, &["a", "b"]).with_rule(rule);
        let without = with.clone().without("b");
        let request = ask(reference, "a,b");
        let refusal = publish(&request, &[with]).unwrap_err();
        assert!(matches!(refusal, Refusal::Forbidden { .. }));
        assert_eq!(publish(&request, &[without]).unwrap_err(), refusal);
    }
}

#[test]
fn an_allowed_entry_of_another_namespace_that_is_missing_is_named() {
    let shared =
        vault("platform/shared", &["db/a"]).with_rule(anyone().from(&["shop"]).to(&["db/*"]));
    let refusal = publish(&ask("platform/shared", "db/b"), &[shared]).unwrap_err();
    assert!(matches!(refusal, Refusal::NotFound { .. }), "{refusal}");
}

#[test]
fn an_item_must_be_in_one_of_the_vaults() {
    let vaults = [vault("shop/app", &["a"]), vault("shop/base", &["b", "c"])];
    let plan = publish(&ask("base,app", "a,b"), &vaults).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a", "b<-shop/base:b"]);
    let refusal = publish(&ask("base,app", "a,x"), &vaults).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "entry x is not in vault shop/base or shop/app: add it, or correct items"
    );
}

#[test]
fn optional_items_may_be_missing_or_forbidden() {
    let app = vault("shop/app", &["a", "b"]).with_rule(anyone().to(&["a", "x"]));
    let items = "[{entry: a}, {entry: x, optional: true}, {entry: b, optional: true}]";
    let plan = publish(&ask("app", items), &[app]).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a"]);
    assert!(plan.notices.is_empty());
}

#[test]
fn if_every_item_is_optional_the_vaults_are_too() {
    let all = "[{entry: a, optional: true}, {entry: 'b*', optional: true}]";
    let plan = publish(&ask("app, platform/shared", all), &[]).unwrap();
    assert!(plan.files.is_empty() && plan.vaults.is_empty());
    assert_eq!(plan.notices.len(), 2);
    let one = "[{entry: a, optional: true}, {entry: 'b*'}]";
    assert!(publish(&ask("app", one), &[]).is_err());
}

#[test]
fn a_later_vault_wins_and_that_is_told() {
    let vaults = [
        vault("shop/app", &["a", "b"]),
        vault("shop/base", &["a", "c"]),
    ];
    let plan = publish(&ask("base,app", ""), &vaults).unwrap();
    assert_eq!(
        files(&plan),
        ["a<-shop/app:a", "b<-shop/app:b", "c<-shop/base:c"]
    );
    let overridden: Vec<_> = plan.notices.iter().filter_map(Notice::overridden).collect();
    assert_eq!(overridden.len(), 1);
    assert_eq!(overridden[0].vault.to_string(), "shop/base");
    assert_eq!(
        notices(&plan),
        ["a is taken from vault shop/app, which is listed after shop/base"]
    );
    let reversed = publish(&ask("app,base", ""), &vaults).unwrap();
    assert_eq!(files(&reversed)[0], "a<-shop/base:a");
}

#[test]
fn the_merge_is_by_path_and_not_by_entry() {
    let vaults = [
        vault("shop/app", &["x"]).landing("x", "a"),
        vault("shop/base", &["a", "x"]),
    ];
    let plan = publish(&ask("base,app", ""), &vaults).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:x", "x<-shop/base:x"]);
}

#[test]
fn a_file_and_a_directory_of_two_vaults_are_merged_by_the_same_rule() {
    let (file, directory) = (
        vault("shop/file", &["a"]),
        vault("shop/dir", &["a/b", "a/c/d"]),
    );
    let plan = publish(&ask("dir,file", ""), &[file.clone(), directory.clone()]).unwrap();
    assert_eq!(files(&plan), ["a<-shop/file:a"]);
    assert_eq!(plan.notices.len(), 2);
    assert!(
        plan.notices
            .iter()
            .all(|notice| notice.overridden().is_some())
    );
    let plan = publish(&ask("file,dir", ""), &[file, directory]).unwrap();
    assert_eq!(files(&plan), ["a/b<-shop/dir:a/b", "a/c/d<-shop/dir:a/c/d"]);
}

#[test]
fn two_entries_of_one_vault_at_one_path_are_refused() {
    let same = vault("shop/app", &["a", "b"]).landing("b", "a");
    let below = vault("shop/app", &["a", "b"]).landing("b", "a/b");
    let above = vault("shop/app", &["a/b/c", "x"]).landing("x", "a/b");
    for app in [same, below, above] {
        let refusal = publish(&ask("app", ""), slice::from_ref(&app)).unwrap_err();
        assert!(
            matches!(refusal, Refusal::PathCollision { .. }),
            "{refusal}"
        );
        assert!(app.collision().is_some());
    }
    let by_items = publish(&ask("app", "a=x,b=x"), &[vault("shop/app", &["a", "b"])]);
    assert!(matches!(
        by_items.unwrap_err(),
        Refusal::PathCollision { .. }
    ));
}

#[test]
fn names_that_only_begin_alike_do_not_clash() {
    let app = vault("shop/app", &["a", "a.b", "a-b/c", "ab/a", "b/a"]);
    assert_eq!(app.collision(), None);
    assert_eq!(publish(&ask("app", ""), &[app]).unwrap().files.len(), 5);
}

#[test]
fn an_entry_of_a_vault_with_a_collision_can_still_be_asked_for_alone() {
    let app = vault("shop/app", &["a", "a/b"]);
    assert!(publish(&ask("app", ""), slice::from_ref(&app)).is_err());
    assert!(publish(&ask("app", "a/b"), &[app]).is_ok());
}

#[test]
fn attributes_come_from_the_nearest_who_says_them() {
    let mut app = vault("shop/app", &["a", "b"]).with_attributes("a", owner(3, 30));
    app.file_defaults = FileAttributes {
        uid: Some(1),
        gid: Some(10),
        ..mode("0111")
    };
    let request = |items, defaults| Request::parse("shop", "app", items, defaults).unwrap();
    let none = FileAttributes::default();
    let of = |request: &Request| {
        let file = publish(request, slice::from_ref(&app))
            .unwrap()
            .files
            .remove(0);
        (file.uid, file.gid, file.mode.to_string())
    };
    let by_item = "[{entry: a, uid: 4, mode: '0444'}]";
    assert_eq!(of(&request("b", none)), (1, 10, "0111".to_owned()));
    assert_eq!(of(&request("b", owner(2, 20))), (2, 20, "0111".to_owned()));
    assert_eq!(of(&request("a", owner(2, 20))), (3, 30, "0111".to_owned()));
    assert_eq!(of(&request("a", mode("0222"))), (3, 30, "0222".to_owned()));
    assert_eq!(
        of(&request(by_item, mode("0222"))),
        (4, 30, "0444".to_owned())
    );
}

#[test]
fn when_nobody_says_anything_a_file_is_root_s_and_readable() {
    let plan = publish(&ask("app", ""), &[vault("shop/app", &["a"])]).unwrap();
    let file = &plan.files[0];
    assert_eq!((file.uid, file.gid, file.mode), (0, 0, FileMode::DEFAULT));
    assert!(file.gid_is_default);
}

#[test]
fn a_gid_that_anybody_said_is_not_a_default_even_if_it_is_zero() {
    let app = vault("shop/app", &["a"]).with_attributes("a", owner(0, 0));
    assert!(!publish(&ask("app", ""), &[app]).unwrap().files[0].gid_is_default);
    let mut app = vault("shop/app", &["a"]);
    app.file_defaults.gid = Some(0);
    assert!(!publish(&ask("app", ""), &[app]).unwrap().files[0].gid_is_default);
    let request = Request::parse("shop", "app", "", owner(0, 0)).unwrap();
    assert!(
        !publish(&request, &[vault("shop/app", &["a"])])
            .unwrap()
            .files[0]
            .gid_is_default
    );
}

#[test]
fn the_subject_decides_and_not_the_request_s_words() {
    let app = vault("shop/app", &["a"]);
    let stranger = pod("batch", "web");
    assert!(publish_for(&web(), &ask("app", ""), slice::from_ref(&app)).is_ok());
    assert!(publish_for(&stranger, &ask("app", ""), &[app]).is_err());
}
