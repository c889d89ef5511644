//! When rounds begin, and what goes on meanwhile.

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::*;
use crate::keys::fake::ApiServer;

/// A cluster without providers.
fn api() -> ApiServer {
    let api = ApiServer::new();
    api.set(
        "/apis/secretvault.dev/v1alpha1/keyproviders",
        json!({
            "apiVersion": "secretvault.dev/v1alpha1", "kind": "KeyProviderList",
            "metadata": {"resourceVersion": "1"}, "items": [],
        }),
    );
    api
}

#[tokio::test(start_paused = true)]
async fn rounds_that_are_asked_for_without_end_have_pauses() {
    let (providers, (synced, mut done)) = (Providers::new(), watch::channel(false));
    let namespace = "secretvault".to_owned();
    let reading = run(api().client(), namespace, providers.clone(), synced);
    let reading = tokio::spawn(reading);
    done.wait_for(|synced| *synced).await.unwrap();
    let begun = Instant::now();
    for _ in 0..5 {
        providers.refresh().await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn a_server_is_attended_to_while_a_round_waits() {
    let providers = Providers::new();
    let mut attendance = Attendance::of(&providers);
    let attending = async {
        sleep(Duration::from_secs(1)).await;
        "transit".to_owned()
    };
    attendance.busy.insert("transit".to_owned());
    attendance.attending.push(attending.boxed());
    attendance.during(sleep(ROUND)).await;
    assert!(attendance.busy.is_empty());
}
