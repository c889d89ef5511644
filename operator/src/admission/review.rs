use std::collections::BTreeMap;

use kube::Client;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use secretvault_seal::{Change, Manifest, examine};
use serde_json::Value;
use tracing::{info, warn};
use zeroize::Zeroize;

use super::answer::{Denied, answer};
use super::metrics::WebhookMetrics;
use super::repeated;
use super::rights::{Requester, check};
use crate::keys::Providers;

/// The vault webhook.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    providers: Providers,
    metrics: WebhookMetrics,
}

impl Webhook {
    /// A webhook that asks for rights with `client` and for keys at `providers`.
    #[must_use]
    pub fn new(client: Client, providers: Providers, metrics: WebhookMetrics) -> Self {
        Self {
            client,
            providers,
            metrics,
        }
    }

    /// Reviews one request. Plain values in it are wiped before this returns.
    pub(crate) async fn review(&self, review: AdmissionReview<DynamicObject>) -> AdmissionResponse {
        let mut request: AdmissionRequest<DynamicObject> = match review.try_into() {
            Ok(request) => request,
            Err(_) => return AdmissionResponse::invalid("the review holds no request"),
        };
        let mut decision = self.decide(&request).await;
        self.record(&request, &decision);
        if let Ok(changes) = &mut decision {
            changes.extend(put_managers_back(&mut request, changes));
        }
        let response = answer(&request, &decision);
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
        let examined = examine(stored, incoming)?;
        let requester = Requester {
            user: &request.user_info,
            namespace,
            vault: incoming.name,
        };
        check(&self.client, &requester, examined.rights()).await?;
        let key = examined.key(&self.providers).await?;
        Ok(examined.seal(key.as_ref())?)
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
                self.metrics.count_vault("admitted");
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
                self.metrics.count_vault(denied.label());
                warn!(
                    namespace,
                    vault,
                    user,
                    dry_run,
                    reason = denied.label(),
                    "vault refused"
                );
            }
        }
    }
}

/// The parts of a reviewed object that sealing looks at.
struct Seen<'a> {
    annotations: std::borrow::Cow<'a, BTreeMap<String, String>>,
    spec: &'a Value,
}

impl<'a> Seen<'a> {
    fn new(object: &'a DynamicObject) -> Self {
        let annotations = object.metadata.annotations.as_ref();
        Self {
            annotations: annotations.map_or_else(Default::default, std::borrow::Cow::Borrowed),
            spec: object.data.get("spec").unwrap_or(&Value::Null),
        }
    }

    fn manifest<'b>(&'b self, namespace: &'b str, name: &'b str) -> Manifest<'b> {
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
