//! The controller at work, against an API server in memory.

mod scene;
mod server;

use secretvault_crds::{AllowedNamespaces, KeyProviderSpec};
use serde_json::json;

use self::{scene::Scene, server::Halt};

#[tokio::test(start_paused = true)]
async fn every_vault_gets_the_newest_key_by_one_small_write_each() {
    let mut scene = Scene::begin(20).await;
    scene.lead();
    scene.settle(30).await;
    assert_eq!(scene.server.patches(), [], "nothing is to be done");
    scene.rotate();
    assert_eq!(scene.current("default"), 0);
    scene.settle(2).await;
    assert_eq!(scene.current("default"), 20);
    scene.nothing_is_lost().await;
    assert_eq!(
        (scene.server.patches().len(), scene.server.others()),
        (20, 0)
    );
    let (vault, sent) = scene.server.patches().pop().unwrap();
    let stored = scene.server.stored(&vault).spec.data_key.unwrap();
    let wrapped = json!({"keyId": stored.key_id, "wrapped": stored.wrapped});
    assert_eq!(sent["spec"], json!({"dataKey": wrapped}));
    let meta = sent["metadata"].as_object().unwrap();
    assert_eq!(meta.keys().collect::<Vec<_>>(), ["resourceVersion"]);
    scene.settle(60).await;
    assert_eq!(scene.server.patches().len(), 20, "and no more");
    assert_eq!(scene.standing.busy(), None);
}

#[tokio::test(start_paused = true)]
async fn each_step_is_one_line_of_names() {
    let mut scene = Scene::begin(1).await;
    let before = scene.server.stored("v0").spec.data_key.unwrap();
    scene.rotate();
    scene.lead();
    scene.settle(2).await;
    scene.server.wants("v0", "other");
    scene.other();
    scene.namespace(Some("other"));
    scene.settle(2).await;
    let lines = scene.log.records();
    let said = |line: &serde_json::Value| {
        ["audit", "verdict", "reason", "dataKey"].map(|it| line[it].as_str().unwrap().to_owned())
    };
    let said: Vec<_> = lines.iter().map(said).collect();
    let step = |turn: &str| ["rotation", "grant", "Done", turn].map(str::to_owned);
    assert_eq!(said, [step("rewrap"), step("migrate")]);
    let vault = json!({
        "namespace": "shop", "name": "v0", "uid": "uid-v0", "generation": 1,
        "keyId": before.key_id,
    });
    assert_eq!(lines[0]["vault"], vault);
    assert!(!scene.log.text().contains(&before.wrapped));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_vaults_are_written_at_a_time() {
    let mut scene = Scene::begin(40).await;
    scene.rotate();
    scene.lead();
    scene.settle(2).await;
    assert_eq!(scene.current("default"), 40);
    assert_eq!(scene.server.most(), super::AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_comes_under_an_older_key_follows() {
    let mut scene = Scene::begin(1).await;
    scene.lead();
    scene.settle(1).await;
    scene.vault("late").await;
    scene.rotate();
    scene.settle(2).await;
    assert_eq!(scene.current("default"), 2);
    scene.rotate();
    scene.settle(2).await;
    assert_eq!(scene.current("default"), 2, "and again");
    scene.nothing_is_lost().await;
}

/// Kills the controller at each request, before and after that has its effect.
async fn killed(halts: usize, begin: impl AsyncFn() -> Scene, provider: &str) {
    for halt in [Halt::Before, Halt::After] {
        for at in 0..halts {
            let mut scene = begin().await;
            scene.server.halt(Some((at, halt)));
            scene.lead();
            scene.server.halted().await;
            scene.server.halt(None);
            scene.kill();
            scene.settle(20).await;
            let all = scene.server.all().len();
            assert_eq!(scene.current(provider), all, "{halt:?} {at}");
            scene.nothing_is_lost().await;
            let overview = scene.overview();
            assert_eq!(
                (overview.remaining, overview.failing),
                (0, 0),
                "{halt:?} {at}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_killed_while_keys_are_rotated_the_next_one_goes_on() {
    let begin = async || {
        let mut scene = Scene::begin(3).await;
        scene.rotate();
        scene
    };
    killed(3, begin, "default").await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_killed_while_vaults_move_the_next_one_goes_on() {
    let begin = async || {
        let scene = Scene::begin(3).await;
        scene.other();
        scene.namespace(Some("other"));
        for vault in ["v0", "v1", "v2"] {
            scene.server.wants(vault, "other");
        }
        scene
    };
    killed(3, begin, "other").await;
}

#[tokio::test(start_paused = true)]
async fn an_edit_at_the_same_time_is_not_lost_and_no_failure() {
    let mut scene = Scene::begin(2).await;
    scene.lead();
    scene.settle(1).await;
    // What the controller sees is old.
    scene.server.watches(false);
    scene.edit("v0", |spec| spec.description = Some("edited".into()));
    scene.rotate();
    scene.settle(2).await;
    assert_eq!(scene.server.patches().len(), 2);
    assert_eq!(scene.current("default"), 1);
    assert_eq!(scene.trouble("v0"), None);
    scene.server.watches(true);
    scene.settle(1).await;
    assert_eq!(scene.current("default"), 2);
    let stored = scene.server.stored("v0");
    assert_eq!(stored.spec.description.as_deref(), Some("edited"));
    assert_eq!(scene.server.patches().len(), 3);
    scene.nothing_is_lost().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_tried_again_ever_later_and_keeps_no_other_vault() {
    for code in [403, 422, 503, 500] {
        let mut scene = Scene::begin(12).await;
        let denied =
            "admission webhook \"vaults.secretvault.dev\" denied the request: no usable key";
        scene.server.refuse("v0", Some((code, denied)));
        scene.lead();
        scene.rotate();
        scene.settle(2).await;
        assert_eq!(scene.current("default"), 11, "{code}");
        assert_eq!(scene.trouble("v0").as_deref(), Some("no usable key"));
        let overview = scene.overview();
        assert_eq!((overview.remaining, overview.failing), (1, 1));
        let failures = &overview.providers["default"].failures;
        assert_eq!(
            *failures,
            [("shop/v0".to_owned(), "no usable key".to_owned())]
        );
        scene.settle(120).await;
        let tries = scene.server.patches().len() - 11;
        assert!((6..=10).contains(&tries), "{tries}");
        scene.server.refuse("v0", None);
        scene.settle(300).await;
        assert_eq!(scene.current("default"), 12);
        assert_eq!(scene.trouble("v0"), None);
        scene.nothing_is_lost().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_mends_a_vault_or_a_provider_need_not_wait() {
    let mut scene = Scene::begin(1).await;
    scene.server.refuse("v0", Some((422, "no")));
    scene.lead();
    scene.rotate();
    scene.settle(300).await;
    scene.server.refuse("v0", None);
    scene.edit("v0", |spec| spec.description = Some("mended".into()));
    scene.settle(1).await;
    assert_eq!(scene.current("default"), 1);
    scene.server.refuse("v0", Some((422, "no")));
    scene.rotate();
    scene.settle(300).await;
    scene.server.refuse("v0", None);
    scene.rotate();
    scene.settle(1).await;
    assert_eq!(scene.current("default"), 1);
}

#[tokio::test(start_paused = true)]
async fn admission_that_keeps_the_data_key_is_a_failure() {
    let mut scene = Scene::begin(1).await;
    scene.server.keeps();
    scene.rotate();
    scene.lead();
    scene.settle(60).await;
    let trouble = scene.trouble("v0").unwrap();
    assert_eq!(trouble, "admission left the data key as it was");
    let tries = scene.server.patches().len();
    assert!((4..=9).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_with_a_provider_that_is_not_ready() {
    let mut scene = Scene::begin(2).await;
    scene.other();
    scene.fails("other");
    scene.namespace(Some("other"));
    scene.lead();
    scene.settle(60).await;
    assert_eq!(scene.server.patches(), []);
    let overview = scene.overview();
    assert_eq!((overview.remaining, overview.failing), (2, 2));
    let why = &overview.providers["other"].failures[0].1;
    assert!(why.contains("not ready: restore it"), "{why}");
    for vault in ["v0", "v1"] {
        scene.server.wants(vault, "other");
    }
    scene.other();
    scene.settle(1).await;
    assert_eq!(scene.current("other"), 2, "at once");
    scene.nothing_is_lost().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_by_an_old_view_of_the_vaults() {
    let mut scene = Scene::begin(1).await;
    scene.lead();
    scene.silence(100).await;
    scene.rotate();
    scene.silence(10).await;
    assert_eq!(scene.server.patches(), []);
    scene.settle(1).await;
    assert_eq!(scene.current("default"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_stands_for_another_gets_its_vaults() {
    let mut scene = Scene::begin(5).await;
    scene.other();
    scene.lead();
    scene.settle(1).await;
    for index in 0..5 {
        scene.server.wants(&format!("v{index}"), "other");
    }
    scene.policy(&KeyProviderSpec {
        migrate_to: Some("other".into()),
        ..KeyProviderSpec::default()
    });
    let overview = scene.overview();
    let (old, new) = (&overview.providers["default"], &overview.providers["other"]);
    assert_eq!((old.total, old.done, old.vaults()), (5, 0, 5));
    assert_eq!((new.total, new.done, new.vaults()), (5, 0, 0));
    scene.settle(2).await;
    assert_eq!(scene.current("other"), 5);
    assert!(
        scene
            .server
            .patches()
            .iter()
            .all(|(_, sent)| sent["spec"] == json!({"dataKey": {"rekey": 1}}))
    );
    let overview = scene.overview();
    assert!(!overview.providers.contains_key("default"));
    let new = &overview.providers["other"];
    assert_eq!((new.total, new.done, new.vaults()), (5, 5, 5));
    scene.nothing_is_lost().await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_is_told_and_nothing_is_done() {
    let mut scene = Scene::begin(1).await;
    scene.policy(&KeyProviderSpec {
        migrate_to: Some("default".into()),
        ..KeyProviderSpec::default()
    });
    scene.rotate();
    scene.lead();
    scene.settle(60).await;
    assert_eq!(scene.server.patches(), []);
    let why = &scene.overview().providers["default"].failures[0].1;
    assert!(why.contains("default -> default"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_not_allowed_any_more_keeps_its_key_and_gets_no_other() {
    let mut scene = Scene::begin(1).await;
    scene.policy(&KeyProviderSpec {
        allowed_namespaces: Some(AllowedNamespaces {
            names: vec!["other".into()],
            ..AllowedNamespaces::default()
        }),
        ..KeyProviderSpec::default()
    });
    scene.lead();
    scene.settle(30).await;
    assert_eq!(scene.overview().remaining, 0, "what it has is current");
    scene.rotate();
    scene.settle(30).await;
    assert_eq!(scene.server.patches(), []);
    assert_eq!(
        (scene.overview().remaining, scene.overview().failing),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_data_key_that_is_too_old_is_replaced() {
    let mut scene = Scene::begin(2).await;
    scene.lead();
    scene.settle(1).await;
    let before = scene.server.stored("v0").spec.data_key.unwrap();
    scene.edit("v0", |spec| {
        spec.rekey_after = Some("30d".parse().unwrap());
        spec.data_key.as_mut().unwrap().created = None;
    });
    scene.settle(2).await;
    let after = scene.server.stored("v0").spec.data_key.unwrap();
    assert_eq!(after.rekey, 1);
    assert_ne!(after.id, before.id);
    scene.settle(60).await;
    assert_eq!(scene.server.patches().len(), 1);
    scene.nothing_is_lost().await;
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_changed_is_left_alone_until_its_status_says_so_but_not_for_ever() {
    let mut scene = Scene::begin(1).await;
    scene.lead();
    scene.rotate();
    let mut vault = scene.server.stored("v0");
    vault.status.as_mut().unwrap().observed_generation = Some(0);
    scene.standing.vaults.arrive(vault);
    scene.settle(4).await;
    assert_eq!(scene.server.patches(), []);
    scene.settle(3).await;
    assert_eq!(scene.current("default"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_vault_of_a_namespace_that_is_not_seen_yet_is_left_alone() {
    let mut scene = Scene::begin(1).await;
    scene.standing.told(std::sync::Arc::default());
    scene.rotate();
    scene.lead();
    scene.settle(10).await;
    assert_eq!(scene.server.patches(), []);
    scene.namespace(None);
    scene.settle(1).await;
    assert_eq!(scene.current("default"), 1);
}
