//! The living pod: what the API server says of it now, and whether it may still be served.
//!
//! A token outlives its pod: it reviews as valid for the pod's grace time and about a minute more.
//! So each release reads the pod itself, never from a cache. What access rules look at, its labels,
//! comes from here too, and so does what its annotations say of changes.
//!
//! **A pod that is being deleted** still runs, for its grace time, and may need a rotated value to
//! end its work: what it holds is kept current. It gets no first grant: kubelet mounts nothing for
//! such a pod, so whoever asks has other reasons.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use secretvault_vault::Subject;
use std::time::Duration;
use thiserror::Error;

use super::identity::PodIdentity;
use crate::injection::{ask_for_restart, ask_for_variables};
use crate::vaults::Fault;

/// Reads the pod that a token names. None: there is none of that name.
pub(super) async fn read(client: &Client, identity: &PodIdentity) -> Result<Option<Pod>, Fault> {
    let pods = Api::<Pod>::namespaced(client.clone(), &identity.namespace);
    Fault::within(DEADLINE, pods.get_opt(&identity.name)).await
}

/// A pod that may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LivePod {
    /// As whom. The labels of its namespace are not read yet.
    pub(super) subject: Subject,
    /// Its launcher makes variables of the files: they are as old as its containers.
    pub(super) env: bool,
    /// Its owner is to be rolled when a vault changes.
    pub(super) restart: bool,
}

/// Decides whether the pod that a token names may be served, and as whom.
///
/// # Errors
/// It is not that pod (any more), or it has ended.
pub(super) fn live(
    pod: Option<&Pod>,
    identity: &PodIdentity,
    holds_files: bool,
) -> Result<LivePod, PodError> {
    let pod = pod.ok_or(PodError::Gone)?;
    if pod.metadata.uid.as_deref() != Some(&identity.uid) {
        return Err(PodError::Replaced);
    }
    let spec = pod.spec.as_ref().ok_or(PodError::OtherNode)?;
    if spec.node_name.as_deref() != Some(&identity.node) {
        return Err(PodError::OtherNode);
    }
    if spec.service_account_name.as_deref() != Some(&identity.service_account) {
        return Err(PodError::OtherAccount);
    }
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Err(PodError::Ended);
    }
    if pod.metadata.deletion_timestamp.is_some() && !holds_files {
        return Err(PodError::Terminating);
    }
    let annotations = pod.metadata.annotations.as_ref();
    Ok(LivePod {
        subject: Subject {
            namespace: identity.namespace.clone(),
            service_account: identity.service_account.clone(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            ..Subject::default()
        },
        env: annotations.is_some_and(ask_for_variables),
        restart: annotations.is_some_and(ask_for_restart),
    })
}

/// Why a pod is not served although its token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum PodError {
    /// Its phase is Succeeded or Failed.
    #[error("the pod has ended")]
    Ended,
    /// There is no pod of this name.
    #[error("the pod does not exist any more")]
    Gone,
    /// It runs as another service account than the token's.
    #[error("the pod has another service account than its token")]
    OtherAccount,
    /// It is bound to another node, or to none.
    #[error("the pod is not bound to the agent's node")]
    OtherNode,
    /// There is another pod of the same name.
    #[error("the pod was replaced by another of the same name")]
    Replaced,
    /// It is being deleted and holds nothing yet.
    #[error("the pod is being deleted")]
    Terminating,
}

/// How long reading one pod may take.
const DEADLINE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

    fn identity() -> PodIdentity {
        PodIdentity {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: "pod-uid".to_owned(),
            service_account: "web".to_owned(),
            node: "node-a".to_owned(),
        }
    }

    fn running() -> Pod {
        Pod {
            metadata: ObjectMeta {
                uid: Some("pod-uid".to_owned()),
                labels: Some([("app".to_owned(), "web".to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                node_name: Some("node-a".to_owned()),
                service_account_name: Some("web".to_owned()),
                ..PodSpec::default()
            }),
            status: Some(PodStatus {
                phase: Some("Running".to_owned()),
                ..PodStatus::default()
            }),
        }
    }

    fn with(change: impl FnOnce(&mut Pod)) -> Pod {
        let mut pod = running();
        change(&mut pod);
        pod
    }

    fn set_phase(pod: &mut Pod, phase: &str) {
        pod.status.as_mut().unwrap().phase = Some(phase.to_owned());
    }

    fn being_deleted() -> Pod {
        with(|pod| pod.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH)))
    }

    #[test]
    fn a_living_pod_is_served_with_its_live_labels() {
        let served = live(Some(&running()), &identity(), false).unwrap().subject;
        assert_eq!(served.namespace, "shop");
        assert_eq!(served.service_account, "web");
        assert_eq!(served.labels, [("app".to_owned(), "web".to_owned())].into());
        let pending = with(|pod| set_phase(pod, "Pending"));
        assert!(live(Some(&pending), &identity(), false).is_ok());
    }

    #[test]
    fn what_a_pod_says_of_changes_is_read_from_the_living_pod() {
        let of = |annotations: &[(&str, &str)]| {
            let pairs = annotations.iter();
            let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let annotations = Some(pairs.collect());
            let pod = with(|pod| pod.metadata.annotations = annotations);
            let live = live(Some(&pod), &identity(), false).unwrap();
            (live.env, live.restart)
        };
        assert_eq!(of(&[]), (false, false));
        let (env, on_change) = ("secretvault.dev/env", "secretvault.dev/on-change");
        assert_eq!(of(&[(env, "true"), (on_change, "restart")]), (true, true));
        assert_eq!(of(&[(env, "false"), (on_change, "none")]), (false, false));
        assert_eq!(
            of(&[(env, "yes"), (on_change, "signal:HUP")]),
            (false, false)
        );
        assert_eq!(of(&[("secretvault.dev/envy", "true")]), (false, false));
    }

    #[test]
    fn a_pod_that_is_not_the_tokens_or_has_ended_is_refused() {
        type Change = fn(&mut Pod);
        let cases: [(Change, PodError); 10] = [
            (
                |pod| pod.metadata.uid = Some("other".to_owned()),
                PodError::Replaced,
            ),
            (|pod| pod.metadata.uid = None, PodError::Replaced),
            (|pod| pod.spec = None, PodError::OtherNode),
            (
                |pod| pod.spec.as_mut().unwrap().node_name = None,
                PodError::OtherNode,
            ),
            (
                |pod| pod.spec.as_mut().unwrap().node_name = Some("node-b".to_owned()),
                PodError::OtherNode,
            ),
            (
                |pod| pod.spec.as_mut().unwrap().service_account_name = Some("db".to_owned()),
                PodError::OtherAccount,
            ),
            (
                |pod| pod.spec.as_mut().unwrap().service_account_name = None,
                PodError::OtherAccount,
            ),
            (|pod| set_phase(pod, "Succeeded"), PodError::Ended),
            (|pod| set_phase(pod, "Failed"), PodError::Ended),
            (
                |pod| {
                    pod.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
                },
                PodError::Terminating,
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(live(Some(&with(change)), &identity(), false), Err(expected));
        }
        assert_eq!(live(None, &identity(), false), Err(PodError::Gone));
    }

    #[test]
    fn a_pod_that_is_being_deleted_keeps_what_it_holds_current() {
        assert!(live(Some(&being_deleted()), &identity(), true).is_ok());
        assert_eq!(
            live(Some(&being_deleted()), &identity(), false),
            Err(PodError::Terminating)
        );
    }
}
