//! The operator, its webhooks and certificates, and the policies that need nobody.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{
    Finding, Patient,
    scrape::{metrics, sum},
};
use crate::cluster::client::Blind;

/// Whether replicas are up, one of them leads, and their certificates last.
pub(super) async fn operator(patient: &Patient<'_>) -> Vec<Finding> {
    let client = patient.cluster.client();
    let deployments = Api::<Deployment>::namespaced(client.clone(), patient.system);
    let mut findings = Vec::new();
    match patient.cluster.one(deployments, OPERATOR).await {
        Err(blind) => findings.push(Finding::blind("operator", &blind)),
        Ok(None) => {
            let text = format!(
                "there is no Deployment {OPERATOR} in namespace {}: name where it is installed \
                 with --system",
                patient.system
            );
            return vec![Finding::wrong("operator", text)];
        }
        Ok(Some(deployment)) => findings.push(replicas(&deployment)),
    }
    let leases = Api::<Lease>::namespaced(client.clone(), patient.system);
    findings.push(match patient.cluster.one(leases, OPERATOR).await {
        Err(blind) => Finding::blind("operator", &blind),
        Ok(lease) => leader(lease.as_ref(), patient.now),
    });
    let pods = Api::<Pod>::namespaced(client, patient.system);
    match patient.cluster.all(pods).await {
        Err(blind) => findings.push(Finding::blind("certificates", &blind)),
        Ok(pods) => {
            let replicas = pods.iter().filter(|pod| is_part(pod, "operator"));
            for pod in replicas {
                let name = pod.name_any();
                findings.push(certificates(
                    &name,
                    metrics(patient, &name).await,
                    patient.now,
                ));
            }
        }
    }
    findings
}

fn replicas(deployment: &Deployment) -> Finding {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let wanted = wanted.unwrap_or(1);
    let status = deployment.status.as_ref();
    let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
    let text = format!("{ready} of {wanted} replicas are ready");
    match ready {
        0 => Finding::wrong(
            "operator",
            format!("{text}: nothing can be applied, and no pod with a vault starts"),
        ),
        _ if ready < wanted => Finding::warning("operator", text),
        _ => Finding::good("operator", text),
    }
}

/// The API server's times and the clock here may differ, so a minute of silence is no trouble yet.
fn leader(lease: Option<&Lease>, now: Timestamp) -> Finding {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    let holder = spec.and_then(|spec| spec.holder_identity.clone());
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref());
    match (holder.filter(|it| !it.is_empty()), renewed) {
        (Some(holder), Some(at)) if now.duration_since(at.0) < SILENCE => {
            Finding::good("operator", format!("{holder} leads"))
        }
        _ => Finding::wrong(
            "operator",
            "no replica leads: status is not kept, and keys are not rotated",
        ),
    }
}

fn certificates(pod: &str, metrics: Result<String, Blind>, now: Timestamp) -> Finding {
    let text = match metrics {
        Ok(text) => text,
        Err(blind) => {
            let text = format!("of {pod} cannot be seen: {blind}");
            return Finding::unseen("certificates", text);
        }
    };
    let ends = CERTIFICATES.map(|(name, what)| {
        let end = sum(&text, name, "");
        (what, end.map(|end| end - now.as_duration().as_secs_f64()))
    });
    let mut left = f64::INFINITY;
    for (what, seconds) in ends {
        match seconds {
            None => {
                let text = format!("{pod} says nothing of its {what}");
                return Finding::unseen("certificates", text);
            }
            Some(seconds) if seconds <= 0.0 => {
                let text = format!("the {what} of {pod} has ended");
                return Finding::wrong("certificates", text);
            }
            Some(seconds) => left = left.min(seconds),
        }
    }
    let hours = (left / 3600.0).floor();
    let text = format!("those of {pod} last for {hours} h at least");
    if hours < 24.0 {
        Finding::warning("certificates", text)
    } else {
        Finding::good("certificates", text)
    }
}

/// Whether the API server calls the operator, trusts it, and stores nothing without it.
pub(super) async fn webhooks(patient: &Patient<'_>) -> Vec<Finding> {
    let client = patient.cluster.client();
    let configurations = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let webhooks = match patient.cluster.one(configurations, WEBHOOKS).await {
        Err(blind) => return vec![Finding::blind("webhooks", &blind)],
        Ok(None) => {
            let text = format!(
                "there is no MutatingWebhookConfiguration {WEBHOOKS}: no vault can be applied, and \
                 no pod's annotations are read; helm upgrade brings it back"
            );
            return vec![Finding::wrong("webhooks", text)];
        }
        Ok(Some(found)) => found.webhooks.unwrap_or_default(),
    };
    let maps = Api::<ConfigMap>::namespaced(client, patient.system);
    let authority = patient.cluster.one(maps, AUTHORITY).await;
    let mut findings = Vec::new();
    for name in CALLED {
        let webhook = webhooks.iter().find(|webhook| webhook.name == name);
        findings.push(match webhook {
            None => Finding::wrong("webhooks", format!("there is no webhook {name}")),
            Some(webhook) if webhook.failure_policy.as_deref() != Some("Fail") => Finding::wrong(
                "webhooks",
                format!("{name} has not failurePolicy Fail: what it does not see is let through"),
            ),
            Some(webhook) => trust(webhook, &authority),
        });
    }
    findings
}

fn trust(webhook: &MutatingWebhook, authority: &Result<Option<ConfigMap>, Blind>) -> Finding {
    let name = &webhook.name;
    let Some(bundle) = &webhook.client_config.ca_bundle else {
        let text = format!("{name} has no caBundle: has the operator ever run?");
        return Finding::wrong("webhooks", text);
    };
    let said = match authority {
        Err(blind) => {
            let text = format!("{name} is there; whether its caBundle is right: {blind}");
            return Finding::unseen("webhooks", text);
        }
        Ok(map) => map
            .as_ref()
            .and_then(|map| map.data.as_ref()?.get("ca.crt")),
    };
    if said.is_some_and(|said| said.trim().as_bytes() == bundle.0.trim_ascii()) {
        return Finding::good(
            "webhooks",
            format!("{name} trusts the operator's authority"),
        );
    }
    let text = format!("the caBundle of {name} is not the authority in ConfigMap {AUTHORITY}");
    Finding::wrong("webhooks", text)
}

/// Whether what is applied comes back sealed: webhook, certificates and key provider in one. Nothing
/// is stored.
pub(super) async fn trial(patient: &Patient<'_>) -> Finding {
    let namespace = patient.namespace;
    // A name that no vault has, not even one that somebody else's trial left behind.
    let name = format!("secretvault-doctor-{}", patient.now.as_microsecond());
    let vault = json!({
        "apiVersion": "secretvault.dev/v1alpha1",
        "kind": "SecretVault",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"data": {"trial": "not a secret"}},
    });
    let path =
        format!("/apis/secretvault.dev/v1alpha1/namespaces/{namespace}/secretvaults?dryRun=All");
    let what = format!("create secretvaults in namespace {namespace}, not even as a dry run");
    let answer = patient.cluster.post(&path, vault.to_string(), &what).await;
    match answer {
        Err(blind @ Blind::Forbidden { .. }) => Finding::blind("sealing", &blind),
        Err(Blind::Failed { why, .. }) => Finding::wrong(
            "sealing",
            format!("a vault that is applied is refused: {why}"),
        ),
        Ok(text) => sealed(&text),
    }
}

fn sealed(answer: &str) -> Finding {
    let object: Value = serde_json::from_str(answer).unwrap_or_default();
    let value = object["spec"]["data"]["trial"].as_str().unwrap_or_default();
    if value.starts_with("sv1:") {
        let provider = object["spec"]["dataKey"]["provider"].as_str();
        let provider = provider.unwrap_or("default");
        return Finding::good(
            "sealing",
            format!("a vault that is applied is sealed with KeyProvider {provider}"),
        );
    }
    Finding::wrong("sealing", "a vault that is applied is not sealed")
}

/// What the API server enforces by itself.
pub(super) async fn policies(patient: &Patient<'_>) -> Vec<Finding> {
    let policies = patient
        .cluster
        .everywhere::<ValidatingAdmissionPolicy>()
        .await;
    let bindings = patient
        .cluster
        .everywhere::<ValidatingAdmissionPolicyBinding>()
        .await;
    let (policies, bindings) = match (policies, bindings) {
        (Ok(policies), Ok(bindings)) => (policies, bindings),
        (Err(blind), _) | (_, Err(blind)) => return vec![Finding::blind("policies", &blind)],
    };
    let bound = bindings
        .iter()
        .filter_map(|it| it.spec.as_ref()?.policy_name.as_deref());
    let bound: BTreeSet<&str> = bound.collect();
    let there: BTreeSet<String> = policies.iter().map(ResourceExt::name_any).collect();
    let lacking = POLICIES
        .iter()
        .filter(|name| !there.contains(**name) || !bound.contains(**name));
    let lacking: Vec<&str> = lacking.copied().collect();
    if lacking.is_empty() {
        let text = format!("{} policies bound", POLICIES.len());
        return vec![Finding::good("policies", text)];
    }
    let text = format!(
        "not there, or not bound: {}; helm upgrade brings them back",
        lacking.join(", ")
    );
    vec![Finding::wrong("policies", text)]
}

/// Whether a pod is of this part of the product.
pub(super) fn is_part(pod: &Pod, part: &str) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let labelled = labels.and_then(|it| it.get("app.kubernetes.io/component"));
    labelled.is_some_and(|it| it == part) && pod.metadata.deletion_timestamp.is_none()
}

const OPERATOR: &str = "secretvault-operator";
const WEBHOOKS: &str = "00-secretvault";
/// What they do not see must not happen.
const CALLED: [&str; 3] = [
    "vaults.secretvault.dev",
    "removals.secretvault.dev",
    "pods.secretvault.dev",
];

const AUTHORITY: &str = "secretvault-ca";

/// Without these the API server lets through what it should not.
const POLICIES: [&str; 5] = [
    "secretvault-operator-secrets",
    "secretvault-operator-vaults",
    "secretvault-operator-webhooks",
    "secretvault-pods",
    "secretvault-volumes",
];

const CERTIFICATES: [(&str, &str); 2] = [
    (
        "secretvault_ca_expiry_timestamp_seconds",
        "certificate authority",
    ),
    (
        "secretvault_serving_certificate_expiry_timestamp_seconds",
        "serving certificate",
    ),
];

/// A lease lasts for seconds.
const SILENCE: SignedDuration = SignedDuration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::doctor::State;

    fn ends(authority: i64, serving: i64) -> Finding {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let text = format!(
            "secretvault_ca_expiry_timestamp_seconds {}\n\
             secretvault_serving_certificate_expiry_timestamp_seconds {}\n",
            now.as_second() + authority,
            now.as_second() + serving
        );
        certificates("operator-0", Ok(text), now)
    }

    #[test]
    fn a_certificate_that_ends_is_told_before_and_after() {
        assert_eq!(ends(900_000, 100_000).state, State::Good);
        assert_eq!(ends(900_000, 3600).state, State::Warning);
        assert_eq!(ends(900_000, -1).state, State::Wrong);
        assert_eq!(ends(-1, 100_000).state, State::Wrong);
        let nothing = certificates("operator-0", Ok(String::new()), Timestamp::UNIX_EPOCH);
        assert_eq!(nothing.state, State::Unseen);
    }

    #[test]
    fn nobody_leads_without_a_lease_that_is_renewed() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let lease = |seconds: i64| -> Lease {
            let at = now - SignedDuration::from_secs(seconds);
            let spec = json!({"holderIdentity": "operator-0", "renewTime": format!("{at:.6}")});
            serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
        };
        assert_eq!(leader(Some(&lease(10)), now).state, State::Good);
        assert_eq!(leader(Some(&lease(600)), now).state, State::Wrong);
        assert_eq!(leader(None, now).state, State::Wrong);
    }

    #[test]
    fn what_comes_back_plain_is_wrong() {
        let answer = |value: &str| json!({"spec": {"data": {"trial": value}}}).to_string();
        assert_eq!(sealed(&answer("sv1:AAAA")).state, State::Good);
        assert_eq!(sealed(&answer("not a secret")).state, State::Wrong);
    }
}
