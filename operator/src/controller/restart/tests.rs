//! The controller at work, against an API server in memory.

mod scene;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::scene::{Scene, owner, path};
use super::{queue::SLOTS, *};

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_rolled_once_for_several_quick_edits() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    seconds(30).await;
    assert!(scene.rolled().is_empty());
    for generation in 2..=5 {
        scene.edit(generation);
        seconds(2).await;
    }
    seconds(60).await;
    assert_eq!(scene.rolled(), [("web".to_owned(), "u@5".to_owned())]);
    let events = scene.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (events[0].0.as_str(), events[0].1.as_str()),
        ("web", "Restarting")
    );
    assert!(
        events[0].2.contains("vault shop/app changed"),
        "{}",
        events[0].2
    );
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_and_a_daemon_set_are_rolled_too() {
    let mut scene = Scene::begin();
    scene.workload(
        "statefulsets",
        "db",
        &json!({"replicas": 1, "observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": 1}),
    );
    scene.pod("db-0", &owner("StatefulSet", "db"));
    scene.workload("daemonsets", "log", &json!({"observedGeneration": 1, "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}));
    scene.pod("log-x", &owner("DaemonSet", "log"));
    scene.edit(2);
    seconds(60).await;
    let mut rolled = scene.rolled();
    rolled.sort();
    let expected = ["db", "log"].map(|name| (name.to_owned(), "u@2".to_owned()));
    assert_eq!(rolled, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_one_annotation_is_written_and_only_to_what_was_read() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    scene.edit(2);
    seconds(60).await;
    let patch = scene
        .server
        .asked(&Method::PATCH, "/deployments/")
        .remove(0);
    assert_eq!(
        patch.body,
        json!({
            "metadata": {"uid": "uid-web", "resourceVersion": "1"},
            "spec": {"template": {"metadata": {"annotations": {"secretvault.dev/restarted-at": "u@2"}}}},
        })
    );
    assert!(
        patch.query.contains("fieldManager=secretvault-operator"),
        "{}",
        patch.query
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_next_does_not_do_it_again() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    scene.edit(2);
    for _ in 0..3 {
        seconds(60).await;
        assert_eq!(scene.rolled().len(), 1);
        scene.finish();
        scene.change_leader();
    }
    scene.edit(3);
    seconds(60).await;
    assert_eq!(scene.rolled().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_ask_is_left_alone_whatever_is_said_of_it() {
    let asking = "/api/v1/namespaces/shop/pods/web-1-pod";
    let changes: [fn(&mut Value); 5] = [
        |pod| pod["metadata"]["annotations"] = json!({}),
        |pod| pod["metadata"]["annotations"]["secretvault.dev/on-change"] = json!("none"),
        |pod| pod["metadata"]["uid"] = json!("another"),
        |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
        |pod| pod["status"]["phase"] = json!("Succeeded"),
    ];
    for change in changes {
        let mut scene = Scene::begin();
        scene.deployment("web");
        let mut pod = scene.server.stored(asking);
        change(&mut pod);
        scene.server.object(asking, pod.clone());
        scene.edit(2);
        seconds(60).await;
        assert!(scene.rolled().is_empty(), "{pod}");
        assert!(scene.events().is_empty(), "{pod}");
    }
}

/// Whoever may create pods may say that any workload owns one.
#[tokio::test(start_paused = true)]
async fn a_workload_whose_template_does_not_ask_is_left_alone_and_the_pod_is_told() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    let mut deployment = scene.server.stored(&path("deployments", "web"));
    deployment["spec"]["template"]["metadata"] = json!({});
    scene.server.object(&path("deployments", "web"), deployment);
    scene.edit(2);
    seconds(60).await;
    assert!(scene.rolled().is_empty());
    let events = scene.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let says = "the pod template of its Deployment web does not ask for restarts";
    assert!(events[0].2.contains(says), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_nothing_is_written_and_the_pod_is_told() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    scene.server.refuse(Method::GET, "/apis/apps/", 403);
    scene.edit(2);
    seconds(300).await;
    assert!(scene.rolled().is_empty());
    let events = scene.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, "web-1-pod");
    assert!(
        events[0].2.contains("restart is not enabled"),
        "{}",
        events[0].2
    );
    // The right is granted: the pod is still as old as it was.
    scene.server.refuse_nothing();
    seconds(90).await;
    assert_eq!(scene.rolled().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pods_of_others_are_told_that_they_cannot_be_restarted() {
    let mut scene = Scene::begin();
    scene.pod("job-x", &owner("Job", "import"));
    scene.pod(
        "bare",
        &json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n"}),
    );
    scene.edit(2);
    seconds(3).await;
    scene.edit(3);
    seconds(60).await;
    assert!(scene.rolled().is_empty());
    let events = scene.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(
        events
            .iter()
            .any(|it| it.0 == "job-x" && it.2.contains("Job import")),
        "{events:?}"
    );
    assert!(
        events
            .iter()
            .any(|it| it.0 == "bare" && it.2.contains("no Deployment")),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_is_left_alone_until_it_is_resumed() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    let mut deployment = scene.server.stored(&path("deployments", "web"));
    deployment["spec"]["paused"] = json!(true);
    scene
        .server
        .object(&path("deployments", "web"), deployment.clone());
    scene.edit(2);
    seconds(300).await;
    assert!(scene.rolled().is_empty());
    let events = scene.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].2.contains("paused"), "{events:?}");
    deployment["spec"]["paused"] = json!(false);
    scene.server.object(&path("deployments", "web"), deployment);
    seconds(60).await;
    assert_eq!(scene.rolled().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_updates_on_delete_is_left_alone() {
    let mut scene = Scene::begin();
    scene.workload("statefulsets", "db", &json!({"replicas": 1}));
    let mut set = scene.server.stored(&path("statefulsets", "db"));
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    scene.server.object(&path("statefulsets", "db"), set);
    scene.pod("db-0", &owner("StatefulSet", "db"));
    scene.edit(2);
    seconds(300).await;
    assert!(scene.rolled().is_empty());
    let events = scene.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].2.contains("OnDelete"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_are_rolled_at_a_time_and_each_for_a_bounded_time() {
    let mut scene = Scene::begin();
    for n in 0..SLOTS + 2 {
        scene.deployment(&format!("web{n}"));
    }
    scene.edit(2);
    for _ in 0..590 {
        seconds(1).await;
        assert!(scene.rolled().len() <= SLOTS);
    }
    assert_eq!(scene.rolled().len(), SLOTS);
    seconds(60).await;
    assert_eq!(scene.rolled().len(), SLOTS + 2);
    let unfinished = scene
        .events()
        .into_iter()
        .filter(|it| it.1 == "RestartUnfinished");
    assert_eq!(unfinished.count(), SLOTS);
}

#[tokio::test(start_paused = true)]
async fn who_ends_makes_room() {
    let mut scene = Scene::begin();
    for n in 0..=SLOTS {
        scene.deployment(&format!("web{n}"));
    }
    scene.edit(2);
    seconds(30).await;
    assert_eq!(scene.rolled().len(), SLOTS);
    scene.finish();
    seconds(15).await;
    assert_eq!(scene.rolled().len(), SLOTS + 1);
    assert!(scene.events().iter().all(|it| it.1 == "Restarting"));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_others_began_is_waited_for_but_not_for_ever() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    let mut deployment = scene.server.stored(&path("deployments", "web"));
    deployment["metadata"]["generation"] = json!(2);
    scene.server.object(&path("deployments", "web"), deployment);
    scene.edit(2);
    seconds(100).await;
    assert!(scene.rolled().is_empty());
    seconds(60).await;
    assert_eq!(scene.rolled().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_slots_of_another_leader_count() {
    let mut scene = Scene::begin();
    for n in 0..SLOTS {
        scene.deployment(&format!("web{n}"));
    }
    scene.edit(2);
    seconds(30).await;
    assert_eq!(scene.rolled().len(), SLOTS);
    // These come first by name, and all are as new to the next leader.
    scene.deployment("api0");
    scene.deployment("api1");
    scene.change_leader();
    seconds(60).await;
    assert_eq!(scene.rolled().len(), SLOTS);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_comes_too_late_is_tried_again() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    scene.server.refuse(Method::PATCH, "/deployments/web", 409);
    scene.edit(2);
    seconds(20).await;
    assert!(scene.events().is_empty());
    scene.server.refuse_nothing();
    seconds(10).await;
    let stored = scene.server.stored(&path("deployments", "web"));
    let annotations = &stored["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["secretvault.dev/restarted-at"], "u@2");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_refused_is_told_once_and_tried_again() {
    let mut scene = Scene::begin();
    scene.deployment("web");
    scene.server.refuse(Method::PATCH, "/deployments/web", 422);
    scene.edit(2);
    seconds(120).await;
    let events = scene.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1, "NotRestarted");
    assert!((2..10).contains(&scene.rolled().len()));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_are_looked_up_a_few_at_a_time() {
    let mut scene = Scene::begin();
    for n in 0..100 {
        scene.pod(&format!("job-{n}"), &owner("Job", "import"));
    }
    scene.edit(2);
    let mut before = 0;
    for _ in 0..10 {
        seconds(1).await;
        let asked = scene.server.asked(&Method::GET, "/pods/").len();
        assert!(asked - before <= 2 * LOOK_UPS, "{asked} {before}");
        before = asked;
    }
    assert_eq!(before, 100);
}

#[test]
fn the_first_pod_of_each_group_is_looked_up_before_the_second_of_any() {
    let pods = ["a-1", "a-2", "a-3", "b-1", "b-2", "c-1", "bare"].map(|name| PodId {
        name: crate::consumers::PodName {
            namespace: "shop".into(),
            name: name.into(),
        },
        uid: name.into(),
    });
    let order: Vec<&str> = spread(pods.iter())
        .iter()
        .map(|pod| pod.uid.as_str())
        .collect();
    assert_eq!(order, ["a-1", "b-1", "c-1", "bare", "a-2", "b-2", "a-3"]);
}
