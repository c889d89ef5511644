//! What one volume is refused for. Each case differs in one thing from a volume that is granted.

use secretvault_delivery::v1::Reason;
use secretvault_keyring::Keyring;
use serde_json::{Value, json};

use super::catching_up::holding;
use crate::release::fake::Token;
use crate::release::fixture::{POD, Sealing, World, pod, volume};

async fn world() -> World {
    World::with(|keyring| {
        [
            Sealing::new(keyring, "shop", "app")
                .secret("a", "1")
                .secret("b", "2")
                .object,
            Sealing::new(keyring, "shop", "other")
                .secret("a", "1")
                .access(&["x"], &["**"])
                .object,
            Sealing::new(keyring, "platform", "closed")
                .secret("a", "1")
                .object,
            Sealing::new(keyring, "platform", "shared")
                .secret("a", "1")
                .secret("b", "2")
                .access(&["shop"], &["a"])
                .object,
        ]
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn the_control_is_granted() {
    let world = world().await;
    assert_eq!(world.grant(volume("app", "")).await.files.len(), 2);
    assert_eq!(
        world.grant(volume("platform/shared", "")).await.files.len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_prove_the_pod_is_rejected() {
    let world = world().await;
    let claiming = |claim, value| Token::of_pod("shop", "web-0").claiming(claim, value);
    let tokens = [
        ("t-other-node", claiming("node-name", "node-b")),
        ("t-other-uid", claiming("pod-uid", "other")),
        ("t-unbound", claiming("pod-name", "")),
        ("t-other-pod", Token::of_pod("shop", "web-1")),
        ("t-other-namespace", Token::of_pod("batch", "web-0")),
    ];
    for (text, token) in tokens {
        world.server.token(text, token);
    }
    let long = "x".repeat(17 * 1024);
    let cases = [
        ("", Reason::TokenRejected),
        ("t-forged", Reason::TokenRejected),
        (&long, Reason::TokenRejected),
        ("t-agent", Reason::TokenRejected),
        ("t-unbound", Reason::TokenRejected),
        ("t-other-pod", Reason::TokenRejected),
        ("t-other-uid", Reason::TokenRejected),
        ("t-other-namespace", Reason::TokenRejected),
        ("t-other-node", Reason::PodMismatch),
    ];
    for (token, reason) in cases {
        let mut volume = volume("app", "");
        volume.pod_token = token.to_owned();
        let denial = world.denial(volume).await;
        assert_eq!(denial.reason(), reason, "{token}: {}", denial.message);
    }
}

/// Everything about the pod is true, but it is another agent's.
#[tokio::test(start_paused = true)]
async fn a_pod_that_lives_on_another_node_is_not_this_agents() {
    let world = world().await;
    let token = Token::of_pod("shop", "web-0").claiming("node-name", "node-b");
    world.server.token("t-pod", token);
    let mut moved = pod();
    moved["spec"]["nodeName"] = "node-b".into();
    world.server.object(POD, Some(moved));
    let denial = world.denial(volume("app", "")).await;
    assert_eq!(denial.reason(), Reason::PodMismatch);
    let other = Token::of_agent().claiming("node-name", "node-b");
    world.server.token("t-agent", other);
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    world.grant(volume("app", "")).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_the_agent_does_not_name_is_not_served() {
    let world = world().await;
    let mut volume = volume("app", "");
    volume.pod = None;
    assert_eq!(world.denial(volume).await.reason(), Reason::TokenRejected);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_there_any_more_is_refused() {
    let world = world().await;
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 5] = [
        ("replaced", |pod| pod["metadata"]["uid"] = "other".into()),
        ("moved", |pod| pod["spec"]["nodeName"] = "node-b".into()),
        ("ended", |pod| pod["status"]["phase"] = "Succeeded".into()),
        ("another account", |pod| {
            pod["spec"]["serviceAccountName"] = "db".into();
        }),
        ("being deleted", |pod| {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }),
    ];
    for (name, change) in cases {
        let mut pod = pod();
        change(&mut pod);
        world.server.object(POD, Some(pod));
        let denial = world.denial(volume("app", "")).await;
        assert_eq!(
            denial.reason(),
            Reason::PodMismatch,
            "{name}: {}",
            denial.message
        );
    }
    world.server.object(POD, None);
    let denial = world.denial(volume("app", "")).await;
    assert_eq!(
        denial.reason(),
        Reason::PodMismatch,
        "gone: {}",
        denial.message
    );
    world.server.object(POD, Some(pod()));
    world.grant(volume("app", "")).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_pod_may_not_have_or_what_is_not_there_is_refused_in_words() {
    let world = world().await;
    let cases = [
        ("missing", "", Reason::NotFound),
        ("app", "missing", Reason::NotFound),
        ("other", "", Reason::Forbidden),
        ("other", "a", Reason::Forbidden),
        ("platform/closed", "", Reason::Forbidden),
        ("platform/missing", "", Reason::Forbidden),
        ("platform/shared", "b", Reason::Forbidden),
        ("", "", Reason::InvalidRequest),
        ("app, app", "", Reason::InvalidRequest),
        ("app", "../x", Reason::InvalidRequest),
        ("app", "a, b=a/x", Reason::InvalidRequest),
        ("[{vault: app, prefix: ../x}]", "", Reason::InvalidRequest),
        ("${pod.namespace}", "", Reason::InvalidRequest),
        ("app", "${pod.uid}", Reason::InvalidRequest),
        ("app", "${pod.labels['team']}", Reason::InvalidRequest),
    ];
    for (vaults, items, reason) in cases {
        let denial = world.denial(volume(vaults, items)).await;
        assert_eq!(
            denial.reason(),
            reason,
            "{vaults} {items}: {}",
            denial.message
        );
        assert!(!denial.message.is_empty());
    }
    let lines = world.log.lines(cases.len());
    assert!(
        lines
            .iter()
            .all(|line| line["verdict"] == "denial" && line["message"].is_string())
    );
}

#[tokio::test(start_paused = true)]
async fn another_namespaces_vault_is_missing_and_forbidden_in_the_same_words() {
    let world = world().await;
    for items in ["", "a", "zzz", "a, b"] {
        let closed = world.denial(volume("platform/closed", items)).await;
        let absent = world.denial(volume("platform/absent", items)).await;
        assert_eq!(closed.reason, absent.reason);
        assert_eq!(
            closed.message.replace("closed", "absent"),
            absent.message,
            "{items}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_namespaces_entry_is_missing_and_forbidden_in_the_same_words() {
    let world = world().await;
    let there = world.denial(volume("platform/shared", "b")).await;
    let absent = world.denial(volume("platform/shared", "z")).await;
    assert_eq!(there.reason, absent.reason);
    assert_eq!(there.message.replace("entry b", "entry z"), absent.message);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_right_removes_the_file_and_a_pod_label_counts_as_it_is_now() {
    let world = World::with(|keyring| {
        let mut vault = Sealing::new(keyring, "shop", "app").secret("a", "1");
        let rule = serde_json::json!([{"podSelector": {"matchLabels": {"app": "web"}}}]);
        vault.object.spec.access = serde_json::from_value(rule).unwrap();
        [vault.object]
    })
    .await;
    let grant = world.grant(volume("app", "")).await;
    assert_eq!(grant.files.len(), 1);
    let mut relabelled = pod();
    relabelled["metadata"]["labels"]["app"] = "db".into();
    world.server.object(POD, Some(relabelled));
    let again = holding(volume("app", ""), &grant);
    let grant = world.grant(again).await;
    assert!(
        grant.files.is_empty() && grant.retained.is_empty(),
        "{grant:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_path_variable_is_the_living_pods_label_and_one_that_chooses_more_is_refused() {
    let world = world().await;
    let asked = || volume("app", "${pod.labels['entry']}=file");
    let labelled = |label: &str| {
        let mut pod = pod();
        pod["metadata"]["labels"]["entry"] = label.into();
        world.server.object(POD, Some(pod));
    };
    for label in ["..", "a..b", "*", "a/b"] {
        labelled(label);
        let denial = world.denial(asked()).await;
        assert_eq!(denial.reason(), Reason::InvalidRequest, "{label}");
        assert!(
            denial.message.contains("cannot be a part"),
            "{}",
            denial.message
        );
    }
    for entry in ["a", "b"] {
        labelled(entry);
        let grant = world.grant(asked()).await;
        assert_eq!(
            (grant.files[0].entry.as_str(), grant.files[0].path.as_str()),
            (entry, "file")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_that_makes_a_path_too_long_is_refused() {
    let world = world().await;
    let prefixed = |length: usize| {
        let prefix = "x".repeat(length);
        volume(&format!("[{{vault: app, prefix: {prefix}}}]"), "a")
    };
    let denial = world.denial(prefixed(252)).await;
    assert_eq!(
        denial.reason(),
        Reason::InvalidRequest,
        "{}",
        denial.message
    );
    assert_eq!(world.grant(prefixed(251)).await.files[0].path.len(), 253);
}

/// Otherwise whoever may label a pod would decide whether a right of it ends.
#[tokio::test(start_paused = true)]
async fn a_right_that_ended_ends_where_a_label_that_items_name_is_gone() {
    let shared = |keyring: &Keyring, namespace, generation| {
        let vault = Sealing::new(keyring, "platform", "shared").secret("web/token", "1");
        let vault = vault.access(&[namespace], &["**"]);
        vault.generation(generation).object
    };
    let world = World::with(|keyring| [shared(keyring, "shop", 1)]).await;
    let asked = volume("platform/shared", "${pod.labels['app']}/token");
    let grant = world.grant(asked.clone()).await;
    let held = holding(asked, &grant);
    let mut unlabelled = pod();
    unlabelled["metadata"]["labels"] = json!({});
    world.server.object(POD, Some(unlabelled));
    // The control: nothing but the label is gone.
    let denial = world.denial(held.clone()).await;
    assert_eq!(denial.reason(), Reason::InvalidRequest, "{denial:?}");
    assert!(denial.withdrawn.is_empty(), "{denial:?}");
    world.vaults.arrive(shared(&world.keyring, "batch", 2));
    let denial = world.denial(held).await;
    assert_eq!(denial.reason(), Reason::InvalidRequest, "{denial:?}");
    assert_eq!(denial.withdrawn, ["web/token"]);
    let line = world.log.lines(3).remove(2);
    assert_eq!(line["withdrawn"], json!(["web/token"]), "{line}");
}
