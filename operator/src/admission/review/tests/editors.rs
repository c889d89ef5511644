//! Requests for vaults with editors, changes and deletions.

use http::StatusCode;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionResponse, AdmissionReview};
use serde_json::{Value, json};

use super::scene::{OPERATOR, RIGHTS, Scene, USER, moving, raised};
use crate::admission::{RemovalWebhook, WebhookMetrics};

fn spec() -> Value {
    json!({
        "data": {"db/password": "hunter2", "smtp/token": "t-1"},
        "editors": [
            {"users": [USER], "verbs": ["create", "update"], "entries": ["db/*"]},
            {"groups": ["oncall"], "verbs": ["delete"]},
            {"serviceAccounts": ["ci/deployer"], "verbs": ["update"], "entries": ["smtp/*"]},
        ],
    })
}

/// A vault with editors is stored, and from now on nobody has any right beyond update.
async fn stored() -> (Scene, Value) {
    let scene = Scene::new();
    scene.allow(false);
    let stored = scene.put("whoever creates it", None, &spec()).await;
    assert!(scene.server.asked(RIGHTS).is_empty());
    (scene, stored)
}

fn with(stored: &Value, map: &str, entry: &str, value: &str) -> Value {
    let mut spec = stored.clone();
    spec[map][entry] = json!(value);
    spec
}

/// What a requester with these groups is answered, in whichever way he changes the object.
async fn reviewed(scene: &Scene, user: Value, old: Value, new: Value) -> AdmissionResponse {
    let operation = if new.is_null() { "DELETE" } else { "UPDATE" };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "secretvault.dev", "version": "v1alpha1", "kind": "SecretVault"},
            "resource": {
                "group": "secretvault.dev", "version": "v1alpha1", "resource": "secretvaults",
            },
            "name": if new.is_null() { "" } else { "app" },
            "namespace": "shop",
            "operation": operation,
            "userInfo": user,
            "object": new,
            "oldObject": old,
        },
    });
    let review: AdmissionReview<DynamicObject> = serde_json::from_value(review).unwrap();
    if operation == "DELETE" {
        let webhook = RemovalWebhook::new(
            scene.server.client(),
            scene.log.audit(),
            WebhookMetrics::default(),
        );
        return webhook.review(review).await;
    }
    let webhook = scene.webhook().operated_by(OPERATOR.to_owned());
    webhook.review(review).await
}

fn object(spec: &Value) -> Value {
    json!({"metadata": {"name": "app", "namespace": "shop"}, "spec": spec})
}

#[tokio::test(start_paused = true)]
async fn an_editor_needs_no_right_for_what_a_rule_lets_him_write() {
    let (scene, stored) = stored().await;
    for spec in [
        with(&stored, "data", "db/password", "new"),
        with(&stored, "data", "db/more", "new"),
        with(&stored, "publicData", "db/host", "db.shop.svc"),
        stored.clone(),
    ] {
        let sealed = scene.put(USER, Some(&stored), &spec).await;
        assert_eq!(sealed["data"]["smtp/token"], stored["data"]["smtp/token"]);
    }
    let deployer = "system:serviceaccount:ci:deployer";
    let edit = with(&stored, "data", "smtp/token", "t-2");
    let sealed = scene.put(deployer, Some(&stored), &edit).await;
    assert_ne!(sealed["data"]["smtp/token"], stored["data"]["smtp/token"]);
    assert!(scene.server.asked(RIGHTS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_no_rule_lets_him_write_needs_the_verb_manage() {
    let (scene, stored) = stored().await;
    let mut without = stored.clone();
    let _ = without["data"]
        .as_object_mut()
        .unwrap()
        .remove("db/password");
    let mut lands = stored.clone();
    lands["files"] = json!([{"entry": "db/password", "path": "smtp/token2"}]);
    for (spec, what) in [
        (
            with(&stored, "data", "smtp/token", "t-2"),
            "update smtp/token",
        ),
        (with(&stored, "publicData", "a", "1"), "create a"),
        (without, "delete db/password"),
        (lands, "update db/password at path smtp/token2"),
        (raised(&stored), "change spec.dataKey.rekey"),
        (
            with(
                &with(&stored, "data", "a", "1"),
                "fileDefaults",
                "mode",
                "0400",
            ),
            "create a, change spec.fileDefaults",
        ),
    ] {
        scene.allow(false);
        let refused = scene.refused(Some(&stored), &spec).await;
        assert_eq!((refused.code, refused.field), (403, None));
        let expected = format!(
            "spec.editors does not let you {what}: ask for a rule there, which can be about entries \
             only, or for the verb \"manage\" on secretvaults in namespace shop (the ClusterRole admin \
             has it)"
        );
        assert_eq!(refused.message, expected);
        scene.allow(true);
        let before = scene.server.asked(RIGHTS).len();
        let _ = scene.put(USER, Some(&stored), &spec).await;
        let asked = scene.server.asked(RIGHTS).split_off(before);
        let [question] = &asked[..] else {
            panic!("{what}: {asked:?}");
        };
        assert_eq!(question["spec"]["user"], USER);
        assert_eq!(question["spec"]["resourceAttributes"]["verb"], "manage");
    }
}

#[tokio::test(start_paused = true)]
async fn an_editor_does_not_promote_himself_or_anybody() {
    let (scene, stored) = stored().await;
    let mut promoted = stored.clone();
    promoted["editors"][0]["entries"] = json!(["**"]);
    let mut opened = stored.clone();
    opened["editors"] = Value::Null;
    let mut guests = stored.clone();
    guests["access"] = json!([{"serviceAccounts": ["*"]}]);
    for spec in [promoted, opened, guests] {
        let refused = scene.refused(Some(&stored), &spec).await;
        assert_eq!(refused.code, 403);
        let expected =
            "changing spec.access or spec.editors of an existing vault needs the verb \"manage\"";
        assert!(refused.message.starts_with(expected), "{refused:?}");
    }
}

/// Who was given a vault without editors cannot be locked out by somebody without the right.
#[tokio::test(start_paused = true)]
async fn giving_a_vault_editors_needs_the_verb_manage() {
    let scene = Scene::new();
    scene.allow(false);
    let stored = scene.put(USER, None, &json!({"data": {"a": "1"}})).await;
    let mut mine = stored.clone();
    mine["editors"] = spec()["editors"].clone();
    let refused = scene.refused(Some(&stored), &mine).await;
    assert_eq!(refused.code, 403);
    scene.allow(true);
    let _ = scene.put(USER, Some(&stored), &mine).await;
}

#[tokio::test(start_paused = true)]
async fn a_right_guess_of_a_value_is_refused_like_a_wrong_one() {
    let (scene, stored) = stored().await;
    let mut answers = Vec::new();
    for guess in ["t-1", "t-2", "", "hunter2"] {
        let guess = with(&stored, "data", "smtp/token", guess);
        answers.push(scene.refused(Some(&stored), &guess).await.message);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // The control: who may write it learns that it is the value.
    let mine = with(&stored, "data", "db/password", "hunter2");
    assert_eq!(scene.put(USER, Some(&stored), &mine).await, stored);
}

#[tokio::test(start_paused = true)]
async fn the_operator_reseals_and_rewraps_a_vault_with_editors() {
    let (scene, stored) = stored().await;
    let rewrapped = scene.rewrapped(&stored).await;
    assert_eq!(
        scene.put(OPERATOR, Some(&stored), &rewrapped).await,
        rewrapped
    );
    let resealed = scene.put(OPERATOR, Some(&stored), &raised(&stored)).await;
    assert_ne!(resealed["data"], stored["data"]);
    scene.says("default", &moving("prod"));
    let moved = scene
        .put(OPERATOR, Some(&resealed), &raised(&resealed))
        .await;
    assert_eq!(moved["dataKey"]["provider"], "prod");
    assert!(scene.server.asked(RIGHTS).is_empty());
    // The control: nobody else.
    let refused = scene.refused(Some(&stored), &raised(&stored)).await;
    assert_eq!(refused.code, 403);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_would_have_the_vault_deleted_needs_the_verb_manage() {
    let (scene, stored) = stored().await;
    let owner =
        |uid: &str| json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": uid}]);
    let owned = |owners: Value| {
        let mut object = object(&stored);
        object["metadata"]["ownerReferences"] = owners;
        object
    };
    for (old, new, allowed) in [
        (owned(owner("1")), owned(owner("1")), true),
        (owned(json!([])), object(&stored), true),
        (object(&stored), owned(owner("1")), false),
        (owned(owner("1")), owned(owner("2")), false),
        (owned(owner("1")), object(&stored), false),
    ] {
        let answer = reviewed(&scene, json!({"username": USER}), old, new).await;
        assert_eq!(answer.allowed, allowed, "{:?}", answer.result);
        if !allowed {
            let says = "spec.editors does not let you change metadata.ownerReferences: ";
            assert!(
                answer.result.message.starts_with(says),
                "{:?}",
                answer.result
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn groups_count_as_the_api_server_names_them() {
    let (scene, stored) = stored().await;
    let mut without = stored.clone();
    let _ = without["data"]
        .as_object_mut()
        .unwrap()
        .remove("smtp/token");
    let delete = async |user: Value| {
        reviewed(&scene, user, object(&stored), object(&without))
            .await
            .allowed
    };
    assert!(delete(json!({"username": "joe", "groups": ["staff", "oncall"]})).await);
    assert!(!delete(json!({"username": "joe", "groups": ["staff"]})).await);
    assert!(!delete(json!({"username": "oncall"})).await);
}

#[tokio::test(start_paused = true)]
async fn a_vault_is_deleted_by_whom_every_entry_could_be_or_who_manages_it() {
    let (scene, stored) = stored().await;
    let delete = async |user: Value| reviewed(&scene, user, object(&stored), Value::Null).await;
    assert!(
        delete(json!({"username": "joe", "groups": ["oncall"]}))
            .await
            .allowed
    );
    assert!(scene.server.asked(RIGHTS).is_empty());
    let refused = delete(json!({"username": USER})).await.result;
    let says = "spec.editors does not let you delete the vault (delete db/password, delete smtp/token): \
                ask for a rule there";
    assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"));
    assert!(refused.message.starts_with(says), "{refused:?}");
    let asked = scene.server.asked(RIGHTS);
    let attributes = &asked[0]["spec"]["resourceAttributes"];
    assert_eq!(attributes["verb"], "manage");
    // Of a request that deletes many, only the object has the name.
    assert_eq!(attributes["name"], "app");
    scene.allow(true);
    assert!(delete(json!({"username": USER})).await.allowed);
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_about_the_right_nothing_is_deleted_or_written() {
    let (scene, stored) = stored().await;
    scene.server.fail(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let user = json!({"username": USER});
    let new = object(&with(&stored, "data", "smtp/token", "t-2"));
    for new in [new, Value::Null] {
        let answer = reviewed(&scene, user.clone(), object(&stored), new).await;
        assert!(!answer.allowed);
        assert_eq!(answer.result.code, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_one_line_of_names_and_refused_where_it_cannot_be_recorded() {
    let (scene, stored) = stored().await;
    let oncall = json!({"username": "kim", "groups": ["oncall"]});
    let delete = async |user: Value| reviewed(&scene, user, object(&stored), Value::Null).await;
    scene.log.full(true);
    let refused = delete(oncall.clone()).await;
    assert_eq!((refused.allowed, refused.result.code), (false, 503));
    scene.log.full(false);
    assert!(delete(oncall).await.allowed);
    assert!(!delete(json!({"username": USER})).await.allowed);
    let lines = scene.log.records().split_off(1);
    let said = lines.iter().map(|line| {
        let vault = &line["vault"];
        json!([
            line["audit"],
            line["verdict"],
            line["reason"],
            line["user"],
            vault["entries"]
        ])
    });
    let entries = json!(["db/password", "smtp/token"]);
    let expected = [
        json!(["deletion", "grant", "Admitted", "kim", entries]),
        json!(["deletion", "denial", "NoEditor", USER, entries]),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

/// With its token, a raised `rekey` would otherwise bring in whatever its thief likes.
#[tokio::test(start_paused = true)]
async fn the_operators_own_account_changes_no_value() {
    let (scene, stored) = stored().await;
    let incoming = with(&raised(&stored), "data", "db/password", "mine");
    let (response, sealed) = scene.review(OPERATOR, Some(&stored), &incoming).await;
    assert!(!response.allowed && sealed == incoming);
    let says = "spec.data[db/password] is not as it is stored";
    let told = &response.result.message;
    assert!(told.starts_with(says), "{told}");
}
