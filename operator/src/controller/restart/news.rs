//! What is told of restarts. Names of vaults at most.

use k8s_openapi::api::core::v1::ObjectReference;

use super::{due::PodId, owner::Obstacle, plan::Hold};
use crate::{events::News, vaults::Fault};

pub(super) fn begun(vaults: &str) -> News {
    News {
        warning: false,
        reason: "Restarting",
        note: format!(
            "{vaults} changed, and the pods ask for it ({ON_CHANGE}): they are made anew, as the update strategy says"
        ),
    }
}

pub(super) fn held(hold: Hold, vaults: &str) -> News {
    let advice = match hold {
        Hold::OnDelete => {
            "the update strategy is OnDelete: delete the pods, and their successors have the new contents"
        }
        Hold::Paused => "the rollout is paused: once it is resumed, the pods are made anew",
    };
    News {
        warning: true,
        reason: "NotRestarted",
        note: format!("{vaults} changed, and the pods ask for it ({ON_CHANGE}), but {advice}"),
    }
}

pub(super) fn refused(fault: Fault, vaults: &str) -> News {
    News {
        warning: true,
        reason: "NotRestarted",
        note: format!(
            "{vaults} changed, and the pods ask for it ({ON_CHANGE}), but the pod template cannot be changed: {fault}; it is tried again"
        ),
    }
}

pub(super) fn unfinished(why: &str) -> News {
    News {
        warning: true,
        reason: "RestartUnfinished",
        note: format!("the rollout that a changed vault caused {why}; it is not watched any more"),
    }
}

pub(super) fn impossible(obstacle: &Obstacle, vaults: &str) -> News {
    News {
        warning: true,
        reason: "NotRestarted",
        note: format!("{vaults} changed, and the pod asks for it ({ON_CHANGE}), but {obstacle}"),
    }
}

pub(super) fn about(pod: &PodId) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.name.namespace.clone()),
        name: Some(pod.name.name.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectReference::default()
    }
}

const ON_CHANGE: &str = "secretvault.dev/on-change: restart";
