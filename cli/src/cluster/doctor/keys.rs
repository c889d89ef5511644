//! Key providers, what a thief of etcd would have of them, and the vaults that they wrap.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use secretvault_crds::{KeyProvider, SecretVault};

use super::{Finding, Patient, some};

/// Whether each provider works, and what a stolen backup of etcd would yield.
pub(super) async fn providers(patient: &Patient<'_>) -> Vec<Finding> {
    let providers = match patient.cluster.everywhere::<KeyProvider>().await {
        Err(blind) => return vec![Finding::blind("keys", &blind)],
        Ok(providers) if providers.is_empty() => {
            let text = "there is no KeyProvider: no vault can be sealed or opened; apply one";
            return vec![Finding::wrong("keys", text)];
        }
        Ok(providers) => providers,
    };
    let deployments = Api::<Deployment>::namespaced(patient.cluster.client(), patient.system);
    let operator = patient
        .cluster
        .one(deployments, "secretvault-operator")
        .await;
    let pods = operator.ok().flatten().and_then(|it| it.spec);
    let pods = pods.and_then(|spec| spec.template.spec);
    let mut findings = Vec::new();
    for provider in &providers {
        findings.push(health(provider));
        findings.push(stolen_etcd(provider, pods.as_ref()));
    }
    findings
}

fn health(provider: &KeyProvider) -> Finding {
    let name = provider.name_any();
    let status = provider.status.as_ref();
    let conditions = status.map(|status| &status.conditions[..]);
    match ready(conditions.unwrap_or_default()) {
        Some(ready) if ready.status == "True" => {
            Finding::good("keys", format!("KeyProvider {name}: {}", ready.message))
        }
        Some(ready) => Finding::wrong(
            "keys",
            format!("KeyProvider {name}: {}: {}", ready.reason, ready.message),
        ),
        None => Finding::wrong(
            "keys",
            format!("KeyProvider {name} has no status: no operator looks at it"),
        ),
    }
}

/// What the keys are worth to somebody who has a copy of etcd and nothing else.
fn stolen_etcd(provider: &KeyProvider, operator: Option<&PodSpec>) -> Finding {
    let name = provider.name_any();
    let nothing = |place: &str| {
        let text = format!("of KeyProvider {name} nothing: its keys are {place}");
        Finding::good("stolen etcd", text)
    };
    let all = |place: &str| {
        let text = format!(
            "of KeyProvider {name} every value: its keyring is {place}, unless the API server \
             encrypts Secrets at rest, which cannot be seen from here"
        );
        Finding::warning("stolen etcd", text)
    };
    let Some(local) = &provider.spec.local else {
        return nothing("in a Transit server");
    };
    if let Some(secret) = &local.keyring.secret {
        return all(&format!("in the Secret {}", secret.name));
    }
    let Some(file) = &local.keyring.file else {
        return nothing("nowhere");
    };
    let Some(operator) = operator else {
        let text = format!(
            "of KeyProvider {name} cannot be told: its keyring is the file {}, and of what volume \
             cannot be seen",
            file.path
        );
        return Finding::unseen("stolen etcd", text);
    };
    match volume_of(&file.path, operator) {
        Some(volume) if volume.secret.is_some() || volume.projected.is_some() => all(&format!(
            "the file {} of the volume {}, which is made of Secrets",
            file.path, volume.name
        )),
        Some(volume) => nothing(&format!("in a file of the volume {}", volume.name)),
        None => nothing("in a file of the operator's image"),
    }
}

/// The volume that a file of the operator's lies in: that of the longest path above it.
fn volume_of<'a>(path: &str, pod: &'a PodSpec) -> Option<&'a Volume> {
    let mounts = pod
        .containers
        .iter()
        .flat_map(|it| it.volume_mounts.iter().flatten());
    let above = mounts.filter(|mount| {
        let below = path.strip_prefix(mount.mount_path.trim_end_matches('/'));
        below.is_some_and(|rest| rest.starts_with('/'))
    });
    let nearest = above.max_by_key(|mount| mount.mount_path.len())?;
    let mut volumes = pod.volumes.iter().flatten();
    volumes.find(|volume| volume.name == nearest.name)
}

/// Vaults that pods cannot use.
pub(super) async fn vaults(patient: &Patient<'_>) -> Vec<Finding> {
    let vaults = match patient.cluster.everywhere::<SecretVault>().await {
        Ok(vaults) => vaults,
        Err(blind) => return vec![Finding::blind("vaults", &blind)],
    };
    let (mut broken, mut waiting) = (Vec::new(), Vec::new());
    for vault in &vaults {
        let name = format!(
            "{}/{}",
            vault.namespace().unwrap_or_default(),
            vault.name_any()
        );
        let status = vault.status.as_ref();
        let conditions = status.map(|status| &status.conditions[..]);
        match ready(conditions.unwrap_or_default()) {
            Some(ready) if ready.status == "True" => {}
            Some(ready) => broken.push(format!("{name} ({}: {})", ready.reason, ready.message)),
            None => waiting.push(name),
        }
    }
    let mut findings = Vec::new();
    if !broken.is_empty() {
        let text = format!("cannot be used: {}", some(&broken));
        findings.push(Finding::wrong("vaults", text));
    }
    if !waiting.is_empty() {
        let text = format!("no operator has looked at {}", some(&waiting));
        findings.push(Finding::warning("vaults", text));
    }
    if findings.is_empty() {
        let text = format!("all {} can be used", vaults.len());
        findings.push(Finding::good("vaults", text));
    }
    findings
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|it| it.type_ == "Ready")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::doctor::State;

    fn etcd_yields(keyring: &Value, volume: &Value) -> (State, String) {
        let provider: KeyProvider = serde_json::from_value(json!({
            "apiVersion": "secretvault.dev/v1alpha1",
            "kind": "KeyProvider",
            "metadata": {"name": "default"},
            "spec": keyring,
        }))
        .unwrap();
        let operator: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "operator", "volumeMounts": [
                {"name": "other", "mountPath": "/etc"},
                {"name": "keys", "mountPath": "/etc/secretvault/"},
            ]}],
            "volumes": [{"name": "other", "emptyDir": {}}, volume],
        }))
        .unwrap();
        let found = stolen_etcd(&provider, Some(&operator));
        (found.state, found.what)
    }

    #[test]
    fn what_a_stolen_etcd_yields_depends_on_where_the_keys_are() {
        let file = json!({"local": {"keyring": {"file": {"path": "/etc/secretvault/keyring"}}}});
        let secret = json!({"local": {"keyring": {"secret": {"name": "k"}}}});
        let transit = json!({"vaultTransit": {
            "address": "https://bao", "mount": "transit", "key": "k",
            "auth": {"tokenSecretRef": {"name": "t"}},
        }});
        let disk = json!({"name": "keys", "hostPath": {"path": "/x"}});
        let in_etcd = json!({"name": "keys", "secret": {"secretName": "k"}});
        for (keyring, volume, state, says) in [
            (
                &secret,
                &disk,
                State::Warning,
                "every value: its keyring is in the Secret k",
            ),
            (
                &file,
                &disk,
                State::Good,
                "nothing: its keys are in a file of the volume keys",
            ),
            (&file, &in_etcd, State::Warning, "every value"),
            (
                &transit,
                &in_etcd,
                State::Good,
                "nothing: its keys are in a Transit server",
            ),
        ] {
            let (found, what) = etcd_yields(keyring, volume);
            assert_eq!(found, state, "{what}");
            assert!(what.contains(says), "{what}");
        }
    }

    #[test]
    fn a_file_of_a_volume_that_cannot_be_seen_is_said_to_be_so() {
        let mut provider = KeyProvider::new("default", Default::default());
        let file = json!({"keyring": {"file": {"path": "/etc/k"}}});
        provider.spec.local = serde_json::from_value(file).unwrap();
        assert_eq!(stolen_etcd(&provider, None).state, State::Unseen);
    }
}
