//! What Prometheus sees of SecretVault: each process scraped as Prometheus does it, judged by the
//! library of promtool, and compared with docs/metrics.md; and the chart's alerts and dashboard,
//! which must ask for nothing that is not there.

#[path = "../../../metrics/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use secretvault_e2e::{
    Answer, Namespace, Node, Part, Pod, SYSTEM, Vault, eventually, kubectl, root, run, run_with,
};
use serde_json::Value;

use page::{Families, Family};

#[test]
fn every_operator_serves_what_the_page_says_without_a_fault() {
    for operator in Part::operators() {
        let text = scrape(&operator);
        lint(&text);
        let (shown, documented) = (page::shown(&text), page::documented("Operator"));
        assert_eq!(names(&shown), names(&documented));
        assert_shown_is_documented(&shown, &documented);
    }
}

#[test]
fn every_agent_serves_what_the_page_says_without_a_fault() {
    for node in [Node::named("node-a"), Node::named("node-b")] {
        let text = scrape(&Part::agent_on(&node));
        lint(&text);
        let (shown, documented) = (page::shown(&text), page::documented("Node agent"));
        assert_eq!(shown, documented);
    }
}

#[test]
fn what_happens_is_counted() {
    let namespace = Namespace::create("metrics");
    let before = Counts::now();
    Vault::named("app")
        .text("token", "t-metrics")
        .store(&namespace);
    Pod::mounting("web", "app").run(&namespace);
    Pod::mounting("lost", "missing").create(&namespace);
    eventually("what happened is counted", || {
        let after = Counts::now();
        let missing: Vec<&str> = HAPPENED
            .into_iter()
            .filter(|series| after.of(series) <= before.of(series))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    });
}

/// That each of these grows by what the test above does.
const HAPPENED: [&str; 12] = [
    "secretvault_admission_reviews_total{outcome=\"Admitted\"}",
    "secretvault_seal_seconds_count",
    "secretvault_key_provider_calls_total{backend=\"Local\",operation=\"Encrypt\",outcome=\"Ok\"}",
    "secretvault_key_provider_calls_total{backend=\"Local\",operation=\"Decrypt\",outcome=\"Ok\"}",
    "secretvault_key_provider_call_seconds_count{backend=\"Local\",operation=\"Encrypt\"}",
    "secretvault_open_seconds_count{outcome=\"Opened\"}",
    "secretvault_release_verdicts_total{outcome=\"Granted\"}",
    "secretvault_release_verdicts_total{outcome=\"NotFound\"}",
    "secretvault_release_requests_total{outcome=\"Answered\"}",
    "secretvault_audit_lines_total{outcome=\"Written\"}",
    "secretvault_agent_publishes_total{outcome=\"Attached\"}",
    "secretvault_agent_publish_failures_total{reason=\"NotFound\"}",
];

#[test]
fn one_replica_leads_and_each_hears_of_the_api_server() {
    let values = |scrapes: &[String], series: &str| -> Vec<f64> {
        let value = |text: &String| value_of(text, series).unwrap();
        scrapes.iter().map(value).collect()
    };
    // The replicas are not scraped at one moment, and the lead may pass from one to the other.
    let scrapes = eventually("one replica leads", || {
        let scrapes: Vec<String> = Part::operators().iter().map(scrape).collect();
        let leading: f64 = values(&scrapes, "secretvault_leader").iter().sum();
        if (leading - 1.0).abs() < f64::EPSILON {
            Ok(scrapes)
        } else {
            Err(leading)
        }
    });
    for lag in values(&scrapes, "secretvault_watch_lag_seconds") {
        assert!((0.0..60.0).contains(&lag), "{lag}");
    }
}

#[test]
fn the_linter_finds_the_faults_that_are_there() {
    let faults = [
        ("# TYPE a counter\na_total 1\n# EOF\n", "no help text"),
        (
            "# HELP a_total b.\n# TYPE a_total gauge\na_total 1\n# EOF\n",
            "\"_total\" suffix",
        ),
        (
            "# HELP a_milliseconds b.\n# TYPE a_milliseconds gauge\na_milliseconds 1\n# EOF\n",
            "base unit",
        ),
        (
            "# HELP a b.\n# TYPE a gauge\na{someLabel=\"1\"} 1\n# EOF\n",
            "camelCase",
        ),
        (
            "# HELP a b.\n# TYPE a gauge\n# UNIT a bytes\na 1\n# EOF\n",
            "unit",
        ),
        ("# HELP a b.\n# TYPE a gauge\na 1\n", "EOF"),
        ("# HELP a b.\n# TYPE a gauge\nb 1\n# EOF\n", "no family"),
    ];
    for (text, told) in faults {
        let answer = run_with("metrics-lint", &["scrape"], text).expect_failure();
        assert!(answer.contains(told), "{text}\n{answer}");
    }
    lint("# HELP a b.\n# TYPE a counter\na_total{kind=\"x\"} 1\n# EOF\n");
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let asked = monitoring(&ALL_OF_IT);
    let mut documented = page::documented("Operator");
    documented.extend(page::documented("Node agent"));
    let mut used = BTreeSet::new();
    for query in asked["queries"].as_array().unwrap() {
        let mut groupable = BTreeSet::from(["le".to_owned()]);
        for selector in list(&query["selectors"]) {
            let name = selector["name"].as_str().unwrap();
            let (name, family) = page::family_of(name, &documented);
            assert_matchers(query, selector, family);
            groupable.extend(family.labels.keys().cloned());
            used.insert(name);
        }
        for label in list(&query["grouping"]) {
            assert!(groupable.contains(label.as_str().unwrap()), "{query}");
        }
    }
    let unused: Vec<_> = documented
        .keys()
        .filter(|it| !used.contains(it.as_str()))
        .collect();
    assert!(unused.is_empty(), "nobody looks at {unused:?}");
}

#[test]
fn each_alert_fires_when_it_should_and_is_explained() {
    let moments = root().join("tests/e2e/tests/cluster/metrics/alerts.yaml");
    let manifests = rendered(&ALL_OF_IT);
    let test = ["alerts", moments.to_str().unwrap()];
    let fired = run_with("metrics-lint", &test, &manifests).expect_success();
    let fired: Value = serde_json::from_str(&fired).unwrap();
    let fired: BTreeSet<String> = fired.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fired, page::alerts());
    let deaf = manifests.replace(
        "secretvault_watch_lag_seconds > 75",
        "secretvault_watch_lag_seconds > 7500",
    );
    let told = run_with("metrics-lint", &test, &deaf).expect_failure();
    assert!(
        told.contains("SecretVaultWatchLags fires in no test"),
        "{told}"
    );
}

#[test]
fn nothing_of_it_is_installed_unasked_and_alerts_can_be_left_out() {
    let nothing = monitoring(&[]);
    assert_eq!(nothing["objects"], Value::Null);
    let except = "monitoring.rules.except={SecretVaultKeyIsOld,SecretVaultOperatorGone}";
    let some = monitoring(&["--set", "monitoring.rules.enabled=true", "--set", except]);
    let mut expected = page::alerts();
    assert!(expected.remove("SecretVaultKeyIsOld") && expected.remove("SecretVaultOperatorGone"));
    let kept = list(&some["queries"]).map(|query| query["place"].as_str().unwrap());
    let kept: BTreeSet<String> = kept.map(|it| it.replace("alert ", "")).collect();
    assert_eq!(kept, expected);
}

#[test]
fn the_monitors_select_the_operators_service_and_the_agents_pods() {
    let asked = monitoring(&ALL_OF_IT);
    let ports = |kind: &str, object: &str, path: &str| -> Vec<String> {
        let target = list(&asked["targets"]).find(|it| it["kind"] == kind);
        let selector = target.unwrap()["selector"].as_str().unwrap();
        assert_eq!(target.unwrap()["port"], "http");
        let path = format!(
            "jsonpath={{range .items[*]}}{{{path}[?(@.name==\"http\")].name}}{{\"\\n\"}}{{end}}"
        );
        let get = ["-n", SYSTEM, "get", object, "-l", selector, "-o", &path];
        let found = kubectl(&get).expect_success();
        found.lines().map(str::to_owned).collect()
    };
    let service = ports("ServiceMonitor", "services", ".spec.ports");
    assert_eq!(service, ["http"]);
    let agents = ports("PodMonitor", "pods", ".spec.containers[*].ports");
    assert_eq!(agents, ["http", "http"]);
}

#[test]
fn the_manifests_are_what_the_prometheus_operator_takes() {
    let asked = monitoring(&ALL_OF_IT);
    let objects: Vec<_> = list(&asked["objects"]).collect();
    let expected = [
        "ConfigMap secretvault-dashboard",
        "PodMonitor secretvault-node-agent",
        "PrometheusRule secretvault",
        "ServiceMonitor secretvault-operator",
    ];
    assert_eq!(objects, expected);
    let manifests = rendered(&ALL_OF_IT);
    for (right, wrong) in [
        ("podMetricsEndpoints:", "podEndpoints:"),
        ("expr: max(", "expr: maximum("),
        ("          for: 5m", "          form: 5m"),
        ("\"expr\": \"sum(", "\"expr\": \"sum(("),
    ] {
        assert!(manifests.contains(right), "{right}");
        let broken = manifests.replace(right, wrong);
        let _ = run_with("metrics-lint", &["manifests"], &broken).expect_failure();
    }
}

/// What helm makes of the chart with these values, read by the linter.
fn monitoring(values: &[&str]) -> Value {
    let manifests = rendered(values);
    let found = run_with("metrics-lint", &["manifests"], &manifests).expect_success();
    serde_json::from_str(&found).unwrap()
}

fn rendered(values: &[&str]) -> String {
    let chart = root().join("charts/secretvault");
    let template = ["template", "secretvault", chart.to_str().unwrap()];
    run("helm", &[&template, values].concat()).expect_success()
}

const ALL_OF_IT: [&str; 6] = [
    "--set",
    "monitoring.monitors.enabled=true",
    "--set",
    "monitoring.rules.enabled=true",
    "--set",
    "monitoring.dashboard.enabled=true",
];

/// A query that selects what can never be would say forever that all is well.
fn assert_matchers(query: &Value, selector: &Value, family: &Family) {
    for matcher in list(&selector["matchers"]) {
        let label = matcher["label"].as_str().unwrap();
        let known = family.labels.get(label);
        let known = known.unwrap_or_else(|| panic!("no label {label}: {query}"));
        let values: Vec<_> = list(&matcher["values"]).collect();
        assert!(!values.is_empty(), "{query}");
        for value in values {
            assert!(known.contains(value.as_str().unwrap()), "{value}: {query}");
        }
    }
}

fn assert_shown_is_documented(shown: &Families, documented: &Families) {
    for (name, family) in shown {
        let known = &documented[name];
        assert_eq!(family.kind, known.kind, "{name}");
        for (label, values) in &family.labels {
            // Those of Transit are there once somebody has a Transit provider.
            assert!(
                values.is_subset(&known.labels[label]),
                "{name} {label} {values:?}"
            );
        }
    }
}

fn names(families: &Families) -> Vec<&String> {
    families.keys().collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn lint(text: &str) {
    let answer: Answer = run_with("metrics-lint", &["scrape"], text);
    let _ = answer.expect_success();
}

/// Every counter of all processes, summed.
struct Counts(Vec<String>);

impl Counts {
    fn now() -> Self {
        let nodes = ["node-a", "node-b"].map(Node::named);
        let agents = nodes.iter().map(Part::agent_on);
        let parts = Part::operators().into_iter().chain(agents);
        Self(parts.map(|part| scrape(&part)).collect())
    }

    fn of(&self, series: &str) -> f64 {
        let values = self.0.iter().filter_map(|text| value_of(text, series));
        values.sum()
    }
}

fn value_of(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        (found == series).then(|| value.parse().unwrap())
    })
}

/// Over the pods' network, as a Prometheus in the cluster would.
fn scrape(part: &Part) -> String {
    let mut stream = TcpStream::connect((part.address.as_str(), 8080)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: pod\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(" 200 ") && head.contains(kind), "{head}");
    text.to_owned()
}
