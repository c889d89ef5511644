use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use secretvault_seal::{
    Change, Edits, Examined, Manifest, Wish, check_editor, examine, needs_provider,
};
use serde_json::Value;
use tokio::time::timeout;
use tracing::{info, warn};
use zeroize::Zeroize;

use super::answer::{Denied, answer};
use super::audited;
use super::metrics::{VaultOutcome, WebhookMetrics};
use super::repeated;
use super::rights::{Requester, check};
use super::warnings;
use crate::audit::Audit;
use crate::keys::{Namespaces, Providers};

/// The vault webhook.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    providers: Providers,
    namespaces: Namespaces,
    /// The user name that the operator itself has at the API server.
    operator: Option<String>,
    audit: Audit,
    metrics: WebhookMetrics,
}

impl Webhook {
    /// A webhook that asks for rights and namespaces with `client` and for keys at `providers`.
    #[must_use]
    pub fn new(
        client: Client,
        providers: Providers,
        audit: Audit,
        metrics: WebhookMetrics,
    ) -> Self {
        Self {
            namespaces: Namespaces::new(client.clone()),
            client,
            providers,
            operator: None,
            audit,
            metrics,
        }
    }

    /// The user whose rewrapped data keys take the place of stored ones: the operator itself. Without
    /// one, nobody's do.
    #[must_use]
    pub fn operated_by(mut self, user: String) -> Self {
        self.operator = Some(user);
        self
    }

    /// Reviews one request. Plain values in it are wiped before this returns.
    pub(crate) async fn review(&self, review: AdmissionReview<DynamicObject>) -> AdmissionResponse {
        let mut request: AdmissionRequest<DynamicObject> = match review.try_into() {
            Ok(request) => request,
            Err(_) => return AdmissionResponse::invalid("the review holds no request"),
        };
        let asked = audited::asked(&request);
        let mut decision = self.metrics.sealing(self.decide(&request).boxed()).await;
        if let Ok(changes) = &mut decision {
            changes.extend(put_managers_back(&mut request, changes));
        }
        let record = audited::admission(&request, asked, &decision);
        if let Err(unrecorded) = self.audit.must(record).await {
            decision = Err(unrecorded.into());
        }
        self.record(&request, &decision);
        let mut response = answer(&request, &decision);
        if decision.is_ok() {
            response.warnings = request.object.as_ref().and_then(warnings::of_vault);
        }
        wipe(&mut request);
        response
    }

    async fn decide(
        &self,
        request: &AdmissionRequest<DynamicObject>,
    ) -> Result<Vec<Change>, Denied> {
        let Some(incoming) = &request.object else {
            return Ok(Vec::new());
        };
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let incoming = Seen::new(incoming);
        let stored = request.old_object.as_ref().map(Seen::new);
        let incoming = incoming.manifest(namespace, &request.name);
        let stored = stored
            .as_ref()
            .map(|stored| stored.manifest(namespace, &request.name));
        // In a box: it is large, and would be moved from hand to hand.
        in_time(self.seal(request, stored, incoming).boxed()).await
    }

    async fn seal(
        &self,
        request: &AdmissionRequest<DynamicObject>,
        stored: Option<Manifest<'_>>,
        incoming: Manifest<'_>,
    ) -> Result<Vec<Change>, Denied> {
        let provider = self.provider(stored, incoming).await?;
        let user = request.user_info.username.as_ref();
        let wish = Wish {
            provider: &provider,
            by_operator: user.is_some() && user == self.operator.as_ref(),
            now: Timestamp::now(),
        };
        let examined = examine(stored, incoming, &wish)?;
        self.check_namespace(&examined, incoming.namespace).await?;
        let requester = Requester {
            user: &request.user_info,
            namespace: incoming.namespace,
            vault: incoming.name,
        };
        let judged = stored.filter(|_| !wish.by_operator);
        let no_editor = judged.and_then(|stored| {
            let edits = editing(request, examined.edits());
            check_editor(stored, edits, &requester.editor()).err()
        });
        // Side by side, for the sake of the deadline: of a key that is opened for somebody who
        // lacks the right, nothing comes out.
        let (rights, key) = tokio::join!(
            check(&self.client, &requester, examined.rights(), no_editor),
            examined.key(&self.providers)
        );
        rights?;
        Ok(examined.seal(key?.as_ref())?)
    }

    /// The key provider that the vault should have; empty where nobody has to know.
    async fn provider(
        &self,
        stored: Option<Manifest<'_>>,
        incoming: Manifest<'_>,
    ) -> Result<String, Denied> {
        if !needs_provider(stored, incoming)? {
            return Ok(String::new());
        }
        let own = incoming.spec.get("keyProvider").and_then(Value::as_str);
        let facts = self.namespaces.facts(incoming.namespace).await?;
        Ok(self.providers.find_effective(facts.named(own)).await?)
    }

    /// Refuses a provider that is not for this namespace, where it is about to wrap for a vault, or
    /// a vault comes in that it wrapped for. What is stored stays usable, however the provider's
    /// namespaces change.
    async fn check_namespace(
        &self,
        examined: &Examined<'_>,
        namespace: &str,
    ) -> Result<(), Denied> {
        let Some(provider) = examined.judged_provider() else {
            return Ok(());
        };
        if self.providers.state(provider).is_none() {
            // Not known here yet, or not there, which is another refusal.
            self.providers.find(provider).await?;
        }
        let facts = self.namespaces.facts(namespace).await?;
        if self.providers.allows(provider, &facts) {
            return Ok(());
        }
        Err(Denied::NotAllowed {
            provider: provider.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    fn record(
        &self,
        request: &AdmissionRequest<DynamicObject>,
        decision: &Result<Vec<Change>, Denied>,
    ) {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let (vault, user) = (request.name.as_str(), request.user_info.username.as_deref());
        let dry_run = request.dry_run;
        match decision {
            Ok(changes) => {
                self.metrics.count_vault(VaultOutcome::Admitted);
                info!(
                    namespace,
                    vault,
                    user,
                    dry_run,
                    changes = changes.len(),
                    "vault admitted"
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
                    "vault refused"
                );
            }
        }
    }
}

/// Whoever gives a vault an owner that is not there has the cluster delete it.
fn editing(request: &AdmissionRequest<DynamicObject>, mut edits: Edits) -> Edits {
    let owners = |object: &Option<DynamicObject>| {
        let owners = object.as_ref()?.metadata.owner_references.clone();
        owners.filter(|owners| !owners.is_empty())
    };
    if owners(&request.object) != owners(&request.old_object) {
        edits.fields.push("metadata.ownerReferences".to_owned());
    }
    edits
}

/// Answers while the API server still waits for an answer.
pub(super) async fn in_time<T>(
    decision: impl Future<Output = Result<T, Denied>>,
) -> Result<T, Denied> {
    let decided = timeout(DEADLINE, decision).await;
    decided.unwrap_or(Err(Denied::TooLate))
}

/// The parts of a reviewed object that sealing looks at.
pub(super) struct Seen<'a> {
    annotations: std::borrow::Cow<'a, BTreeMap<String, String>>,
    spec: &'a Value,
}

impl<'a> Seen<'a> {
    pub(super) fn new(object: &'a DynamicObject) -> Self {
        let annotations = object.metadata.annotations.as_ref();
        Self {
            annotations: annotations.map_or_else(Default::default, std::borrow::Cow::Borrowed),
            spec: object.data.get("spec").unwrap_or(&Value::Null),
        }
    }

    pub(super) fn manifest<'b>(&'b self, namespace: &'b str, name: &'b str) -> Manifest<'b> {
        Manifest {
            namespace,
            name,
            annotations: &self.annotations,
            spec: self.spec,
        }
    }
}

/// Seals the reviewed object itself, and compares it with the stored one.
fn put_managers_back(
    request: &mut AdmissionRequest<DynamicObject>,
    changes: &[Change],
) -> Option<Change> {
    let sealed = request.object.as_mut()?;
    repeated::apply(sealed, changes, |mut before| wipe_strings(&mut before));
    repeated::stored_managers(sealed, request.old_object.as_ref()?)
}

fn wipe(request: &mut AdmissionRequest<DynamicObject>) {
    let Some(object) = &mut request.object else {
        return;
    };
    wipe_strings(&mut object.data);
    let annotations = object.metadata.annotations.iter_mut().flatten();
    annotations.for_each(|(_, text)| text.zeroize());
}

fn wipe_strings(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(wipe_strings),
        Value::Object(members) => members.values_mut().for_each(wipe_strings),
        Value::String(text) => text.zeroize(),
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

/// The API server gives the webhook ten seconds. What is asked has bounds of its own, which add up to
/// less: the namespace, then the rights beside the old and the new data key.
const DEADLINE: Duration = Duration::from_secs(9);

#[cfg(test)]
mod tests;
