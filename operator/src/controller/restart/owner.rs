//! Who makes a pod anew: asked of the API server, for what a replica publishes is no proof.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Api, Client};
use tokio::time::Instant;

use super::changes::Changes;
use super::due::PodId;
use super::workload::{Kind, State, WorkloadId};
use crate::injection::ask_for_restart;
use crate::vaults::Fault;

/// What is known of the owners of pods. Remembered for a while: the pods of one workload have one
/// answer.
#[derive(Debug, Default)]
pub(super) struct Owners {
    pods: HashMap<String, (Owner, Instant)>,
    controllers: HashMap<String, (Owner, Instant)>,
    /// For which changes workloads were being rolled when they were read.
    rolling: HashMap<WorkloadId, Changes>,
}

/// Who makes a pod anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It cannot be done.
    Nobody(Obstacle),
    /// There is nothing to be done: the pod is gone, about to go, or does not ask.
    NoNeed,
    /// This one.
    Workload(WorkloadId),
}

/// Why a pod cannot be made anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Obstacle {
    /// The operator has not the right.
    #[error(
        "restart is not enabled: a cluster administrator can set restart.enabled in SecretVault's Helm chart; until then, restart the pod yourself"
    )]
    NotEnabled,
    /// Its owner's template says nothing of it.
    #[error(
        "the pod template of its {kind} {name} does not ask for restarts: set secretvault.dev/on-change there"
    )]
    NotAsked {
        /// The owner's kind.
        kind: &'static str,
        /// The owner's name.
        name: String,
    },
    /// Something else owns it.
    #[error(
        "it belongs to {kind} {name}, and only a Deployment, a StatefulSet or a DaemonSet can be restarted: make the pod anew yourself"
    )]
    Other {
        /// The owner's kind.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// Nobody owns it.
    #[error("it belongs to no Deployment, StatefulSet or DaemonSet: make the pod anew yourself")]
    Unowned,
}

impl Owners {
    /// Who makes the pod anew, if that is known.
    pub(super) fn known(&self, pod: &PodId, now: Instant) -> Option<&Owner> {
        let (owner, until) = self.pods.get(&pod.uid)?;
        (now < *until).then_some(owner)
    }

    /// Forgets pods that are not due, and what is known for too long.
    pub(super) fn retain(&mut self, is_due: impl Fn(&str) -> bool, now: Instant) {
        self.pods
            .retain(|uid, (_, until)| now < *until && is_due(uid));
        self.controllers.retain(|_, (_, until)| now < *until);
        let known: HashSet<&WorkloadId> = self.pods.values().filter_map(workload_of).collect();
        self.rolling.retain(|id, _| known.contains(id));
    }

    /// Whether a workload was being rolled for these changes when it was read.
    pub(super) fn rolls(&self, id: &WorkloadId, changes: &Changes) -> bool {
        let recorded = self.rolling.get(id);
        recorded.is_some_and(|recorded| recorded.covers(changes))
    }

    /// Asks the API server.
    pub(super) async fn look_up(&mut self, client: &Client, pod: &PodId) -> Result<(), Fault> {
        let owner = self.owner(client, pod).await?;
        let until = Instant::now() + REMEMBERED;
        self.pods.insert(pod.uid.clone(), (owner, until));
        Ok(())
    }

    async fn owner(&mut self, client: &Client, id: &PodId) -> Result<Owner, Fault> {
        let pods = Api::<Pod>::namespaced(client.clone(), &id.name.namespace);
        let pod = Fault::within(ANSWER, pods.get_opt(&id.name.name)).await?;
        let Some(pod) = pod.filter(|pod| asks(pod, &id.uid)) else {
            return Ok(Owner::NoNeed);
        };
        let Some(controller) = controller(&pod.metadata) else {
            return Ok(Owner::Nobody(Obstacle::Unowned));
        };
        let known = self.controllers.get(&controller.uid);
        if let Some((owner, _)) = known.filter(|(_, until)| Instant::now() < *until) {
            return Ok(owner.clone());
        }
        let owner = self
            .of_controller(client, &id.name.namespace, controller)
            .await?;
        let until = Instant::now() + REMEMBERED;
        self.controllers
            .insert(controller.uid.clone(), (owner.clone(), until));
        Ok(owner)
    }

    async fn of_controller(
        &mut self,
        client: &Client,
        namespace: &str,
        controller: &OwnerReference,
    ) -> Result<Owner, Fault> {
        let found = match kind(controller) {
            Some(Owning::ReplicaSet) => match deployment_of(client, namespace, controller).await {
                Ok(Some(id)) => id,
                Ok(None) => return Ok(Owner::Nobody(other(controller))),
                Err(fault) => return or_not_enabled(fault),
            },
            Some(Owning::Workload(kind)) => workload(kind, namespace, controller),
            None => return Ok(Owner::Nobody(other(controller))),
        };
        match found.read(client).await {
            // Whoever may create pods may say that any workload owns one.
            Ok(Some(workload)) if workload.uid == found.uid && !workload.asks => {
                Ok(Owner::Nobody(Obstacle::NotAsked {
                    kind: found.kind.name(),
                    name: found.name,
                }))
            }
            Ok(Some(workload)) if workload.uid == found.uid => {
                if workload.state == State::Rolling {
                    self.rolling.insert(found.clone(), workload.recorded);
                }
                Ok(Owner::Workload(found))
            }
            Ok(_) => Ok(Owner::NoNeed),
            Err(fault) => or_not_enabled(fault),
        }
    }
}

fn workload_of((owner, _): &(Owner, Instant)) -> Option<&WorkloadId> {
    match owner {
        Owner::Workload(id) => Some(id),
        Owner::Nobody(_) | Owner::NoNeed => None,
    }
}

/// Whether it is this very pod, alive, and asks to be restarted: a pod that does not ask is left
/// alone, whatever a ConfigMap says of it.
fn asks(pod: &Pod, uid: &str) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    let annotations = pod.metadata.annotations.as_ref();
    pod.metadata.uid.as_deref() == Some(uid)
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Succeeded" | "Failed"))
        && annotations.is_some_and(ask_for_restart)
}

/// The Deployment that a ReplicaSet belongs to. None: to no Deployment.
async fn deployment_of(
    client: &Client,
    namespace: &str,
    controller: &OwnerReference,
) -> Result<Option<WorkloadId>, Fault> {
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), namespace);
    let set = Fault::within(ANSWER, sets.get_opt(&controller.name)).await?;
    let set = set.filter(|set| set.metadata.uid.as_ref() == Some(&controller.uid));
    let owner = set.as_ref().and_then(|set| self::controller(&set.metadata));
    let deployment =
        owner.filter(|owner| matches!(kind(owner), Some(Owning::Workload(Kind::Deployment))));
    Ok(deployment.map(|owner| workload(Kind::Deployment, namespace, owner)))
}

fn or_not_enabled(fault: Fault) -> Result<Owner, Fault> {
    match fault {
        Fault::Status(FORBIDDEN) => Ok(Owner::Nobody(Obstacle::NotEnabled)),
        Fault::Answer | Fault::Connection | Fault::Status(_) | Fault::Timeout => Err(fault),
    }
}

/// What may own pods, as far as it is known here.
enum Owning {
    ReplicaSet,
    Workload(Kind),
}

fn kind(owner: &OwnerReference) -> Option<Owning> {
    if !owner.api_version.starts_with("apps/") {
        return None;
    }
    match owner.kind.as_str() {
        "DaemonSet" => Some(Owning::Workload(Kind::DaemonSet)),
        "Deployment" => Some(Owning::Workload(Kind::Deployment)),
        "ReplicaSet" => Some(Owning::ReplicaSet),
        "StatefulSet" => Some(Owning::Workload(Kind::StatefulSet)),
        _ => None,
    }
}

fn workload(kind: Kind, namespace: &str, owner: &OwnerReference) -> WorkloadId {
    WorkloadId {
        kind,
        namespace: namespace.to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    }
}

fn other(owner: &OwnerReference) -> Obstacle {
    Obstacle::Other {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
    }
}

fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(5);
const FORBIDDEN: u16 = 403;
/// How long an answer is good: a right that is granted is noticed after that.
const REMEMBERED: Duration = Duration::from_secs(60);
