//! The vault webhook: seals each plain value of a `SecretVault` in place, before it is stored.
//!
//! The decision is [`secretvault_seal`]'s; here it meets the API server: the review's JSON, the
//! requester's rights, the key provider, and the answer.
//!
//! # Guarantees
//! * An answer holds no plain value: neither its patch (which has no `test` operation) nor its
//!   message.
//! * Without a usable key nothing is admitted that would need one.

mod answer;
mod repeated;
mod review;
mod rights;

pub use review::{Webhook, WebhookMetrics};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;

/// The largest review that is read: an object and its predecessor, each at etcd's 1.5 MiB, with
/// base64 and JSON escapes.
const MAX_REVIEW_BYTES: usize = 16 * 1024 * 1024;

/// Where the API server sends reviews of `SecretVault`s.
pub const VAULTS_PATH: &str = "/admission/secretvaults";

/// The webhook as a router, to be served over TLS.
pub fn router(webhook: Webhook) -> Router {
    Router::new()
        .route(VAULTS_PATH, post(vaults))
        .layer(DefaultBodyLimit::max(MAX_REVIEW_BYTES))
        .with_state(webhook)
}

async fn vaults(
    State(webhook): State<Webhook>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    Json(webhook.review(review).await.into_review())
}
