//! Refuses to delete a vault to whom its editors do not let delete its entries.
//!
//! Only vaults with editors come here, and neither do the deletions by which the cluster itself clears a
//! namespace or collects what has lost its owner: see the chart's webhook configuration.

use kube::Client;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use secretvault_crds::api::VERB_MANAGE;
use secretvault_seal::check_remover;
use tracing::{info, warn};

use super::answer::{Denied, answer};
use super::audited;
use super::metrics::{VaultOutcome, WebhookMetrics};
use super::review::{Seen, in_time};
use super::rights::{Requester, unless_allowed};
use crate::audit::Audit;

/// The webhook for deletions of vaults with editors.
#[derive(Clone)]
pub struct RemovalWebhook {
    client: Client,
    audit: Audit,
    metrics: WebhookMetrics,
}

impl RemovalWebhook {
    /// A webhook that asks for rights with `client`.
    #[must_use]
    pub fn new(client: Client, audit: Audit, metrics: WebhookMetrics) -> Self {
        Self {
            client,
            audit,
            metrics,
        }
    }

    /// Reviews one request.
    pub(crate) async fn review(&self, review: AdmissionReview<DynamicObject>) -> AdmissionResponse {
        let request: AdmissionRequest<DynamicObject> = match review.try_into() {
            Ok(request) => request,
            Err(_) => return AdmissionResponse::invalid("the review holds no request"),
        };
        let mut decision = in_time(self.decide(&request)).await;
        let record = audited::deletion(&request, decision.as_ref().copied());
        if let Err(unrecorded) = self.audit.must(record).await {
            decision = Err(unrecorded.into());
        }
        self.record(&request, &decision);
        answer(&request, &decision.map(|()| Vec::new()))
    }

    async fn decide(&self, request: &AdmissionRequest<DynamicObject>) -> Result<(), Denied> {
        let Some(vault) = &request.old_object else {
            return Ok(());
        };
        // Of a request that deletes many, only the object has the name.
        let name = vault.name_any();
        let requester = Requester {
            user: &request.user_info,
            namespace: request.namespace.as_deref().unwrap_or_default(),
            vault: &name,
        };
        let vault = Seen::new(vault);
        let stored = vault.manifest(requester.namespace, requester.vault);
        let refused = check_remover(stored, &requester.editor()).err();
        let denied = refused.map(|missing| requester.no_editor(missing));
        unless_allowed(&self.client, &requester, VERB_MANAGE, denied).await
    }

    fn record(&self, request: &AdmissionRequest<DynamicObject>, decision: &Result<(), Denied>) {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let vault = request.old_object.as_ref().map(ResourceExt::name_any);
        let user = request.user_info.username.as_deref();
        let dry_run = request.dry_run;
        match decision {
            Ok(()) => {
                self.metrics.count_vault(VaultOutcome::Admitted);
                info!(
                    namespace,
                    vault, user, dry_run, "deletion of a vault with editors admitted"
                );
            }
            Err(denied) => {
                self.metrics.count_vault(denied.outcome());
                warn!(
                    namespace,
                    vault,
                    user,
                    dry_run,
                    reason = ?denied.outcome(),
                    "deletion of a vault with editors refused"
                );
            }
        }
    }
}
