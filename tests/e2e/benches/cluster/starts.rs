//! Pod create → Ready: without a volume, with a native Secret, with a vault of the same ten entries.

use std::time::Duration;

use kube::Client;
use secretvault_e2e::{Namespace, Vault};
use serde_json::{Value, json};

use crate::cost::{Calls, Publishes};
use crate::pods::{Pods, secret_volume, sleeper, vault_volume};
use crate::report::Report;
use crate::times::{Millis, Times};
use crate::{Failure, cost};

/// What a pod mounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Secret,
    Vault,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Nothing, Self::Secret, Self::Vault];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no volume",
            Self::Secret => "native Secret",
            Self::Vault => "SecretVault",
        }
    }

    fn volumes(self) -> Vec<Value> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Secret => vec![secret_volume("secrets", "app")],
            Self::Vault => vec![vault_volume("secrets", "app")],
        }
    }
}

pub(crate) async fn measure(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let namespace = Namespace::create("bench-starts");
    entries(&namespace);
    let pods = Pods::of(client, namespace.name());
    // Images and caches, for all alike.
    rounds(&pods, 1, 1).await?;
    one_at_a_time(&pods, report).await?;
    burst(&pods, report).await
}

/// The same ten entries as a vault and as a Secret.
fn entries(namespace: &Namespace) {
    let mut vault = Vault::named("app");
    let mut data = json!({});
    for entry in 0..10 {
        let (name, value) = (format!("entry-{entry}"), format!("value number {entry}"));
        vault = vault.text(&name, &value);
        data[name] = json!(value);
    }
    let _ = vault.apply(namespace).expect_success();
    vault.wait_ready(namespace);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": data,
    });
    let _ = namespace
        .kubectl_with(&["create", "-f", "-"], &secret.to_string())
        .expect_success();
}

async fn one_at_a_time(pods: &Pods, report: &mut Report) -> Result<(), Failure> {
    report.section(
        "Pod create → Ready, one at a time",
        "The three kinds take turns, ten entries each. Goal: at most 1.0 × a native Secret.",
    );
    let (calls, publishes) = (Calls::so_far()?, Publishes::so_far()?);
    let times = rounds(pods, SINGLES, 1).await?;
    table(report, &times);
    let own = u32::try_from(SINGLES)?;
    publishes.told_since(report)?;
    calls.told_since(report, own, "pod with a vault, among two others")
}

async fn burst(pods: &Pods, report: &mut Report) -> Result<(), Failure> {
    report.section(
        &format!("{BURST} pods at once"),
        "Create of the first → Ready of each. Goal: at most 1.03 × a native Secret; NodePublish p95 at most 60 ms.",
    );
    let publishes = Publishes::so_far()?;
    let times = rounds(pods, ROUNDS, BURST).await?;
    table(report, &times);
    publishes.told_since(report)?;
    cost::memory(report, "after the bursts, with no volume left")
}

/// Starts so many pods of each kind at once, turn by turn.
async fn rounds(pods: &Pods, rounds: usize, at_once: usize) -> Result<[Times; 3], Failure> {
    let mut times: [Times; 3] = Default::default();
    for round in 0..rounds {
        for turn in 0..Kind::ALL.len() {
            // No kind is always the first after a pause.
            let which = (round + turn) % Kind::ALL.len();
            let kind = Kind::ALL[which];
            let manifests: Vec<Value> = (0..at_once)
                .map(|pod| sleeper(&format!("pod-{round}-{turn}-{pod}"), &kind.volumes()))
                .collect();
            times[which].extend(pods.start(&manifests).await?);
            pods.clear().await?;
        }
    }
    Ok(times)
}

fn table(report: &mut Report, times: &[Times; 3]) {
    report.table(&[
        "volume",
        "pods",
        "median",
        "p95",
        "slowest",
        "median ÷ native Secret",
    ]);
    for (kind, taken) in Kind::ALL.into_iter().zip(times) {
        report.row(&[
            kind.name().to_owned(),
            taken.count().to_string(),
            shown(taken.median()),
            shown(taken.percentile(95)),
            shown(taken.percentile(100)),
            format!("{:.2}", taken.ratio_to(&times[1])),
        ]);
    }
}

fn shown(time: Duration) -> String {
    Millis(time).to_string()
}

const SINGLES: usize = 15;
const BURST: usize = 30;
const ROUNDS: usize = 3;
