//! Edit → file: from the moment that a change is sent to the API server until a pod's volume shows it.
//!
//! The clock starts before the request is sent, so the API server's own time and the sealing are in
//! it, and ends when inotify says that the volume's `..data` was swapped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use secretvault_e2e::{Namespace, STATE, Vault};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Failure;
use crate::cost::{self, Calls, Parts};
use crate::pods::{Pods, sleeper, vault_volume};
use crate::report::Report;
use crate::times::{Millis, Times};

pub(crate) async fn measure(client: &Client, report: &mut Report) -> Result<(), Failure> {
    report.section(
        "Edit → file",
        "Goal: p50 at most 25 ms and p99 at most 100 ms; ceiling: p99 at most 500 ms. Each edit is of one entry; the times are of each volume that shows it, and begin before the patch is sent.",
    );
    cost::memory(report, "without volumes")?;
    few(client, report).await?;
    many(client, report).await
}

/// Ten volumes of one vault.
async fn few(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let scene = Scene::set(client, "bench-few", 10, 1, |_| "all".to_owned(), &["all"]).await?;
    cost::memory(report, "10 volumes")?;
    head(report);
    let (calls, parts) = (Calls::so_far()?, Parts::so_far());
    scene
        .edits(
            report,
            "10 volumes, all of one vault",
            &["all".to_owned()],
            EDITS,
        )
        .await?;
    parts.told_since(report);
    calls.told_since(report, u32::try_from(EDITS)?, "change that 10 volumes show")?;
    scene.pods.clear().await
}

/// Three hundred volumes: each of a vault that ten volumes have, and of one that all have.
async fn many(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let own: Vec<String> = (0..VAULTS).map(|vault| format!("own-{vault}")).collect();
    let mut names: Vec<&str> = own.iter().map(String::as_str).collect();
    names.push("all");
    let vaults = |volume: usize| format!("own-{}, all", volume % VAULTS);
    let scene = Scene::set(client, "bench-many", 30, 10, vaults, &names).await?;
    cost::memory(report, "300 volumes")?;
    head(report);
    scene
        .edits(
            report,
            "300 volumes, of which 10 show the edited vault",
            &own,
            EDITS,
        )
        .await?;
    scene
        .edits(
            report,
            "300 volumes, all show the edited vault",
            &["all".to_owned()],
            FAN_OUTS,
        )
        .await?;
    cost::memory(report, "300 volumes, after the edits")?;
    scene.pods.clear().await
}

/// Volumes that one agent serves, by tens.
pub(crate) async fn sizes(client: &Client, report: &mut Report) -> Result<(), Failure> {
    report.section(
        "Memory of one agent",
        "All volumes are on one node, of pods that came at once. Goal: at most 4 MiB anonymous at 30 volumes and 10 MiB at 250; ceiling: 8 MiB at 30.",
    );
    let namespace = Namespace::create("bench-sizes");
    let _ = Vault::named("app")
        .text("entry", "value")
        .apply(&namespace)
        .expect_success();
    let pods = Pods::of(client, namespace.name());
    let mut number = 0;
    for (add, all) in [(3, "30"), (22, "250")] {
        let manifests: Vec<Value> = (number..number + add)
            .map(|pod| {
                let volumes: Vec<Value> = (0..10)
                    .map(|volume| vault_volume(&format!("v{volume}"), "app"))
                    .collect();
                let mut manifest = sleeper(&format!("pod-{pod}"), &volumes);
                manifest["spec"]["nodeName"] = json!("node-b");
                manifest
            })
            .collect();
        pods.start(&manifests).await?;
        number += add;
        cost::memory(report, &format!("{all} volumes on one node"))?;
    }
    pods.clear().await
}

fn head(report: &mut Report) {
    report.table(&[
        "mounted",
        "edits",
        "times",
        "p50",
        "p99",
        "max",
        "the patch alone, p50",
        "patch of a native Secret, p50",
    ]);
}

/// Pods with volumes, and an eye on each volume.
struct Scene {
    _namespace: Namespace,
    vaults: Api<DynamicObject>,
    /// What a change of a Secret takes, in the same minute.
    secrets: Api<Secret>,
    pods: Pods,
    watched: Watched,
    /// How many volumes show each vault.
    shown: BTreeMap<String, usize>,
}

impl Scene {
    async fn set(
        client: &Client,
        name: &str,
        pods: usize,
        volumes: usize,
        vaults_of: impl Fn(usize) -> String,
        vaults: &[&str],
    ) -> Result<Self, Failure> {
        let namespace = Namespace::create(name);
        for vault in vaults {
            let vault = Vault::named(vault).text(&format!("{vault}/entry"), "first");
            let _ = vault.apply(&namespace).expect_success();
        }
        let mut shown = BTreeMap::new();
        let manifests: Vec<Value> = (0..pods)
            .map(|pod| {
                let volumes: Vec<Value> = (0..volumes)
                    .map(|volume| {
                        let vaults = vaults_of(pod * volumes + volume);
                        for vault in vaults.split(", ") {
                            *shown.entry(vault.to_owned()).or_default() += 1;
                        }
                        vault_volume(&format!("v{volume}"), &vaults)
                    })
                    .collect();
                sleeper(&format!("pod-{pod}"), &volumes)
            })
            .collect();
        let pods = Pods::of(client, namespace.name());
        pods.start(&manifests).await?;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace.name());
        let beside = json!({"metadata": {"name": BESIDE}, "stringData": {"entry": "first"}});
        let beside = serde_json::from_value(beside)?;
        secrets.create(&PostParams::default(), &beside).await?;
        let kind = GroupVersionKind::gvk("secretvault.dev", "v1alpha1", "SecretVault");
        let resource = ApiResource::from_gvk_with_plural(&kind, "secretvaults");
        let watched = Watched::of(&pods.places().await?)?;
        // kubelet publishes each volume twice at first, and agents settle.
        sleep(Duration::from_secs(3)).await;
        Ok(Self {
            vaults: Api::namespaced_with(client.clone(), namespace.name(), &resource),
            secrets,
            _namespace: namespace,
            pods,
            watched,
            shown,
        })
    }

    /// Edits the vaults in turn, and tells when their volumes showed it.
    async fn edits(
        &self,
        report: &mut Report,
        what: &str,
        vaults: &[String],
        edits: usize,
    ) -> Result<(), Failure> {
        let (mut arrivals, mut answers, mut native) =
            (Times::default(), Times::default(), Times::default());
        for edit in 0..edits {
            let vault = &vaults[edit % vaults.len()];
            let expected = self.shown.get(vault).copied().unwrap_or_default();
            self.watched.forget()?;
            let patch =
                json!({"spec": {"data": {format!("{vault}/entry"): format!("edit {edit}")}}});
            let begun = Instant::now();
            self.vaults
                .patch(vault, &PatchParams::default(), &Patch::Merge(&patch))
                .await?;
            answers.add(begun.elapsed());
            arrivals.extend(self.watched.swaps(expected, begun).await?);
            // Edits of people come one at a time.
            sleep(PAUSE).await;
            let patch = json!({"stringData": {"entry": format!("edit {edit}")}});
            let begun = Instant::now();
            self.secrets
                .patch(BESIDE, &PatchParams::default(), &Patch::Merge(&patch))
                .await?;
            native.add(begun.elapsed());
        }
        report.row(&[
            what.to_owned(),
            edits.to_string(),
            arrivals.count().to_string(),
            Millis(arrivals.percentile(50)).to_string(),
            Millis(arrivals.percentile(99)).to_string(),
            Millis(arrivals.percentile(100)).to_string(),
            Millis(answers.median()).to_string(),
            Millis(native.median()).to_string(),
        ]);
        Ok(())
    }
}

/// Directories of volumes, with inotify on each.
struct Watched {
    inotify: Inotify,
}

impl Watched {
    fn of(places: &[(String, String)]) -> Result<Self, Failure> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        for (node, pod) in places {
            for volume in std::fs::read_dir(volumes_of(node, pod)?)? {
                let directory = volume?.path().join("mount");
                inotify.add_watch(&directory, AddWatchFlags::IN_MOVED_TO)?;
            }
        }
        Ok(Self { inotify })
    }

    /// Forgets what has happened.
    fn forget(&self) -> Result<(), Failure> {
        self.read().map(drop)
    }

    /// When each of so many volumes was first swapped, after `begun`.
    async fn swaps(&self, expected: usize, begun: Instant) -> Result<Vec<Duration>, Failure> {
        let (mut seen, mut times) = (BTreeSet::new(), Vec::new());
        while seen.len() < expected {
            if begun.elapsed() > PATIENCE {
                let missing = expected - seen.len();
                return Err(format!("{missing} of {expected} volumes did not show an edit").into());
            }
            for volume in self.read()? {
                if seen.insert(volume) {
                    times.push(begun.elapsed());
                }
            }
            sleep(LOOK).await;
        }
        Ok(times)
    }

    /// The volumes that were swapped since the last look.
    fn read(&self) -> Result<Vec<WatchDescriptor>, Failure> {
        match self.inotify.read_events() {
            Ok(events) => Ok(events
                .into_iter()
                .filter(|event| event.name.as_deref().is_some_and(|name| name == "..data"))
                .map(|event| event.wd)
                .collect()),
            Err(Errno::EAGAIN) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where a pod's volumes of our kind lie, as seen from the machine: in its node's own mounts.
fn volumes_of(node: &str, pod: &str) -> Result<PathBuf, Failure> {
    let pid = std::fs::read_to_string(format!("{STATE}/run/{node}-holder.pid"))?;
    // Beside it stands when the process was started.
    let pid = pid.split_whitespace().next().unwrap_or_default();
    let root = format!("/proc/{pid}/root");
    Ok(PathBuf::from(format!(
        "{root}/var/lib/kubelet/pods/{pod}/volumes/kubernetes.io~csi"
    )))
}

/// A Secret that nobody mounts.
const BESIDE: &str = "beside";
const EDITS: usize = 60;
const FAN_OUTS: usize = 10;
const VAULTS: usize = 30;
const PAUSE: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(120);
