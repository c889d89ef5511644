//! The webhooks: what the API server asks before it stores something.
//!
//! * *vaults* seals each plain value of a `SecretVault` in place, before it is stored. The decision is
//!   [`secretvault_seal`]'s; here it meets the API server: the review's JSON, the requester's rights,
//!   the key provider, and the answer.
//! * *deletions* warns whoever deletes a vault that pods have mounted.
//! * *removals* refuses to delete a vault to whom its editors do not let delete its entries.
//! * *pods* makes a volume, mounts and variables of a pod's annotations: see [`PodWebhook`].
//!
//! # Guarantees
//! * An answer holds no plain value: neither its patch (which has no `test` operation) nor its
//!   message.
//! * Without a usable key nothing is admitted that would need one.
//! * What all reviews take together is bounded, in memory and in time.

mod answer;
mod audited;
mod metrics;
mod repeated;
mod review;
mod rights;
mod room;
mod warnings;

mod deletions;
mod removals;

mod pods;

pub use deletions::DeletionWebhook;
pub use metrics::WebhookMetrics;
pub use pods::PodWebhook;
pub use removals::RemovalWebhook;
pub use review::Webhook;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;

use room::{OBJECT, Room};

/// Where the API server sends reviews of `SecretVault`s.
pub const VAULTS_PATH: &str = "/admission/secretvaults";

/// Where it sends their deletions.
pub const DELETIONS_PATH: &str = "/admission/secretvaults/deletions";

/// Where it sends deletions of vaults that have editors.
pub const REMOVALS_PATH: &str = "/admission/secretvaults/removals";

/// Where it sends reviews of pods.
pub const PODS_PATH: &str = "/admission/pods";

/// The webhooks as a router, to be served over TLS.
pub fn router(
    vault: Webhook,
    deletion: DeletionWebhook,
    removal: RemovalWebhook,
    pod: PodWebhook,
) -> Router {
    let vaults_router = Router::new()
        .route(VAULTS_PATH, post(vaults))
        .with_state(vault);
    let deletions_router = Router::new()
        .route(DELETIONS_PATH, post(deletions))
        .with_state(deletion);
    let removals_router = Router::new()
        .route(REMOVALS_PATH, post(removals))
        .with_state(removal);
    let pods_router = Router::new().route(PODS_PATH, post(pods)).with_state(pod);
    let room = Room::of_vaults();
    let of_stored = room.door(LONGEST, OBJECT);
    let of_pods = Room::of_pods().door(LONGEST, LISTED_IN_POD);
    room.door(LONGEST_VAULT, OBJECT)
        .before(vaults_router)
        .merge(of_stored.before(deletions_router.merge(removals_router)))
        .merge(of_pods.before(pods_router))
}

async fn vaults(
    State(webhook): State<Webhook>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    Json(webhook.review(review).await.into_review())
}

async fn deletions(
    State(webhook): State<DeletionWebhook>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    Json(webhook.review(review).await.into_review())
}

async fn removals(
    State(webhook): State<RemovalWebhook>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    Json(webhook.review(review).await.into_review())
}

async fn pods(
    State(webhook): State<PodWebhook>,
    Json(review): Json<AdmissionReview<Pod>>,
) -> Json<AdmissionReview<DynamicObject>> {
    Json(webhook.review(review).await.into_review())
}

/// What one object of a list takes in a pod: a volume is the largest, and what a list has when it
/// grows is there three times over.
const LISTED_IN_POD: usize = 3 * size_of::<Volume>();

/// The longest review of one object: an API server takes 3 MiB of a pod, and stores 1.5 MiB of a
/// vault. The rest is what it adds.
const LONGEST: usize = 4 * 1024 * 1024;

/// The longest review of a vault that is written: the new object, of which an API server takes
/// 3 MiB, and the stored one, which has 1.5 MiB. It writes `<`, `>` and `&` with six characters, so
/// that the plain values alone (768 KiB, which are 1 MiB once sealed) may have 4.5 MiB here.
const LONGEST_VAULT: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests;
