//! Vaults that are optional or land below a prefix.

use std::slice;

use secretvault_vault::{
    Held, Refusal,
    names::{MAX_NAME_LEN, NameError},
};

use crate::fixture::{
    RuleWords, VaultWords, anyone, ask, decide, files, holding, notices, publish, vault, web,
};

const EXTRA: &str = "[{vault: app}, {vault: extra, optional: true}]";
const SHARED: &str = "[{vault: app}, {vault: platform/shared, optional: true}]";

fn names(vaults: &[secretvault_vault::VaultRef]) -> Vec<String> {
    vaults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_prefix_is_before_every_path_of_its_vault_and_of_no_other() {
    let vaults = [
        vault("shop/app", &["a", "b"]),
        vault("shop/base", &["a", "db/p", "x"]).landing("x", "y/z"),
    ];
    let text = "[{vault: base, prefix: base/1}, {vault: app}]";
    let plan = publish(&ask(text, ""), &vaults).unwrap();
    assert_eq!(
        files(&plan),
        [
            "a<-shop/app:a",
            "b<-shop/app:b",
            "base/1/a<-shop/base:a",
            "base/1/db/p<-shop/base:db/p",
            "base/1/y/z<-shop/base:x",
        ]
    );
    assert!(plan.notices.is_empty());
}

#[test]
fn a_prefix_is_before_an_item_s_own_path_too() {
    let vaults = [vault("shop/app", &["a"]), vault("shop/base", &["a"])];
    let text = "[{vault: base, prefix: base}, {vault: app}]";
    let plan = publish(&ask(text, "a=x, a=y/z"), &vaults).unwrap();
    assert_eq!(
        files(&plan),
        [
            "base/x<-shop/base:a",
            "base/y/z<-shop/base:a",
            "x<-shop/app:a",
            "y/z<-shop/app:a",
        ]
    );
}

#[test]
fn the_merge_is_by_the_path_below_the_prefix() {
    let vaults = [
        vault("shop/app", &["base/a"]),
        vault("shop/base", &["a", "b"]),
    ];
    let plan = publish(
        &ask("[{vault: base, prefix: base}, {vault: app}]", ""),
        &vaults,
    );
    let plan = plan.unwrap();
    assert_eq!(
        files(&plan),
        ["base/a<-shop/app:base/a", "base/b<-shop/base:b"]
    );
    assert_eq!(
        notices(&plan),
        ["base/a is taken from vault shop/app, which is listed after shop/base"]
    );
}

#[test]
fn a_prefix_that_makes_a_path_too_long_is_refused_by_name() {
    let name = "x".repeat(MAX_NAME_LEN - 3);
    let app = vault("shop/app", &[&name]);
    let fits = publish(
        &ask("[{vault: app, prefix: pp}]", ""),
        slice::from_ref(&app),
    );
    assert_eq!(fits.unwrap().files[0].path.as_str().len(), MAX_NAME_LEN);
    let refusal = publish(
        &ask("[{vault: app, prefix: ppp}]", ""),
        slice::from_ref(&app),
    );
    let refusal = refusal.unwrap_err();
    let Refusal::PrefixTooLong { reason, .. } = &refusal else {
        panic!("{refusal}")
    };
    assert!(matches!(reason, NameError::TooLong { length: 254, .. }));
    let words = refusal.to_string();
    assert!(words.starts_with("vault shop/app: entry xxx"), "{words}");
    assert!(words.contains("shorten the prefix"), "{words}");
    let shorter = ask("[{vault: app, prefix: ppp}]", &format!("{name}=y"));
    assert_eq!(files(&publish(&shorter, &[app]).unwrap()).len(), 1);
}

#[test]
fn an_optional_vault_may_be_missing_and_is_awaited() {
    let app = vault("shop/app", &["a"]);
    let plan = publish(&ask(EXTRA, ""), slice::from_ref(&app)).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a"]);
    assert_eq!(names(&plan.lacking), ["shop/extra"]);
    assert_eq!(names(&plan.awaited), ["shop/extra"]);
    assert_eq!(
        notices(&plan),
        ["optional vault shop/extra does not exist: create it, or correct vaults"]
    );
    let required = publish(&ask("app, extra", ""), slice::from_ref(&app));
    assert!(matches!(required, Err(Refusal::NotFound { .. })));
    let both = publish(&ask(EXTRA, ""), &[app, vault("shop/extra", &["b"])]).unwrap();
    assert_eq!(files(&both), ["a<-shop/app:a", "b<-shop/extra:b"]);
    assert!(both.lacking.is_empty() && both.awaited.is_empty() && both.notices.is_empty());
}

#[test]
fn an_optional_vault_may_be_forbidden_and_is_not_awaited() {
    let closed = vault("shop/extra", &["b"]).with_rule(anyone().accounts(&["other"]));
    let plan = publish(&ask(EXTRA, ""), &[vault("shop/app", &["a"]), closed]).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a"]);
    assert_eq!(names(&plan.lacking), ["shop/extra"]);
    assert!(plan.awaited.is_empty());
}

/// Neither the plan nor its notices tell a vault that is missing from one that is forbidden.
#[test]
fn an_optional_vault_of_another_namespace_tells_nothing_of_its_existence() {
    let app = vault("shop/app", &["a"]);
    let absent = publish(&ask(SHARED, ""), slice::from_ref(&app)).unwrap();
    assert_eq!(
        notices(&absent),
        ["optional vault platform/shared does not exist or does not allow this pod (shop/web)"]
    );
    assert!(absent.awaited.is_empty());
    let closed = vault("platform/shared", &["b"]);
    let empty = vault("platform/shared", &[]);
    for there in [closed, empty] {
        assert_eq!(
            publish(&ask(SHARED, ""), &[app.clone(), there]).unwrap(),
            absent
        );
    }
    let open = vault("platform/shared", &["b"]).with_rule(anyone().from(&["shop"]));
    let plan = publish(&ask(SHARED, ""), &[app, open]).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a", "b<-platform/shared:b"]);
}

#[test]
fn an_optional_vault_makes_no_item_optional() {
    let app = vault("shop/app", &["a"]);
    let refusal = publish(&ask(EXTRA, "a, b"), slice::from_ref(&app)).unwrap_err();
    assert!(matches!(refusal, Refusal::NotFound { entry: Some(_), .. }));
    let optional = ask(EXTRA, "[{entry: a}, {entry: b, optional: true}]");
    assert_eq!(files(&publish(&optional, &[app]).unwrap()).len(), 1);
}

#[test]
fn a_volume_of_optional_vaults_only_is_empty_while_none_is_there() {
    for items in ["", "a", "a=x, b*"] {
        let plan = publish(&ask("[{vault: extra, optional: true}]", items), &[]).unwrap();
        assert!(plan.files.is_empty() && plan.vaults.is_empty());
        assert_eq!(names(&plan.awaited), ["shop/extra"], "{items}");
    }
}

#[test]
fn if_every_item_is_optional_missing_vaults_are_awaited_as_optional_ones() {
    let plan = publish(&ask("extra", "[{entry: a, optional: true}]"), &[]).unwrap();
    assert_eq!(names(&plan.awaited), ["shop/extra"]);
}

#[test]
fn an_optional_vault_that_comes_later_brings_its_files_and_one_that_goes_follows_on_delete() {
    let (app, extra) = (vault("shop/app", &["a"]), vault("shop/extra", &["b"]));
    let request = ask(EXTRA, "");
    let then = |before: &[_], after: &[_]| {
        let held = holding(&publish(&request, before).unwrap(), before);
        decide(&web(), &request, after, &held).unwrap()
    };
    let both = [app.clone(), extra.clone()];
    let came = then(slice::from_ref(&app), &both);
    assert_eq!(files(&came), ["a<-shop/app:a", "b<-shop/extra:b"]);
    let went = then(&both, slice::from_ref(&app));
    assert_eq!(went.retained.len(), 1);
    assert_eq!(names(&went.awaited), ["shop/extra"]);
    let removed = then(&[app.clone(), extra.removing()], &[app]);
    assert!(removed.retained.is_empty());
}

#[test]
fn a_vault_that_went_is_awaited_by_a_volume_that_showed_it() {
    let app = vault("shop/app", &["a"]);
    let held = holding(
        &publish(&ask("app", ""), slice::from_ref(&app)).unwrap(),
        &[app],
    );
    let plan = decide(&web(), &ask("app", ""), &[], &held).unwrap();
    assert!(plan.lacking.is_empty());
    assert_eq!(names(&plan.awaited), ["shop/app"]);
    assert!(decide(&web(), &ask("app", ""), &[], &Held::default()).is_err());
}
