use super::*;

#[path = "../../../tests/metrics/page.rs"]
mod page;

fn text(metrics: &Metrics) -> String {
    let mut text = String::new();
    encode(&mut text, &metrics.registry(&Vaults::of([]))).unwrap();
    text
}

#[test]
fn what_is_shown_from_the_start_is_what_the_page_says_with_all_values_of_all_labels() {
    let metrics = Metrics::default();
    metrics.keys.transit_is_used();
    let (shown, documented) = (page::shown(&text(&metrics)), page::documented("Operator"));
    for (name, family) in &shown {
        assert_eq!(Some(family), documented.get(name), "{name}");
    }
    for name in documented.keys() {
        assert!(shown.contains_key(name), "{name} is not there");
    }
}

/// With the labels that they select by, `metrics-lint` reads them: see the tests on the cluster.
#[test]
fn the_charts_alerts_and_dashboard_name_no_series_that_is_not_there() {
    let mut documented = page::documented("Operator");
    documented.extend(page::documented("Node agent"));
    for text in [
        include_str!("../../../charts/secretvault/files/monitoring/alerts.yaml"),
        include_str!("../../../charts/secretvault/files/monitoring/dashboard.json"),
    ] {
        let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let named: Vec<_> = words
            .filter(|word| word.starts_with("secretvault_"))
            .map(|word| page::family_of(word, &documented))
            .collect();
        assert!(named.len() > 20, "{named:?}");
    }
}

#[test]
fn what_is_counted_is_shown() {
    let metrics = Metrics::default();
    metrics
        .controllers
        .reconciled(ControllerName::Vault, ReconcileOutcome::Unchanged);
    let open = metrics.servers.opened(ServerName::Webhook);
    let text = text(&metrics);
    for line in [
        r#"secretvault_reconciles_total{controller="Vault",outcome="Unchanged"} 1"#,
        r#"secretvault_reconciles_total{controller="Vault",outcome="Failed"} 0"#,
        r#"secretvault_open_connections{server="Webhook"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    drop(open);
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test(start_paused = true)]
async fn the_lag_grows_while_the_api_server_is_silent() {
    let vaults = Vaults::of([]);
    let registry = Metrics::default().registry(&vaults);
    tokio::time::advance(std::time::Duration::from_secs(42)).await;
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("\nsecretvault_watch_lag_seconds 42.0\n"),
        "{text}"
    );
}

#[test]
fn before_the_first_list_there_is_no_lag() {
    let mut text = String::new();
    encode(&mut text, &Metrics::default().registry(&Vaults::new())).unwrap();
    assert!(!text.contains("watch_lag"), "{text}");
}
