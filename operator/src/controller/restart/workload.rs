//! What owns pods and makes them anew when its template changes: as it is now, and how to tell it.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ObjectReference, PodTemplateSpec},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use super::changes::Changes;
use crate::{controller::apply::FIELD_MANAGER, injection::ask_for_restart, vaults::Fault};

/// A workload, by name and UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WorkloadId {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// Which kinds can be rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    DaemonSet,
    Deployment,
    StatefulSet,
}

/// A workload as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) uid: String,
    pub(super) version: String,
    /// Whether its pods ask to be restarted, by its own template's word.
    pub(super) asks: bool,
    /// For which changes its pods were made anew.
    pub(super) recorded: Changes,
    pub(super) state: State,
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is being deleted.
    Deleting,
    /// It makes a pod anew only when somebody deletes it.
    OnDelete,
    /// It makes no pods anew until somebody says so.
    Paused,
    /// Its pods are being made anew.
    Rolling,
    /// Its pods are those of its template.
    Settled,
    /// It gave up making them anew.
    Stuck,
}

impl WorkloadId {
    /// Reads it. None: there is none of that name.
    pub(super) async fn read(&self, client: &Client) -> Result<Option<Workload>, Fault> {
        let (client, namespace) = (client.clone(), self.namespace.as_str());
        match self.kind {
            Kind::DaemonSet => {
                let api = Api::<DaemonSet>::namespaced(client, namespace);
                let found = Fault::within(ANSWER, api.get_opt(&self.name)).await?;
                Ok(found.as_ref().map(Workload::from))
            }
            Kind::Deployment => {
                let api = Api::<Deployment>::namespaced(client, namespace);
                let found = Fault::within(ANSWER, api.get_opt(&self.name)).await?;
                Ok(found.as_ref().map(Workload::from))
            }
            Kind::StatefulSet => {
                let api = Api::<StatefulSet>::namespaced(client, namespace);
                let found = Fault::within(ANSWER, api.get_opt(&self.name)).await?;
                Ok(found.as_ref().map(Workload::from))
            }
        }
    }

    /// Writes into its template for which changes its pods are to be made anew, and nothing else.
    /// If it is not as it was when it was read, the API server refuses.
    pub(super) async fn roll(
        &self,
        client: &Client,
        seen: &Workload,
        changes: &Changes,
    ) -> Result<(), Fault> {
        let patch = Patch::Merge(json!({
            "metadata": {"uid": seen.uid, "resourceVersion": seen.version},
            "spec": {"template": {"metadata": {"annotations": {ANNOTATION: changes.to_string()}}}},
        }));
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let (client, name) = (client.clone(), self.name.as_str());
        match self.kind {
            Kind::DaemonSet => {
                let api = Api::<DaemonSet>::namespaced(client, &self.namespace);
                Fault::within(ANSWER, api.patch(name, &parameters, &patch))
                    .await
                    .map(drop)
            }
            Kind::Deployment => {
                let api = Api::<Deployment>::namespaced(client, &self.namespace);
                Fault::within(ANSWER, api.patch(name, &parameters, &patch))
                    .await
                    .map(drop)
            }
            Kind::StatefulSet => {
                let api = Api::<StatefulSet>::namespaced(client, &self.namespace);
                Fault::within(ANSWER, api.patch(name, &parameters, &patch))
                    .await
                    .map(drop)
            }
        }
    }

    /// For Events.
    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some(self.kind.name().to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

impl Workload {
    fn of(meta: &ObjectMeta, template: Option<&PodTemplateSpec>, state: State) -> Self {
        let annotations = template
            .and_then(|it| it.metadata.as_ref())
            .and_then(|it| it.annotations.as_ref());
        let recorded = annotations.and_then(|it| it.get(ANNOTATION));
        let asks = annotations.is_some_and(ask_for_restart);
        let state = if meta.deletion_timestamp.is_some() {
            State::Deleting
        } else {
            state
        };
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            asks,
            recorded: recorded
                .map(|text| Changes::parse(text))
                .unwrap_or_default(),
            state,
        }
    }
}

impl From<&Deployment> for Workload {
    fn from(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let wanted = spec.and_then(|it| it.replicas).unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        let updated = status.updated_replicas.unwrap_or_default();
        let is_stuck = status.conditions.iter().flatten().any(|it| {
            it.type_ == "Progressing" && it.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        let observed = status.observed_generation >= deployment.metadata.generation;
        let complete = observed
            && updated >= wanted
            && status.replicas.unwrap_or_default() == updated
            && status.available_replicas.unwrap_or_default() >= updated;
        let state = if spec.and_then(|it| it.paused) == Some(true) {
            State::Paused
        } else if complete {
            State::Settled
        } else if observed && is_stuck {
            State::Stuck
        } else {
            State::Rolling
        };
        Self::of(&deployment.metadata, spec.map(|it| &it.template), state)
    }
}

impl From<&StatefulSet> for Workload {
    fn from(set: &StatefulSet) -> Self {
        let spec = set.spec.as_ref();
        let wanted = spec.and_then(|it| it.replicas).unwrap_or(1);
        let strategy = spec.and_then(|it| it.update_strategy.as_ref());
        let partition = strategy
            .and_then(|it| it.rolling_update.as_ref()?.partition)
            .unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let complete = status.observed_generation >= set.metadata.generation
            && status.updated_replicas.unwrap_or_default() >= wanted - partition
            && status.ready_replicas.unwrap_or_default() >= wanted;
        let state = state(strategy.and_then(|it| it.type_.as_deref()), complete);
        Self::of(&set.metadata, spec.map(|it| &it.template), state)
    }
}

impl From<&DaemonSet> for Workload {
    fn from(set: &DaemonSet) -> Self {
        let spec = set.spec.as_ref();
        let strategy = spec.and_then(|it| it.update_strategy.as_ref());
        let status = set.status.clone().unwrap_or_default();
        let wanted = status.desired_number_scheduled;
        let complete = status.observed_generation >= set.metadata.generation
            && status.updated_number_scheduled.unwrap_or_default() >= wanted
            && status.number_available.unwrap_or_default() >= wanted;
        let state = state(strategy.and_then(|it| it.type_.as_deref()), complete);
        Self::of(&set.metadata, spec.map(|it| &it.template), state)
    }
}

fn state(strategy: Option<&str>, complete: bool) -> State {
    if strategy == Some("OnDelete") {
        State::OnDelete
    } else if complete {
        State::Settled
    } else {
        State::Rolling
    }
}

/// Where a pod template says for which changes its pods were made anew.
const ANNOTATION: &str = "secretvault.dev/restarted-at";
/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn read<T: DeserializeOwned>(spec: &Value, status: &Value) -> State
    where
        Workload: for<'a> From<&'a T>,
    {
        let mut object = json!({
            "metadata": {"name": "web", "generation": 2},
            "spec": {"selector": {}, "template": {}, "serviceName": ""},
            "status": status,
        });
        json_patch::merge(&mut object["spec"], spec);
        Workload::from(&serde_json::from_value::<T>(object).unwrap()).state
    }

    #[test]
    fn what_a_deployment_is_doing() {
        let done = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
        let with = |change: Value| {
            let mut status = done.clone();
            json_patch::merge(&mut status, &change);
            status
        };
        let stuck = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        let three = json!({"replicas": 3});
        let cases = [
            (&three, done.clone(), State::Settled),
            (
                &json!({"replicas": 3, "paused": true}),
                done.clone(),
                State::Paused,
            ),
            (
                &three,
                with(json!({"observedGeneration": 1})),
                State::Rolling,
            ),
            (&three, with(json!({"replicas": 4})), State::Rolling),
            (&three, with(json!({"updatedReplicas": 2})), State::Rolling),
            (
                &three,
                with(json!({"availableReplicas": 2})),
                State::Rolling,
            ),
            (
                &three,
                with(json!({"availableReplicas": 2, "conditions": stuck})),
                State::Stuck,
            ),
            (
                &three,
                with(json!({"observedGeneration": 1, "conditions": stuck})),
                State::Rolling,
            ),
            (
                &json!({"replicas": 0}),
                json!({"observedGeneration": 2}),
                State::Settled,
            ),
            (&json!({}), json!({}), State::Rolling),
        ];
        for (spec, status, expected) in cases {
            assert_eq!(
                read::<Deployment>(spec, &status),
                expected,
                "{spec} {status}"
            );
        }
    }

    #[test]
    fn what_a_stateful_set_is_doing() {
        let status = |observed: i64, updated: i64, ready: i64| json!({"observedGeneration": observed, "replicas": 3, "updatedReplicas": updated, "readyReplicas": ready});
        let rolling = json!({"replicas": 3});
        let partition = json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
        let on_delete = json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}});
        let cases = [
            (&rolling, status(2, 3, 3), State::Settled),
            (&rolling, status(1, 3, 3), State::Rolling),
            (&rolling, status(2, 2, 3), State::Rolling),
            (&rolling, status(2, 3, 2), State::Rolling),
            (&partition, status(2, 1, 3), State::Settled),
            (&partition, status(2, 0, 3), State::Rolling),
            (&on_delete, status(2, 3, 3), State::OnDelete),
        ];
        for (spec, status, expected) in cases {
            assert_eq!(
                read::<StatefulSet>(spec, &status),
                expected,
                "{spec} {status}"
            );
        }
    }

    #[test]
    fn what_a_daemon_set_is_doing() {
        let status = |observed: i64, updated: i64, available: i64| json!({"observedGeneration": observed, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2, "updatedNumberScheduled": updated, "numberAvailable": available});
        let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
        let cases = [
            (&json!({}), status(2, 2, 2), State::Settled),
            (&json!({}), status(1, 2, 2), State::Rolling),
            (&json!({}), status(2, 1, 2), State::Rolling),
            (&json!({}), status(2, 2, 1), State::Rolling),
            (&on_delete, status(2, 2, 2), State::OnDelete),
        ];
        for (spec, status, expected) in cases {
            assert_eq!(
                read::<DaemonSet>(spec, &status),
                expected,
                "{spec} {status}"
            );
        }
    }

    #[test]
    fn what_is_being_deleted_is_doing_nothing_else() {
        let object = json!({
            "metadata": {"name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"paused": true, "selector": {}, "template": {}},
        });
        let deployment: Deployment = serde_json::from_value(object).unwrap();
        assert_eq!(Workload::from(&deployment).state, State::Deleting);
    }

    #[test]
    fn the_record_is_in_the_template() {
        let template = json!({"metadata": {"annotations": {ANNOTATION: "u@5"}}});
        let object = json!({"metadata": {}, "spec": {"selector": {}, "template": template}});
        let deployment: Deployment = serde_json::from_value(object).unwrap();
        assert_eq!(Workload::from(&deployment).recorded, Changes::parse("u@5"));
    }
}
