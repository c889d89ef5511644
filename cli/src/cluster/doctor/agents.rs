//! The nodes: whether each has an agent that kubelet knows, what its kernel can, and its clock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode};
use kube::{Api, ResourceExt};

use super::{Finding, Patient, scrape, some, webhook::is_part};

/// Whether pods with vaults start on every node, and whether values can reach a swap device there.
pub(super) async fn agents(patient: &Patient<'_>) -> Vec<Finding> {
    let cluster = &patient.cluster;
    let mut findings = vec![driver(patient).await];
    let pods = Api::<Pod>::namespaced(cluster.client(), patient.system);
    let (nodes, drivers, pods) = match (
        cluster.everywhere::<Node>().await,
        cluster.everywhere::<CSINode>().await,
        cluster.all(pods).await,
    ) {
        (Ok(nodes), Ok(drivers), Ok(pods)) => (nodes, drivers, pods),
        (Err(blind), _, _) | (_, Err(blind), _) | (_, _, Err(blind)) => {
            findings.push(Finding::blind("agents", &blind));
            return findings;
        }
    };
    let agents: BTreeMap<String, &Pod> = pods
        .iter()
        .filter(|pod| is_part(pod, "node-agent"))
        .filter_map(|pod| Some((pod.spec.as_ref()?.node_name.clone()?, pod)))
        .collect();
    let knows = |it: &&CSINode| it.spec.drivers.iter().any(|driver| driver.name == DRIVER);
    let known: BTreeSet<String> = drivers
        .iter()
        .filter(knows)
        .map(ResourceExt::name_any)
        .collect();
    let nodes: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
    findings.extend(present(&nodes, &agents, &known));
    findings.extend(kernels(patient, &agents).await);
    findings
}

async fn driver(patient: &Patient<'_>) -> Finding {
    let drivers = Api::<CSIDriver>::all(patient.cluster.client());
    let spec = match patient.cluster.one(drivers, DRIVER).await {
        Err(blind) => return Finding::blind("agents", &blind),
        Ok(None) => {
            let text = format!("there is no CSIDriver {DRIVER}: no volume can be mounted");
            return Finding::wrong("agents", text);
        }
        Ok(Some(driver)) => driver.spec,
    };
    let tokens = spec.token_requests.unwrap_or_default();
    let tells = spec.pod_info_on_mount == Some(true)
        && spec.requires_republish == Some(true)
        && tokens.iter().any(|token| token.audience == DRIVER);
    if tells {
        return Finding::good("agents", format!("CSIDriver {DRIVER} is as it should be"));
    }
    let text = format!(
        "CSIDriver {DRIVER} was changed: it needs podInfoOnMount, requiresRepublish and a token of \
         audience {DRIVER}; helm upgrade brings them back"
    );
    Finding::wrong("agents", text)
}

fn present(
    nodes: &[String],
    agents: &BTreeMap<String, &Pod>,
    known: &BTreeSet<String>,
) -> Vec<Finding> {
    let (mut none, mut broken, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for node in nodes {
        match agents.get(node) {
            None => none.push(node.clone()),
            Some(pod) if !is_ready(pod) => broken.push(node.clone()),
            Some(_) if !known.contains(node) => unknown.push(node.clone()),
            Some(_) => {}
        }
    }
    let mut findings = Vec::new();
    let stuck = "no pod with a vault starts or ends there";
    if !broken.is_empty() {
        let text = format!("not ready on {}: {stuck}", some(&broken));
        findings.push(Finding::wrong("agents", text));
    }
    if !unknown.is_empty() {
        let text = format!(
            "kubelet does not know the agent of {}: {stuck}",
            some(&unknown)
        );
        findings.push(Finding::wrong("agents", text));
    }
    if !none.is_empty() {
        let text = format!("none on {}: {stuck}", some(&none));
        findings.push(Finding::warning("agents", text));
    }
    if findings.is_empty() {
        let text = format!("ready on all {} nodes", nodes.len());
        findings.push(Finding::good("agents", text));
    }
    findings
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

/// What the agents say of their kernels, and of their streams.
async fn kernels(patient: &Patient<'_>, agents: &BTreeMap<String, &Pod>) -> Vec<Finding> {
    let (mut swaps, mut deaf, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
    for (node, pod) in agents {
        let Ok(text) = scrape::metrics(patient, &pod.name_any()).await else {
            unseen.push(node.clone());
            continue;
        };
        match scrape::sum(&text, "secretvault_agent_noswap", "") {
            None => unseen.push(node.clone()),
            Some(noswap) if noswap < 1.0 => swaps.push(node.clone()),
            Some(_) => {}
        }
        if scrape::sum(&text, "secretvault_agent_watch_connected", "") == Some(0.0) {
            deaf.push(node.clone());
        }
    }
    let mut findings = Vec::new();
    if !swaps.is_empty() {
        let text = format!(
            "the kernel of {} has no tmpfs without swap (6.4 has): values in memory may reach a \
             swap device; turn swap off, or encrypt it",
            some(&swaps)
        );
        findings.push(Finding::warning("noswap", text));
    }
    if !unseen.is_empty() {
        let text = format!(
            "metrics of the agents on {} cannot be seen: it needs get of pods/proxy in {}",
            some(&unseen),
            patient.system
        );
        findings.push(Finding::unseen("noswap", text));
    }
    if findings.is_empty() {
        let text = "no value in a volume can reach a swap device";
        findings.push(Finding::good("noswap", text));
    }
    if !deaf.is_empty() {
        let text = format!(
            "not told of changes on {}: they come by kubelet's republish alone",
            some(&deaf)
        );
        findings.push(Finding::warning("agents", text));
    }
    findings
}

/// Whether nodes' clocks go as the API server's: tokens and certificates are good for a time.
///
/// kubelet writes its own time into its lease, and the API server notes with its own when that was.
pub(super) async fn clocks(patient: &Patient<'_>) -> Vec<Finding> {
    let leases = Api::<Lease>::namespaced(patient.cluster.client(), "kube-node-lease");
    let leases = match patient.cluster.all(leases).await {
        Err(blind) => return vec![Finding::blind("clocks", &blind)],
        Ok(leases) => leases,
    };
    let offsets: Vec<(String, SignedDuration)> = leases.iter().filter_map(offset).collect();
    if offsets.is_empty() {
        let text = "no node's lease tells its time";
        return vec![Finding::unseen("clocks", text)];
    }
    judged(&offsets)
}

fn judged(offsets: &[(String, SignedDuration)]) -> Vec<Finding> {
    let beyond = |bound: SignedDuration| {
        let off = offsets.iter().filter(|(_, offset)| offset.abs() > bound);
        let off = off.map(|(node, offset)| format!("{node} by {} s", offset.as_secs()));
        off.collect::<Vec<String>>()
    };
    let (far, off) = (beyond(FAR), beyond(OFF));
    let text = |nodes: &[String]| format!("differ from the API server's: {}", some(nodes));
    if !far.is_empty() {
        let text = format!("{}: tokens and certificates may be refused", text(&far));
        return vec![Finding::wrong("clocks", text)];
    }
    if !off.is_empty() {
        return vec![Finding::warning("clocks", text(&off))];
    }
    let text = format!(
        "those of {} nodes go as the API server's, to {} s",
        offsets.len(),
        OFF.as_secs()
    );
    vec![Finding::good("clocks", text)]
}

/// How far a node's clock is ahead of the API server's.
fn offset(lease: &Lease) -> Option<(String, SignedDuration)> {
    let renewed = lease.spec.as_ref()?.renew_time.as_ref()?;
    let written = lease.metadata.managed_fields.iter().flatten();
    let written = written.filter_map(|it| it.time.as_ref()).map(|it| it.0);
    Some((lease.name_any(), renewed.0.duration_since(written.max()?)))
}

const DRIVER: &str = "csi.secretvault.dev";

/// What a slow write explains.
const OFF: SignedDuration = SignedDuration::from_secs(10);

/// What the API server forgives a token's time.
const FAR: SignedDuration = SignedDuration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::doctor::State;

    fn pod(ready: &str) -> Pod {
        let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
        serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
    }

    #[test]
    fn a_node_without_a_ready_agent_that_kubelet_knows_is_named() {
        let (up, down) = (pod("True"), pod("False"));
        let nodes = ["a", "b"].map(str::to_owned);
        let known = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let agents = |b| BTreeMap::from([("a".to_owned(), &up), ("b".to_owned(), b)]);
        for (agents, known, state) in [
            (agents(&up), known(&["a", "b"]), State::Good),
            (agents(&down), known(&["a", "b"]), State::Wrong),
            (agents(&up), known(&["a"]), State::Wrong),
            (
                BTreeMap::from([("a".to_owned(), &up)]),
                known(&["a"]),
                State::Warning,
            ),
        ] {
            let found = present(&nodes, &agents, &known);
            assert_eq!(found[0].state, state, "{found:?}");
            assert!(
                state == State::Good || found[0].what.contains('b'),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_by_its_own_lease() {
        let lease = |node: &str, renewed: &str| -> Lease {
            let written = json!([{"manager": "kubelet", "time": "2026-01-01T00:01:00Z"}]);
            let metadata = json!({"name": node, "managedFields": written});
            let spec = json!({"renewTime": renewed});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
        };
        for (renewed, state) in [
            ("2026-01-01T00:01:00.400000Z", State::Good),
            ("2026-01-01T00:00:55.000000Z", State::Good),
            ("2026-01-01T00:01:20.000000Z", State::Warning),
            ("2026-01-01T00:00:30.000000Z", State::Warning),
            ("2026-01-01T00:05:00.000000Z", State::Wrong),
            ("2025-12-31T23:01:00.000000Z", State::Wrong),
        ] {
            let off = offset(&lease("a", renewed)).unwrap();
            assert_eq!(judged(&[off])[0].state, state, "{renewed}");
        }
    }
}
