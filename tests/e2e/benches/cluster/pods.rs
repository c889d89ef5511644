//! Pods that do nothing but mount, and how long it takes until they are Ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::Failure;

/// A namespace's pods.
pub(crate) struct Pods {
    api: Api<Pod>,
}

impl Pods {
    pub(crate) fn of(client: &Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Creates pods at once, and tells of each how long it took from the first create's start until it
    /// was Ready.
    pub(crate) async fn start(&self, pods: &[Value]) -> Result<Vec<Duration>, Failure> {
        let params = WatchParams::default();
        let listed = self.api.list(&ListParams::default().limit(1)).await?;
        let version = listed.metadata.resource_version.unwrap_or_default();
        let mut events = Box::pin(self.api.watch(&params, &version).await?);
        let begun = Instant::now();
        let created = pods.iter().map(|pod| self.create(pod));
        futures::future::try_join_all(created).await?;
        let mut ready = BTreeMap::new();
        let until_all = async {
            while ready.len() < pods.len() {
                let Some(event) = events.try_next().await? else {
                    return Err(Failure::from("the watch ended"));
                };
                if let WatchEvent::Modified(pod) = event
                    && is_ready(&pod)
                {
                    ready
                        .entry(pod.name_any())
                        .or_insert_with(|| begun.elapsed());
                }
            }
            Ok(())
        };
        timeout(PATIENCE, until_all).await??;
        Ok(ready.into_values().collect())
    }

    async fn create(&self, pod: &Value) -> Result<(), Failure> {
        let pod = serde_json::from_value(pod.clone())?;
        self.api.create(&PostParams::default(), &pod).await?;
        Ok(())
    }

    /// Deletes every pod, and waits until none is left.
    pub(crate) async fn clear(&self) -> Result<(), Failure> {
        let at_once = DeleteParams::default().grace_period(1);
        self.api
            .delete_collection(&at_once, &ListParams::default())
            .await?;
        let gone = async {
            while !self
                .api
                .list(&ListParams::default())
                .await?
                .items
                .is_empty()
            {
                sleep(Duration::from_millis(100)).await;
            }
            // kubelet tidies up after the object is gone.
            sleep(Duration::from_secs(1)).await;
            Ok::<_, Failure>(())
        };
        timeout(PATIENCE, gone).await?
    }

    /// Where each pod's volumes lie on the machine: pods' UIDs, by node.
    pub(crate) async fn places(&self) -> Result<Vec<(String, String)>, Failure> {
        let pods = self.api.list(&ListParams::default()).await?;
        let place = |pod: Pod| {
            let node = pod.spec.as_ref()?.node_name.clone()?;
            Some((node, pod.metadata.uid?))
        };
        Ok(pods.items.into_iter().filter_map(place).collect())
    }
}

/// A pod that sleeps, with these volumes, each mounted at a place of its own.
pub(crate) fn sleeper(name: &str, volumes: &[Value]) -> Value {
    let mounts: Vec<Value> = volumes
        .iter()
        .map(|volume| {
            let name = &volume["name"];
            let path = format!("/secrets/{}", name.as_str().unwrap_or_default());
            json!({"name": name, "mountPath": path, "readOnly": true})
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "app",
                "image": "busybox:stable",
                "command": ["sleep", "infinity"],
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    })
}

/// A volume with a Secret of Kubernetes' own.
pub(crate) fn secret_volume(name: &str, secret: &str) -> Value {
    json!({"name": name, "secret": {"secretName": secret}})
}

/// A volume with vaults.
pub(crate) fn vault_volume(name: &str, vaults: &str) -> Value {
    json!({
        "name": name,
        "csi": {
            "driver": "csi.secretvault.dev",
            "readOnly": true,
            "volumeAttributes": {"vaults": vaults},
        },
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter());
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

const PATIENCE: Duration = Duration::from_secs(300);
