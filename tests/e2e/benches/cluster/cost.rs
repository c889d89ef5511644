//! What it costs: memory of our processes, calls to the API server, time of kubelet's calls.

use std::collections::BTreeMap;
use std::time::Duration;

use secretvault_e2e::{SYSTEM, kubectl};

use crate::Failure;
use crate::report::Report;
use crate::times::Millis;

/// Tells the memory of the operator's replicas and the agents.
pub(crate) fn memory(report: &mut Report, when: &str) -> Result<(), Failure> {
    report.table(&["process", "when", "anonymous, each", "resident, each"]);
    for (part, program) in [
        ("operator", "secretvault-operator"),
        ("node agent", "secretvault-node-agent"),
    ] {
        let found = processes(program)?;
        let column = |field: &str| {
            let each = found.iter().map(|smaps| mebibytes(smaps, field));
            each.collect::<Vec<_>>().join(", ")
        };
        report.row(&[
            part.to_owned(),
            when.to_owned(),
            column("Anonymous:"),
            column("Rss:"),
        ]);
    }
    Ok(())
}

/// `smaps_rollup` of each process of a program.
fn processes(program: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        // Others come and go meanwhile.
        let Ok(link) = std::fs::read_link(path.join("exe")) else {
            continue;
        };
        if link.file_name().is_some_and(|name| name == program) {
            found.push(std::fs::read_to_string(path.join("smaps_rollup"))?);
        }
    }
    Ok(found)
}

/// A field of `smaps_rollup`.
pub(crate) fn mebibytes(smaps: &str, field: &str) -> String {
    let line = smaps.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes: f64 = line
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(f64::NAN);
    format!("{:.1} MiB", kibibytes / 1024.0)
}

/// Requests that the API server has answered, by kind.
pub(crate) struct Calls(BTreeMap<&'static str, f64>);

impl Calls {
    pub(crate) fn so_far() -> Result<Self, Failure> {
        let metrics = kubectl(&["get", "--raw", "/metrics"]).expect_success();
        let count = |(name, parts): (&'static str, &[&str])| {
            let lines = metrics.lines().filter(|line| {
                line.starts_with("apiserver_request_total{")
                    && parts.iter().all(|part| line.contains(part))
            });
            (name, lines.filter_map(value).sum())
        };
        Ok(Self(KINDS.into_iter().map(count).collect()))
    }

    /// Tells how many there were since, for each of `events`.
    pub(crate) fn told_since(
        self,
        report: &mut Report,
        events: u32,
        each: &str,
    ) -> Result<(), Failure> {
        let now = Self::so_far()?;
        report.table(&[
            "calls to the API server, of everybody",
            &format!("per {each}"),
        ]);
        for (kind, before) in self.0 {
            let since = now.0.get(kind).copied().unwrap_or_default() - before;
            report.row(&[kind.to_owned(), format!("{:.2}", since / f64::from(events))]);
        }
        Ok(())
    }
}

const KINDS: [(&str, &[&str]); 4] = [
    (
        "TokenReviews",
        &["resource=\"tokenreviews\"", "verb=\"POST\""],
    ),
    (
        "status patches of vaults",
        &[
            "resource=\"secretvaults\"",
            "subresource=\"status\"",
            "verb=\"PATCH\"",
        ],
    ),
    (
        "patches of the ConfigMap of consumers, and others",
        &["resource=\"configmaps\"", "verb=\"PATCH\""],
    ),
    ("Events written", &["resource=\"events\"", "verb=\"POST\""]),
];

/// kubelet's publish calls that both agents answered with a yes: a histogram.
pub(crate) struct Publishes(BTreeMap<u64, f64>);

impl Publishes {
    pub(crate) fn so_far() -> Result<Self, Failure> {
        let mut buckets = BTreeMap::new();
        for metrics in agents_metrics() {
            for line in metrics.lines() {
                let Some((bound, count)) = bucket(line) else {
                    continue;
                };
                *buckets.entry(bound).or_default() += count;
            }
        }
        Ok(Self(buckets))
    }

    pub(crate) fn told_since(self, report: &mut Report) -> Result<(), Failure> {
        let now = Self::so_far()?;
        let since: BTreeMap<u64, f64> = now
            .0
            .iter()
            .map(|(bound, count)| {
                (
                    *bound,
                    count - self.0.get(bound).copied().unwrap_or_default(),
                )
            })
            .collect();
        report.table(&["NodePublishVolume, answered yes", "at most"]);
        for hundredths in [50.0, 95.0, 100.0] {
            let bound = at_most(&since, hundredths / 100.0);
            report.row(&[format!("p{hundredths}"), bound]);
        }
        let calls = since.values().next_back().copied().unwrap_or_default();
        report.row(&["calls".to_owned(), format!("{calls:.0}")]);
        Ok(())
    }
}

/// The bucket's bound that this share of the calls does not exceed.
fn at_most(cumulated: &BTreeMap<u64, f64>, share: f64) -> String {
    let all = cumulated.values().next_back().copied().unwrap_or_default();
    let found = cumulated.iter().find(|(_, count)| **count >= all * share);
    match found {
        Some((&u64::MAX, _)) | None => "beyond the largest bucket".to_owned(),
        Some((&bound, _)) => Millis(Duration::from_micros(bound)).to_string(),
    }
}

/// The bound in microseconds and the count, of a line of the histogram.
fn bucket(line: &str) -> Option<(u64, f64)> {
    let rest = line.strip_prefix("secretvault_agent_publish_seconds_bucket{")?;
    if !rest.contains("answer=\"Yes\"") {
        return None;
    }
    let (_, bound) = rest.split_once("le=\"")?;
    let (bound, _) = bound.split_once('"')?;
    let micros = match bound {
        "+Inf" => u64::MAX,
        seconds => {
            u64::try_from(Duration::from_secs_f64(seconds.parse().ok()?).as_micros()).ok()?
        }
    };
    Some((micros, value(line)?))
}

/// Where the time of a change goes, by our own histograms: the mean of each part.
pub(crate) struct Parts(Vec<(f64, f64)>);

impl Parts {
    pub(crate) fn so_far() -> Self {
        let all = [metrics_of("operator"), metrics_of("node-agent")].concat();
        let sum_and_count = |(name, _): &(&str, &str)| {
            let total = |what: &str| {
                let lines = all.iter().flat_map(|metrics| metrics.lines());
                let wanted = format!("{name}_{what}");
                let lines = lines.filter(|line| {
                    line.strip_prefix(&wanted)
                        .is_some_and(|rest| rest.starts_with([' ', '{']))
                });
                lines.filter_map(value).sum()
            };
            (total("sum"), total("count"))
        };
        Self(PARTS.iter().map(sum_and_count).collect())
    }

    pub(crate) fn told_since(self, report: &mut Report) {
        let now = Self::so_far();
        report.table(&["part", "times", "mean"]);
        for (((_, what), before), after) in PARTS.iter().zip(self.0).zip(now.0) {
            let (seconds, count) = (after.0 - before.0, after.1 - before.1);
            let mean = if count > 0.0 { seconds / count } else { 0.0 };
            report.row(&[
                (*what).to_owned(),
                format!("{count:.0}"),
                Millis(Duration::from_secs_f64(mean.max(0.0))).to_string(),
            ]);
        }
    }
}

/// Histograms that follow each other, or lie in each other.
const PARTS: [(&str, &str); 3] = [
    (
        "secretvault_agent_push_seconds",
        "agent: from the operator's word to the swap",
    ),
    (
        "secretvault_release_duration_seconds",
        "of that, operator: from a request to its answer",
    ),
    (
        "secretvault_release_api_seconds",
        "of that, API server: each review of a token and each read of a pod",
    ),
];

fn agents_metrics() -> Vec<String> {
    metrics_of("node-agent")
}

fn metrics_of(component: &str) -> Vec<String> {
    let selector = &format!("app.kubernetes.io/component={component}");
    let names = [
        "-n",
        SYSTEM,
        "get",
        "pods",
        "-l",
        selector,
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ];
    let names = kubectl(&names).expect_success();
    let metrics = |name: &str| {
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics");
        kubectl(&["get", "--raw", &path]).expect_success()
    };
    names.split_whitespace().map(metrics).collect()
}

fn value(line: &str) -> Option<f64> {
    line.rsplit_once(' ')?.1.parse().ok()
}
