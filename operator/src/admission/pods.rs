//! The pod webhook: turns the annotations of a pod that is created into a volume, mounts and
//! variables, or refuses the pod with the reason.
//!
//! The decision is [`crate::injection`]'s; here it meets the API server.
//!
//! # Guarantees
//! * What it decides by is the pod, this replica's view of the vaults and, only where a rule may look
//!   at them, the labels of the pod's namespace.
//! * A vault that was applied just before its pod counts, although this replica may not have heard of
//!   it yet: before a refusal that a vault could lift, it waits for a moment.

use std::sync::Arc;
use std::time::Duration;

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::answer;
use super::audited;
use super::metrics::{PodOutcome, WebhookMetrics};
use super::warnings;
use crate::audit::Audit;
use crate::injection::{Injection, Known, Launcher, Refusal, inject, looks_at_namespace};
use crate::keys::{NamespaceFacts, Namespaces};
use crate::vaults::Vaults;
use crate::words::shortened;

/// The pod webhook.
#[derive(Clone)]
pub struct PodWebhook {
    vaults: Vaults,
    namespaces: Namespaces,
    launcher: Option<Launcher>,
    audit: Audit,
    metrics: WebhookMetrics,
}

impl PodWebhook {
    /// A webhook that decides by a view of the vaults, and asks for namespaces with `client`. Without
    /// a launcher, pods that need one are refused.
    #[must_use]
    pub fn new(
        client: Client,
        vaults: Vaults,
        launcher: Option<Launcher>,
        audit: Audit,
        metrics: WebhookMetrics,
    ) -> Self {
        Self {
            vaults,
            namespaces: Namespaces::new(client),
            launcher,
            audit,
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
        if let Err(refusal) = &decision {
            self.audit
                .note(audited::injection(&request, outcome, refusal))
                .await;
        }
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
            let facts = match vaults {
                Some(vaults) => self.facts(pod, namespace, vaults).await,
                None => None,
            };
            let known = Known {
                vaults,
                namespace_labels: facts.as_ref().map(|facts| &facts.labels),
            };
            let decision = inject(pod, namespace, known, self.launcher.as_ref());
            let behind = decision.as_ref().is_err_and(Refusal::may_be_behind);
            let changed = async { timeout_at(deadline, changes.changed()).await };
            if !behind || !matches!(changed.await, Ok(Ok(()))) {
                return decision;
            }
        }
    }

    /// What is known of the pod's namespace, if that may matter.
    async fn facts(
        &self,
        pod: &Pod,
        namespace: &str,
        vaults: &Vaults,
    ) -> Option<Arc<NamespaceFacts>> {
        if !looks_at_namespace(pod, namespace, vaults) {
            return None;
        }
        self.namespaces.facts(namespace).await.ok()
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
    response.warnings = warnings::passed_on(injection.warnings);
    response
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
            let reason = shortened(refusal.to_string(), LONGEST_REASON);
            warn!(namespace, pod, user, dry_run, reason, "pod refused");
        }
    }
}

/// How long a refusal waits for a vault that may have been applied just now.
const CATCH_UP: Duration = Duration::from_secs(1);

/// How much of a refusal is logged.
const LONGEST_REASON: usize = 256;

#[cfg(test)]
mod tests;
