use std::slice;

use secretvault_vault::{Held, Plan, Refusal, Vault, VaultRef, withdrawn};

use crate::fixture::{
    RuleWords, VaultWords, anyone, ask, decide, files, holding, notices, pod, publish, retained,
    vault, web,
};

/// Publishes `before`, then plans again with `after`.
fn then(vaults: &str, items: &str, before: &[Vault], after: &[Vault]) -> Result<Plan, Refusal> {
    let request = ask(vaults, items);
    let held = holding(&publish(&request, before).unwrap(), before);
    decide(&web(), &request, after, &held)
}

#[test]
fn what_did_not_change_is_planned_as_before() {
    let app = vault("shop/app", &["a", "b"]);
    let plan = then("app", "", slice::from_ref(&app), slice::from_ref(&app)).unwrap();
    assert_eq!(plan, publish(&ask("app", ""), &[app]).unwrap());
}

#[test]
fn a_deleted_entry_s_file_follows_on_delete() {
    for items in ["", "a,b", "*"] {
        let app = vault("shop/app", &["a", "b"]);
        let kept = then(
            "app",
            items,
            slice::from_ref(&app),
            &[app.clone().without("b")],
        );
        let kept = kept.unwrap();
        assert_eq!(
            (files(&kept), retained(&kept)),
            (vec!["a<-shop/app:a".to_owned()], vec!["b"])
        );

        let app = app.removing();
        let gone = then(
            "app",
            items,
            slice::from_ref(&app),
            &[app.clone().without("b")],
        );
        let gone = gone.unwrap();
        assert_eq!(
            (files(&gone), retained(&gone)),
            (vec!["a<-shop/app:a".to_owned()], vec![])
        );
    }
}

#[test]
fn the_vault_s_present_on_delete_counts_and_not_the_held_one() {
    let app = vault("shop/app", &["a", "b"]);
    let plan = then(
        "app",
        "",
        slice::from_ref(&app),
        &[app.clone().without("b").removing()],
    );
    assert!(plan.unwrap().retained.is_empty());
    let removing = app.clone().removing();
    let plan = then("app", "", &[removing], &[app.without("b")]);
    assert_eq!(retained(&plan.unwrap()), ["b"]);
}

#[test]
fn a_deleted_vault_s_files_follow_its_last_on_delete() {
    for reference in ["shop/app", "platform/app"] {
        let app = vault(reference, &["a", "b"]).with_rule(anyone().from(&["shop"]));
        let kept = then(reference, "", slice::from_ref(&app), &[]).unwrap();
        assert_eq!(retained(&kept), ["a", "b"]);
        assert!(kept.files.is_empty() && kept.vaults.is_empty());
        let gone = then(reference, "", &[app.removing()], &[]).unwrap();
        assert!(retained(&gone).is_empty());
    }
}

#[test]
fn files_of_the_last_entry_stay_too() {
    let app = vault("shop/app", &["a"]);
    let plan = then(
        "app",
        "a",
        slice::from_ref(&app),
        &[app.clone().without("a")],
    )
    .unwrap();
    assert_eq!(retained(&plan), ["a"]);
}

#[test]
fn a_withdrawn_right_removes_whatever_on_delete_says() {
    let closed = |app: &Vault| {
        let mut closed = app.clone().with_rule(anyone().from(&["shop"]).to(&["a"]));
        closed.access.get_or_insert_default().remove(0);
        closed
    };
    for reference in ["shop/app", "platform/app"] {
        let app = vault(reference, &["a", "b"]).with_rule(anyone().from(&["shop"]));
        for after in [closed(&app), closed(&app).without("b")] {
            let plan = then(reference, "", slice::from_ref(&app), &[after]).unwrap();
            assert_eq!(files(&plan), [format!("a<-{reference}:a")]);
            assert!(plan.retained.is_empty());
            assert_eq!(
                notices(&plan),
                [format!("b goes: vault {reference} no longer allows it")]
            );
        }
    }
}

#[test]
fn a_vault_of_another_namespace_that_allows_nothing_any_more_takes_its_files_with_it() {
    let shared = vault("platform/shared", &["a"]).with_rule(anyone().from(&["shop"]));
    let closed = vault("platform/shared", &["a"]).with_rule(anyone());
    let plan = then("platform/shared", "", &[shared], &[closed]).unwrap();
    assert!(plan.files.is_empty() && plan.retained.is_empty() && plan.vaults.is_empty());
}

#[test]
fn a_pod_whose_labels_no_longer_fit_loses_its_files() {
    let app = vault("shop/app", &["a"]).with_rule(anyone().labelled("app", "web"));
    let request = ask("app", "");
    let vaults = [app];
    let held = holding(&publish(&request, &vaults).unwrap(), &vaults);
    let mut relabelled = web();
    relabelled.labels.clear();
    let plan = decide(&relabelled, &request, &vaults, &held).unwrap();
    assert!(plan.files.is_empty() && plan.retained.is_empty());
}

#[test]
fn a_vault_created_anew_is_another_vault() {
    let app = vault("shop/app", &["a", "b"]);
    let anew = vault("shop/app", &["a"]).recreated();
    let plan = then("app", "", slice::from_ref(&app), slice::from_ref(&anew)).unwrap();
    assert_eq!(
        (files(&plan), retained(&plan)),
        (vec!["a<-shop/app:a".to_owned()], vec!["b"])
    );
    let plan = then("app", "", &[app.removing()], &[anew]).unwrap();
    assert!(plan.retained.is_empty());
}

#[test]
fn a_vault_created_anew_withdraws_in_the_own_namespace_and_is_unseen_in_another() {
    for (reference, stays) in [("shop/app", vec![]), ("platform/app", vec!["a"])] {
        let app = vault(reference, &["a"]).with_rule(anyone().from(&["shop"]));
        let anew = vault(reference, &["a"])
            .with_rule(anyone().from(&["else"]))
            .recreated();
        let plan = then(reference, "", &[app], &[anew]).unwrap();
        assert_eq!(retained(&plan), stays, "{reference}");
    }
}

#[test]
fn a_retained_file_gives_way_to_a_new_one() {
    let base = vault("shop/base", &["a", "c"]);
    let app = vault("shop/app", &["a", "b"]);
    let before = [base.clone(), app.clone()];
    let after = [base, app.without("a").without("b")];
    let plan = then("base,app", "", &before, &after).unwrap();
    assert_eq!(files(&plan), ["a<-shop/base:a", "c<-shop/base:c"]);
    assert_eq!(retained(&plan), ["b"]);
}

#[test]
fn a_retained_file_gives_way_to_a_directory_and_the_other_way_round() {
    let app = vault("shop/app", &["a", "x/y"]);
    let mut after = vault("shop/app", &["a/b", "x"]);
    after.generation = 2;
    let plan = then("app", "", &[app], &[after]).unwrap();
    assert_eq!(files(&plan), ["a/b<-shop/app:a/b", "x<-shop/app:x"]);
    assert!(plan.retained.is_empty());
}

#[test]
fn an_entry_that_lands_elsewhere_leaves_nothing_behind() {
    let app = vault("shop/app", &["a"]);
    let moved = app.clone().landing("a", "elsewhere");
    let plan = then("app", "", &[app], &[moved]).unwrap();
    assert_eq!(files(&plan), ["elsewhere<-shop/app:a"]);
    assert!(plan.retained.is_empty() && plan.notices.is_empty());
}

#[test]
fn while_one_vault_is_gone_the_other_s_changes_arrive() {
    let (base, app) = (vault("shop/base", &["a"]), vault("shop/app", &["b"]));
    let request = ask("base,app", "a,b");
    let before = [base.clone().removing(), app.clone()];
    let first = publish(&request, &before).unwrap();
    let plan = decide(&web(), &request, &[app], &holding(&first, &before)).unwrap();
    assert_eq!(files(&plan), ["b<-shop/app:b"]);
    assert!(plan.retained.is_empty());
    assert_eq!(plan.vaults.len(), 1);
}

#[test]
fn a_retained_file_stays_at_the_next_plan_too() {
    let app = vault("shop/app", &["a", "b"]);
    let after = app.clone().without("b");
    let request = ask("app", "");
    let held = holding(&publish(&request, slice::from_ref(&app)).unwrap(), &[app]);
    let vaults = [after];
    let second = decide(&web(), &request, &vaults, &held).unwrap();
    let mut held_again = holding(&second, &vaults);
    held_again.files.push(held.files[1].clone());
    let third = decide(&web(), &request, &vaults, &held_again).unwrap();
    assert_eq!(retained(&third), ["b"]);
}

#[test]
fn an_older_generation_than_the_held_one_is_not_answered_with() {
    let old = vault("shop/app", &["a", "b"]);
    let new = old.clone().without("b");
    let refusal = then("app", "", &[new], slice::from_ref(&old)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "vault shop/app: this replica has not seen its last change yet"
    );
    let mut newer_before = old.clone().without("a");
    newer_before.generation = 7;
    let plan = then("app", "", &[newer_before], &[old.recreated()]);
    assert!(plan.is_ok(), "another uid has generations of its own");
}

#[test]
fn nothing_held_of_a_vault_that_is_not_asked_for_stays() {
    let app = vault("shop/app", &["a"]);
    let other = vault("shop/other", &["x"]);
    let both = [app.clone(), other];
    let held = holding(&publish(&ask("app,other", ""), &both).unwrap(), &both);
    let plan = decide(&web(), &ask("app", ""), &both, &held).unwrap();
    assert_eq!(files(&plan), ["a<-shop/app:a"]);
    assert!(plan.retained.is_empty());
}

#[test]
fn a_held_file_with_a_false_index_goes() {
    let vaults = [vault("shop/app", &["a"])];
    let request = ask("app", "");
    let mut held = holding(&publish(&request, &vaults).unwrap(), &vaults);
    held.files[0].vault = 5;
    held.files[0].path = "x".parse().unwrap();
    let plan = decide(&web(), &request, &vaults, &held).unwrap();
    assert!(plan.retained.is_empty());
}

#[test]
fn what_is_held_gives_no_right() {
    let app = vault("shop/app", &["a"]);
    let vaults = [app];
    let held = holding(&publish(&ask("app", ""), &vaults).unwrap(), &vaults);
    let plan = decide(&pod("batch", "web"), &ask("app", ""), &vaults, &held).unwrap();
    assert!(plan.files.is_empty() && plan.retained.is_empty());
    assert!(
        decide(
            &pod("batch", "web"),
            &ask("app", ""),
            &vaults,
            &Held::default()
        )
        .is_err()
    );
}

#[test]
fn what_is_withdrawn_is_what_the_plan_would_take_away_for_it() {
    for reference in ["shop/app", "platform/app"] {
        let open = vault(reference, &["a", "b"]).with_rule(anyone().from(&["shop"]));
        let closed = vault(reference, &["a", "b"]).with_rule(anyone().from(&["shop"]).to(&["a"]));
        let request = ask(reference, "");
        let before = [open];
        let held = holding(&publish(&request, &before).unwrap(), &before);
        assert_eq!(goes(&held, &before), [""; 0], "{reference}");
        assert_eq!(goes(&held, &[]), [""; 0], "{reference}: unseen");
        assert_eq!(goes(&held, slice::from_ref(&closed)), ["b"], "{reference}");
        let mut older = closed;
        older.generation = 0;
        assert_eq!(goes(&held, &[older]), [""; 0], "{reference}: behind");
    }
}

#[test]
fn a_vault_made_anew_withdraws_only_in_the_pods_own_namespace() {
    for (reference, expected) in [("shop/app", vec!["a"]), ("platform/app", vec![])] {
        let before = [vault(reference, &["a"]).with_rule(anyone().from(&["shop"]))];
        let anew = vault(reference, &["a"])
            .with_rule(anyone().from(&["else"]))
            .recreated();
        let held = holding(&publish(&ask(reference, ""), &before).unwrap(), &before);
        assert_eq!(goes(&held, &[anew]), expected, "{reference}");
    }
}

/// The held paths that are withdrawn from `shop/web`.
fn goes(held: &Held, vaults: &[Vault]) -> Vec<String> {
    let seen = |reference: &VaultRef| vaults.iter().find(|v| v.reference == *reference);
    let paths = withdrawn(&web(), seen, held);
    paths.iter().map(ToString::to_string).collect()
}
