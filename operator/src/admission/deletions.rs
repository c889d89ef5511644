//! Warns whoever deletes a vault that pods have mounted. Never refuses: onDelete says what becomes of
//! the files, and a namespace that is deleted must not wait for a webhook.

use std::fmt;

use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use serde_json::Value;

use super::audited;
use super::metrics::WebhookMetrics;
use crate::audit::Audit;
use crate::words::{listed, shortened};

/// The webhook for deletions.
#[derive(Clone, Debug)]
pub struct DeletionWebhook {
    audit: Audit,
    metrics: WebhookMetrics,
}

impl DeletionWebhook {
    /// A webhook that counts, and records who deletes what.
    #[must_use]
    pub fn new(audit: Audit, metrics: WebhookMetrics) -> Self {
        Self { audit, metrics }
    }

    /// Reviews one request.
    pub(crate) async fn review(&self, review: AdmissionReview<DynamicObject>) -> AdmissionResponse {
        let request: AdmissionRequest<DynamicObject> = match review.try_into() {
            Ok(request) => request,
            Err(_) => return AdmissionResponse::invalid("the review holds no request"),
        };
        self.metrics.count_deletion();
        if !is_judged(&request) {
            self.audit.note(audited::deletion(&request, Ok(()))).await;
        }
        let mut response = AdmissionResponse::from(&request);
        if let (Operation::Delete, Some(vault)) = (&request.operation, &request.old_object) {
            let warning = Use::of(vault).map(|it| shortened(it.to_string(), LONGEST));
            response.warnings = warning.map(|it| vec![it]);
        }
        response
    }
}

/// Whether the webhook for removals is asked too, which says in the audit log how it ends.
fn is_judged(request: &AdmissionRequest<DynamicObject>) -> bool {
    let spec = request
        .old_object
        .as_ref()
        .and_then(|vault| vault.data.get("spec"));
    let editors = spec.and_then(|spec| spec.get("editors"));
    let user = request.user_info.username.as_deref().unwrap_or_default();
    editors.is_some_and(|editors| !editors.is_null()) && !CLEARING.contains(&user)
}

/// A vault that is in use.
struct Use<'a> {
    vault: &'a DynamicObject,
    /// How many pods there are; the list may be shorter.
    count: u64,
    pods: Vec<&'a str>,
}

impl<'a> Use<'a> {
    /// None if nobody has it, or the status cannot be read.
    fn of(vault: &'a DynamicObject) -> Option<Self> {
        let status = vault.data.get("status")?;
        let consumers = status.get("consumers").and_then(Value::as_array);
        let pods: Vec<&str> = consumers
            .into_iter()
            .flatten()
            .filter_map(|consumer| consumer.get("pod")?.as_str())
            .collect();
        let listed = u64::try_from(pods.len()).unwrap_or_default();
        let count = status.get("consumerCount").and_then(Value::as_u64);
        let count = count.unwrap_or_default().max(listed);
        (count > 0).then_some(Self { vault, count, pods })
    }

    fn removes(&self) -> bool {
        let spec = self.vault.data.get("spec");
        spec.and_then(|spec| spec.get("onDelete")) == Some(&Value::from("Remove"))
    }
}

impl fmt::Display for Use<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.vault.namespace().unwrap_or_default();
        let name = self.vault.name_any();
        let pods = if self.count == 1 {
            "pod has"
        } else {
            "pods have"
        };
        let fate = if self.removes() {
            "their files go now (onDelete: Remove)"
        } else {
            "they keep their files until they end (onDelete: Retain)"
        };
        write!(
            f,
            "vault {namespace}/{name} is in use: {} {pods} it mounted, and {fate}",
            self.count
        )?;
        write!(f, ": {}", listed(self.pods.iter().copied()))
    }
}

/// Who clears namespaces, and what has lost its owner: the chart does not ask about them there.
const CLEARING: [&str; 3] = [
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
];
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::audit::memory::Memory;

    async fn warning(mut vault: Value) -> Option<String> {
        vault["metadata"] = json!({"namespace": "shop", "name": "app"});
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "kind": {"group": "secretvault.dev", "version": "v1alpha1", "kind": "SecretVault"},
                "resource": {
                    "group": "secretvault.dev", "version": "v1alpha1", "resource": "secretvaults",
                },
                "operation": "DELETE",
                "userInfo": {},
                "oldObject": vault,
            },
        });
        let audit = Memory::default().audit();
        let webhook = DeletionWebhook::new(audit, WebhookMetrics::default());
        let response = webhook
            .review(serde_json::from_value(review).unwrap())
            .await;
        assert!(response.allowed);
        response.warnings.map(|lines| lines.join("\n"))
    }

    fn used(by: &[&str]) -> Value {
        let consumers: Vec<Value> = by
            .iter()
            .map(|pod| json!({"pod": pod, "node": "n"}))
            .collect();
        json!({"status": {"consumers": consumers, "consumerCount": by.len()}})
    }

    #[tokio::test]
    async fn who_deletes_a_vault_in_use_learns_who_uses_it_and_what_becomes_of_the_files() {
        let expected = "vault shop/app is in use: 2 pods have it mounted, and they keep their \
                        files until they end (onDelete: Retain): shop/a, shop/b";
        assert_eq!(
            warning(used(&["shop/a", "shop/b"])).await.as_deref(),
            Some(expected)
        );
        let mut removed = used(&["shop/a"]);
        removed["spec"] = json!({"onDelete": "Remove"});
        let told = warning(removed).await.unwrap();
        assert!(
            told.contains("1 pod has it mounted, and their files go now"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_vault_that_nobody_uses_goes_without_a_word() {
        assert_eq!(warning(used(&[])).await, None);
        assert_eq!(warning(json!({})).await, None);
        assert_eq!(warning(json!({"status": {"consumers": "?"}})).await, None);
    }

    #[tokio::test]
    async fn a_thousand_consumers_are_one_short_line() {
        let pods: Vec<String> = (0..100).map(|n| format!("shop/web-{n}")).collect();
        let mut vault = used(&pods.iter().map(String::as_str).collect::<Vec<_>>());
        vault["status"]["consumerCount"] = json!(1000);
        let told = warning(vault).await.unwrap();
        assert!(
            told.len() <= LONGEST && told.contains("1000 pods"),
            "{told}"
        );
    }

    /// Whom the chart leaves out, as it is written there.
    fn left_out() -> BTreeSet<&'static str> {
        let template = include_str!("../../../charts/secretvault/templates/webhook.yaml");
        let (_, condition) = template
            .split_once("- name: not-cleared-by-the-cluster")
            .unwrap();
        let (_, users) = condition.split_once("username in [").unwrap();
        let (users, _) = users.split_once(']').unwrap();
        let users = users.split(',').map(str::trim);
        users.map(|user| user.trim_matches('\'')).collect()
    }

    /// Else their deletions would be in the audit log twice, or not at all.
    #[test]
    fn who_clears_is_the_same_here_and_in_the_chart() {
        assert_eq!(left_out(), BTreeSet::from(CLEARING));
    }
}
