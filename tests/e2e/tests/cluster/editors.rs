//! Who may write which entry of a vault that has editors, asked of the real API server.

pub(crate) mod deletion;
mod matrix;
mod people;

use secretvault_e2e::{Namespace, Vault, eventually, unless_modified};
use serde_json::{Value, json};

use self::people::{ADMIN, DBA, JANE, Who};

const PASSWORD: &str = "hunter2-editors";
const TOKEN: &str = "t-1-editors";

/// A vault with entries of two teams, of which each has an editor.
fn vault(namespace: &Namespace) -> Vault {
    let other = format!("{}/pipeline", people::ELSEWHERE);
    let own = format!("{}/deployer", namespace.name());
    Vault::named("app")
        .text("db/password", PASSWORD)
        .text("smtp/token", TOKEN)
        .public("smtp/host", "mail.example.com")
        .spec("files", json!([{"entry": "db/password", "mode": "0400"}]))
        .spec(
            "editors",
            json!([
                {"users": ["jane"], "verbs": ["create", "update"], "entries": ["db/**"]},
                {"groups": ["dba"], "verbs": ["delete"], "entries": ["db/*"]},
                {"serviceAccounts": [own], "verbs": ["update"], "entries": ["smtp/*"]},
                {"serviceAccounts": [other, "nobody"], "verbs": ["create", "update", "delete"]},
            ]),
        )
}

fn store(namespace: &Namespace) -> Value {
    // Of what was applied client-side, kubectl makes the first server-side applier the owner.
    let _ = vault(namespace)
        .apply_server_side(namespace)
        .expect_success();
    vault(namespace).stored(namespace)
}

#[test]
fn an_editor_writes_his_entries_by_every_kind_of_request() {
    let namespace = Namespace::create("editors");
    let stored = store(&namespace);
    let jane = Who::bound(&namespace, JANE, "edit");
    let object = |value: &str| Vault::named("app").text("db/password", value);
    // A merge patch.
    let _ = jane
        .patch(&json!({"data": {"db/password": "one"}}))
        .expect_success();
    assert!(object("").holds(&namespace, "db/password", "one"));
    // Server-side apply of her own entries alone.
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=jane",
        "-f",
        "-",
    ];
    let own = object("two").text("db/more", "more");
    let _ = jane.kubectl_with(&apply, &own.manifest()).expect_success();
    assert!(object("").holds(&namespace, "db/password", "two"));
    assert!(object("").holds(&namespace, "db/more", "more"));
    // The whole object, with the envelopes of the others as they are stored. It names the version that it
    // replaces, and the operator may write a status meanwhile.
    let replaced = unless_modified(|| {
        let mut whole = vault(&namespace).stored(&namespace);
        whole["spec"]["data"]["db/password"] = json!("three");
        jane.kubectl_with(&["replace", "-f", "-"], &whole.to_string())
    });
    let _ = replaced.expect_success();
    assert!(object("").holds(&namespace, "db/password", "three"));
    let now = vault(&namespace).stored(&namespace);
    let token = |vault: &Value| vault["spec"]["data"]["smtp/token"].clone();
    assert_eq!(token(&now), token(&stored));
    // What she applied once and leaves out now she would delete.
    let left_out = jane.kubectl_with(&apply, &object("three").manifest());
    let _ = left_out.expect_refusal(&["Forbidden", "does not let you delete db/more"], PASSWORD);
    assert!(object("").holds(&namespace, "db/more", "more"));
}

#[test]
fn a_refused_editor_changes_nothing_and_learns_nothing() {
    let namespace = Namespace::create("editors");
    let stored = store(&namespace);
    let jane = Who::bound(&namespace, JANE, "edit");
    let refusal = |guess: &str| {
        let answer = jane.patch(&json!({"data": {"smtp/token": guess}}));
        answer.expect_refusal(
            &[
                "Forbidden",
                "spec.editors does not let you update smtp/token",
                "\"manage\"",
            ],
            TOKEN,
        )
    };
    // The right value is refused like any other: else it could be guessed.
    assert_eq!(refusal(TOKEN), refusal("t-2-editors"));
    let both = json!({"data": {"db/password": "new", "smtp/token": "new"}});
    let _ = jane.patch(&both).expect_failure();
    let now = vault(&namespace).stored(&namespace);
    assert_eq!(now["spec"], stored["spec"]);
    // The control: whoever may write an entry learns that it is as it was.
    let _ = jane
        .patch(&json!({"data": {"db/password": PASSWORD}}))
        .expect_success();
    assert_eq!(vault(&namespace).stored(&namespace)["spec"], stored["spec"]);
}

#[test]
fn an_editor_does_not_promote_himself() {
    let namespace = Namespace::create("editors");
    let stored = store(&namespace);
    let jane = Who::bound(&namespace, JANE, "edit");
    let all = json!([{"users": ["jane"], "verbs": ["create", "update", "delete"]}]);
    let says = ["Forbidden", "spec.access or spec.editors", "\"manage\""];
    for spec in [
        json!({"editors": all}),
        json!({"editors": null}),
        json!({"editors": all, "data": {"smtp/token": "mine"}}),
        json!({"access": [{"serviceAccounts": ["*"]}]}),
    ] {
        let _ = jane.patch(&spec).expect_refusal(&says, PASSWORD);
    }
    let promoted = vault(&namespace).spec("editors", all.clone());
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    for request in [&["replace", "-f", "-"][..], &apply, &["apply", "-f", "-"]] {
        let refused = jane.kubectl_with(request, &promoted.manifest());
        let _ = refused.expect_refusal(&says, "no value");
    }
    // Nor in the vault's stead: the object that is there is in the way.
    let created = jane.kubectl_with(&["create", "-f", "-"], &promoted.manifest());
    let _ = created.expect_failure();
    assert_eq!(vault(&namespace).stored(&namespace)["spec"], stored["spec"]);
    let admin = Who::bound(&namespace, ADMIN, "admin");
    let _ = admin.patch(&json!({"editors": all})).expect_success();
    let _ = jane
        .patch(&json!({"data": {"smtp/token": "mine"}}))
        .expect_success();
}

/// What somebody has by a rule ends with the rule.
#[test]
fn a_group_has_what_its_rule_says_and_no_longer() {
    let namespace = Namespace::create("editors");
    let _ = store(&namespace);
    let dba = Who::bound(&namespace, DBA, "edit");
    let admin = Who::bound(&namespace, ADMIN, "admin");
    let delete = json!({"spec": {"data": {"db/password": null}, "files": null}});
    let dry_run = |who: &Who| who.try_patch(&delete);
    let _ = dry_run(&dba).expect_success();
    let mut rules = vault(&namespace).stored(&namespace)["spec"]["editors"].clone();
    let _ = rules.as_array_mut().unwrap().remove(1);
    let _ = admin.patch(&json!({"editors": rules})).expect_success();
    let _ = dry_run(&dba).expect_refusal(&["does not let you delete db/password"], PASSWORD);
    let _ = admin.patch(&json!({"editors": null})).expect_success();
    // Without editors, whoever may update the vault.
    let _ = dry_run(&dba).expect_success();
}

/// The operator has no rule, and needs none for what is its own to do.
#[test]
fn a_vault_with_editors_gets_new_data_keys_by_itself() {
    let namespace = Namespace::create("editors");
    let vault = vault(&namespace).spec("rekeyAfter", json!("10s"));
    let _ = vault.apply(&namespace).expect_success();
    let id = |vault: &Value| vault["spec"]["dataKey"]["id"].clone();
    let before = id(&vault.stored(&namespace));
    eventually("the operator made a new data key", || {
        let now = vault.stored(&namespace);
        if id(&now) == before {
            Err(now["status"].to_string())
        } else {
            Ok(())
        }
    });
    // Another data key that comes between the two looks gives the same value another envelope.
    eventually("the value is the same", || {
        if vault.holds(&namespace, "db/password", PASSWORD) {
            Ok(())
        } else {
            Err("it has another envelope")
        }
    });
    // The control: somebody else who may update the vault may not.
    let jane = Who::bound(&namespace, JANE, "edit");
    let raised = jane.patch(&json!({"dataKey": {"rekey": 100}}));
    let _ = raised.expect_refusal(&["does not let you change spec.dataKey.rekey"], PASSWORD);
}
