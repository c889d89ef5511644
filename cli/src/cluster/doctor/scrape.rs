//! Metrics of our processes, read through the API server.

use super::Patient;
use crate::cluster::client::Blind;

/// The metrics of one pod.
pub(super) async fn metrics(patient: &Patient<'_>, pod: &str) -> Result<String, Blind> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{pod}:8080/proxy/metrics",
        patient.system
    );
    patient.cluster.text(&path).await
}

/// The sum of all series of a metric that have this text among their labels. None: there is none.
pub(super) fn sum(text: &str, name: &str, label: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let ours = labels.is_empty() || labels.starts_with('{');
        (ours && labels.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_are_summed_and_no_others() {
        let text = "# TYPE a counter\na_total{level=\"Request\",x=\"1\"} 2\n\
                    a_total{level=\"Request\"} 3\na_total{level=\"Metadata\"} 40\n\
                    a_total_of_others 7\nb 1.5e3\n";
        assert_eq!(sum(text, "a_total", "level=\"Request\""), Some(5.0));
        assert_eq!(sum(text, "a_total", "level=\"None\""), None);
        assert_eq!(sum(text, "b", ""), Some(1500.0));
        assert_eq!(sum(text, "c", ""), None);
    }
}
