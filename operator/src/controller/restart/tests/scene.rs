//! A vault, workloads whose pods use it, and a controller that leads.

use http::Method;
use secretvault_crds::{SecretVaultSpec, SecretVaultStatus};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::*;
use crate::consumers::{Usage, Usages, Use, fake::FakeApi};

pub(super) struct Scene {
    pub(super) server: FakeApi,
    vaults: Vaults,
    told: watch::Sender<Known>,
    controller: JoinHandle<()>,
    pods: Vec<(String, Use)>,
}

impl Scene {
    /// A vault whose contents are of generation 1, and a controller.
    pub(super) fn begin() -> Self {
        let (server, vaults) = (FakeApi::default(), Vaults::of([vault(1)]));
        let (told, _) = watch::channel(None);
        let controller = lead(&server, &vaults, &told);
        Self {
            server,
            vaults,
            told,
            controller,
            pods: Vec::new(),
        }
    }

    /// A running pod that asks for restarts and was made when the vault's generation was 1.
    pub(super) fn pod(&mut self, name: &str, owner: &Value) {
        self.server.object(
            &format!("/api/v1/namespaces/shop/pods/{name}"),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                    "annotations": {"secretvault.dev/on-change": "restart"},
                    "ownerReferences": [owner],
                },
                "status": {"phase": "Running"},
            }),
        );
        let usage = Use {
            since: 1,
            restart: true,
            overridden: Vec::new(),
            uid: format!("uid-{name}"),
            ..Use::default()
        };
        self.pods.push((name.to_owned(), usage));
        self.report();
    }

    /// A Deployment with its ReplicaSet and a pod; it has rolled out.
    pub(super) fn deployment(&mut self, name: &str) {
        let set = format!("{name}-1");
        self.server.object(
            &format!("/apis/apps/v1/namespaces/shop/replicasets/{set}"),
            json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": set, "uid": format!("uid-{set}"), "ownerReferences": [owner("Deployment", name)]},
                "spec": {"selector": {}},
            }),
        );
        let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        self.workload("deployments", name, &status);
        self.pod(&format!("{set}-pod"), &owner("ReplicaSet", &set));
    }

    pub(super) fn workload(&self, plural: &str, name: &str, status: &Value) {
        let object = json!({
            "apiVersion": "apps/v1",
            "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1, "resourceVersion": "1"},
            "spec": {"selector": {}, "serviceName": "", "template": {"metadata": {"annotations": {"secretvault.dev/on-change": "restart"}}}},
            "status": status,
        });
        self.server.object(&path(plural, name), object);
    }

    /// What the replicas say of the consumers.
    pub(super) fn report(&self) {
        let usage = Arc::new(Usage::of(self.pods.clone()));
        let usages: Usages = [("u".to_owned(), usage)].into();
        self.told.send_replace(Some(Arc::new(usages)));
    }

    pub(super) fn edit(&self, generation: i64) {
        self.vaults.arrive(vault(generation));
    }

    /// Has all rollouts of Deployments end.
    pub(super) fn finish(&self) {
        for (name, _) in self.rolled() {
            let mut deployment = self.server.stored(&path("deployments", &name));
            let generation = deployment["metadata"]["generation"].clone();
            deployment["status"]["observedGeneration"] = generation;
            self.server.object(&path("deployments", &name), deployment);
        }
    }

    /// What was written to workloads: their names, and for which changes.
    pub(super) fn rolled(&self) -> Vec<(String, String)> {
        let patches = self
            .server
            .asked(&Method::PATCH, "/apis/apps/v1/")
            .into_iter();
        patches
            .map(|patch| {
                let name = patch.path.rsplit('/').next().unwrap_or_default().to_owned();
                let annotations = &patch.body["spec"]["template"]["metadata"]["annotations"];
                let changes = annotations["secretvault.dev/restarted-at"].as_str();
                (name, changes.unwrap_or_default().to_owned())
            })
            .collect()
    }

    /// The Events: about what, why, and in which words.
    pub(super) fn events(&self) -> Vec<(String, String, String)> {
        let events = self.server.asked(&Method::POST, "/events").into_iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events
            .map(|event| {
                let event = event.body;
                (
                    text(&event["regarding"]["name"]),
                    text(&event["reason"]),
                    text(&event["note"]),
                )
            })
            .collect()
    }

    /// Somebody else leads, and remembers nothing.
    pub(super) fn change_leader(&mut self) {
        self.controller.abort();
        self.controller = lead(&self.server, &self.vaults, &self.told);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

pub(super) fn lead(
    server: &FakeApi,
    vaults: &Vaults,
    told: &watch::Sender<Known>,
) -> JoinHandle<()> {
    let controller = RestartController {
        client: server.client(),
        vaults: vaults.clone(),
        consumers: told.subscribe(),
        events: Events::new(server.client(), "pod"),
        metrics: ControllerMetrics::default(),
    };
    tokio::spawn(controller.run())
}

pub(super) fn vault(generation: i64) -> SecretVault {
    let mut vault = SecretVault::new("app", SecretVaultSpec::default());
    vault.metadata.namespace = Some("shop".into());
    vault.metadata.uid = Some("u".into());
    vault.metadata.generation = Some(generation);
    vault.status = Some(SecretVaultStatus {
        observed_generation: Some(generation),
        content_generation: Some(generation),
        ..SecretVaultStatus::default()
    });
    vault
}

pub(super) fn owner(kind: &str, name: &str) -> Value {
    let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    json!({"apiVersion": group, "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true})
}

pub(super) fn path(plural: &str, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/shop/{plural}/{name}")
}
