//! The pod webhook: turns the annotations of a pod that is created into a volume, mounts and
//! variables, or refuses the pod with the reason.
//!
//! The decision is [`crate::injection`]'s; here it meets the API server.
//!
//! # Guarantees
//! * It asks nobody: what it decides by is the pod and this replica's view of the vaults.
//! * A vault that was applied just before its pod counts, although this replica may not have heard of
//!   it yet: before a refusal that a vault could lift, it waits for a moment.

use std::time::Duration;

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::answer;
use super::metrics::{PodOutcome, WebhookMetrics};
use crate::injection::{Injection, Launcher, Refusal, inject};
use crate::vaults::Vaults;
use crate::words::shortened;

/// The pod webhook.
#[derive(Clone, Debug)]
pub struct PodWebhook {
    vaults: Vaults,
    launcher: Option<Launcher>,
    metrics: WebhookMetrics,
}

impl PodWebhook {
    /// A webhook that decides by a view of the vaults. Without a launcher, pods that need one are
    /// refused.
    #[must_use]
    pub fn new(vaults: Vaults, launcher: Option<Launcher>, metrics: WebhookMetrics) -> Self {
        Self {
            vaults,
            launcher,
            metrics,
        }
    }

    /// Reviews one request.
    pub(crate) async fn review(&self, review: AdmissionReview<Pod>) -> AdmissionResponse {
        let request: AdmissionRequest<Pod> = match review.try_into() {
            Ok(request) => request,
            Err(_) => return AdmissionResponse::invalid("the review holds no request"),
        };
        let decision = self.decide(&request).await;
        let outcome = outcome(&decision);
        self.metrics.count_pod(outcome);
        record(&request, outcome, &decision);
        respond(&request, decision)
    }

    async fn decide(&self, request: &AdmissionRequest<Pod>) -> Result<Injection, Refusal> {
        let (Some(pod), Operation::Create) = (&request.object, &request.operation) else {
            return Ok(Injection::default());
        };
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let deadline = Instant::now() + CATCH_UP;
        let mut changes = self.vaults.changes();
        loop {
            changes.mark_unchanged();
            let fresh = self.vaults.is_fresh(Instant::now());
            let vaults = fresh.then_some(&self.vaults);
            let decision = inject(pod, namespace, vaults, self.launcher.as_ref());
            let behind = decision.as_ref().is_err_and(Refusal::may_be_behind);
            let changed = async { timeout_at(deadline, changes.changed()).await };
            if !behind || !matches!(changed.await, Ok(Ok(()))) {
                return decision;
            }
        }
    }
}

fn outcome(decision: &Result<Injection, Refusal>) -> PodOutcome {
    match decision {
        Ok(injection) if injection.patch.is_empty() => PodOutcome::Unchanged,
        Ok(_) => PodOutcome::Injected,
        Err(refusal) if refusal.is_passing() => PodOutcome::Unavailable,
        Err(_) => PodOutcome::Refused,
    }
}

fn respond(
    request: &AdmissionRequest<Pod>,
    decision: Result<Injection, Refusal>,
) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let injection = match decision {
        Ok(injection) => injection,
        Err(refusal) if refusal.is_passing() => {
            return answer::unavailable(response, &refusal.to_string());
        }
        Err(refusal) => {
            let field = "metadata.annotations";
            return answer::invalid(request, response, field, &refusal.to_string());
        }
    };
    let mut response = if injection.patch.is_empty() {
        response
    } else {
        let patched = response.clone().with_patch(Patch(injection.patch));
        match patched {
            Ok(response) => response,
            Err(_) => return answer::unavailable(response, "the patch could not be written"),
        }
    };
    response.warnings = Some(warnings(injection.warnings)).filter(|it| !it.is_empty());
    response
}

/// As many and as long as the API server passes on.
fn warnings(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    warnings.truncate(MOST_WARNINGS);
    if more > 0 {
        warnings.push(format!("and {more} more"));
    }
    let lines = warnings.into_iter();
    lines.map(|line| shortened(line, LONGEST_WARNING)).collect()
}

/// Names only: what is in the pod is its author's.
fn record(
    request: &AdmissionRequest<Pod>,
    outcome: PodOutcome,
    decision: &Result<Injection, Refusal>,
) {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let metadata = request.object.as_ref().map(|pod| &pod.metadata);
    let name = metadata.and_then(|it| it.name.as_deref().or(it.generate_name.as_deref()));
    let (pod, user) = (
        name.unwrap_or_default(),
        request.user_info.username.as_deref(),
    );
    let dry_run = request.dry_run;
    match decision {
        Ok(injection) => {
            let changes = injection.patch.len();
            if outcome == PodOutcome::Unchanged {
                debug!(namespace, pod, dry_run, "pod was injected already");
            } else {
                info!(namespace, pod, user, dry_run, changes, "pod injected");
            }
        }
        Err(refusal) => {
            let reason = shortened(refusal.to_string(), LONGEST_WARNING);
            warn!(namespace, pod, user, dry_run, reason, "pod refused");
        }
    }
}

/// How long a refusal waits for a vault that may have been applied just now.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The API server cuts warnings beyond 256 bytes, and drops all beyond 4096 together.
const LONGEST_WARNING: usize = 256;
const MOST_WARNINGS: usize = 10;

#[cfg(test)]
mod tests;
