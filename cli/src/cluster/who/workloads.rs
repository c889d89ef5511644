//! Workloads whose pods would ask for a vault, also those that have no pod now.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};

use super::{Target, WIDTH};
use crate::{
    cluster::{
        asked::Asker,
        client::{Blind, Cluster},
        sight::Sight,
    },
    show::{mask::one_line, table::Row},
};

/// What makes pods.
pub(super) struct Maker {
    pub(super) asker: Asker,
    /// How many pods it makes, in words.
    runs: String,
}

/// A workload that asks for the vault.
#[derive(Serialize)]
pub(super) struct Workload {
    kind: String,
    workload: String,
    #[serde(rename = "serviceAccount")]
    service_account: String,
    runs: String,
    gets: String,
}

/// All workloads that use volumes of ours. One that another workload made is not named beside it.
pub(super) async fn list(cluster: &Cluster, namespace: &str, blind: &mut Vec<Blind>) -> Vec<Maker> {
    let mut makers = Vec::new();
    makers.extend(of_kind(cluster, namespace, blind, deployment).await);
    makers.extend(of_kind(cluster, namespace, blind, stateful_set).await);
    makers.extend(of_kind(cluster, namespace, blind, daemon_set).await);
    makers.extend(of_kind(cluster, namespace, blind, cron_job).await);
    makers.extend(of_kind(cluster, namespace, blind, job).await);
    makers.extend(of_kind(cluster, namespace, blind, replica_set).await);
    makers.extend(of_kind(cluster, namespace, blind, replication_controller).await);
    makers
}

/// Those of them that ask for the vault, and what their pods would get.
pub(super) fn referencing(makers: Vec<Maker>, sight: &Sight, target: &Target) -> Vec<Workload> {
    let workloads = makers.into_iter().filter_map(|maker| {
        let share = target.share(&maker.asker, sight)?;
        Some(Workload {
            workload: format!("{}/{}", maker.asker.namespace, maker.asker.name),
            service_account: maker.asker.account,
            kind: maker.asker.kind,
            runs: maker.runs,
            gets: share.words(),
        })
    });
    workloads.collect()
}

/// A pod template, and how many pods are made of it, in words.
type Makes = (Option<PodTemplateSpec>, String);

async fn of_kind<K>(
    cluster: &Cluster,
    namespace: &str,
    blind: &mut Vec<Blind>,
    makes: impl Fn(K) -> Makes,
) -> Vec<Maker>
where
    K: Clone + DeserializeOwned + fmt::Debug,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let objects = cluster.wherever::<K>(namespace, blind).await.into_iter();
    let objects = objects.filter(|object| !is_controlled(object.meta()));
    let kind = K::kind(&());
    let makers = objects.filter_map(|object| {
        let owner = object.meta().clone();
        let (template, runs) = makes(object);
        let asker = Asker::of_template(&kind, &owner, template?);
        (!asker.volumes.is_empty()).then_some(Maker { asker, runs })
    });
    makers.collect()
}

fn is_controlled(metadata: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true))
}

fn replicas(count: Option<i32>) -> String {
    match count.unwrap_or(1) {
        1 => "1 replica".to_owned(),
        count => format!("{count} replicas"),
    }
}

fn deployment(object: Deployment) -> Makes {
    let spec = object.spec.unwrap_or_default();
    (Some(spec.template), replicas(spec.replicas))
}

fn stateful_set(object: StatefulSet) -> Makes {
    let spec = object.spec.unwrap_or_default();
    (Some(spec.template), replicas(spec.replicas))
}

fn daemon_set(object: DaemonSet) -> Makes {
    let nodes = object.status.unwrap_or_default().desired_number_scheduled;
    let template = object.spec.map(|spec| spec.template);
    (template, format!("on {nodes} nodes"))
}

fn cron_job(object: CronJob) -> Makes {
    let spec = object.spec.unwrap_or_default();
    let runs = if spec.suspend == Some(true) {
        "suspended".to_owned()
    } else {
        format!("at {}", spec.schedule)
    };
    (spec.job_template.spec.map(|spec| spec.template), runs)
}

fn job(object: Job) -> Makes {
    let spec = object.spec.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    let mut conditions = status.conditions.iter().flatten();
    let failed = conditions.any(|it| it.type_ == "Failed" && it.status == "True");
    let runs = if failed {
        "failed"
    } else if status.completion_time.is_some() {
        "done"
    } else if spec.suspend == Some(true) {
        "suspended"
    } else {
        "running"
    };
    (Some(spec.template), runs.to_owned())
}

fn replica_set(object: ReplicaSet) -> Makes {
    let spec = object.spec.unwrap_or_default();
    (spec.template, replicas(spec.replicas))
}

fn replication_controller(object: ReplicationController) -> Makes {
    let spec = object.spec.unwrap_or_default();
    (spec.template, replicas(spec.replicas))
}

impl Row for Workload {
    const HEADER: &'static [&'static str] = &["KIND", "WORKLOAD", "SERVICEACCOUNT", "RUNS", "GETS"];

    fn cells(&self, _: Timestamp) -> Vec<String> {
        vec![
            self.kind.clone(),
            self.workload.clone(),
            self.service_account.clone(),
            one_line(&self.runs, WIDTH),
            one_line(&self.gets, WIDTH),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_that_runs_no_more_is_not_said_to_run() {
        let template = json!({"spec": {"containers": []}});
        let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        let done = json!({
            "completionTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": "Complete", "status": "True"}],
        });
        for (suspend, status, runs) in [
            (false, json!({}), "running"),
            (true, json!({}), "suspended"),
            (false, done, "done"),
            (false, failed, "failed"),
        ] {
            let spec = json!({"suspend": suspend, "template": template});
            let object = serde_json::from_value(json!({"spec": spec, "status": status}));
            assert_eq!(job(object.unwrap()).1, runs);
        }
    }
}
