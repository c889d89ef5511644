//! Whether this replica lives, and whether it can serve. Keys are no part of it: an operator
//! without a usable key must stay reachable to say so.

use std::sync::Arc;

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use prometheus_client::registry::Registry;
use tower_http::timeout::TimeoutLayer;

use crate::metrics::render;

/// What must hold for this replica to be ready: named checks, asked at each probe.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

type Check = Arc<dyn Fn() -> bool + Send + Sync>;

impl Readiness {
    /// Adds a check.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        holds: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name, Arc::new(holds)));
        self
    }

    /// The checks that do not hold.
    fn missing(&self) -> Vec<&'static str> {
        self.checks
            .iter()
            .filter(|(_, holds)| !holds())
            .map(|(name, _)| *name)
            .collect()
    }
}

/// Answers `/livez`, `/readyz` and `/metrics`.
pub fn router(readiness: Readiness, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(async move || render(&registry)))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            ANSWER,
        ))
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ok".to_owned()),
        missing => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not yet: {}", missing.join(", ")),
        ),
    }
}

const ANSWER: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::{metrics::Metrics, vaults::Vaults};

    async fn answer(readiness: Readiness, path: &str) -> (StatusCode, String) {
        let router = router(readiness, Metrics::default().registry(&Vaults::new()));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 65536).await.unwrap();
        (parts.status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_process_that_answers_lives() {
        let unready = Readiness::default().with("vaults", || false);
        assert_eq!(answer(unready, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let readiness = Readiness::default()
            .with("vaults", || false)
            .with("certificate", || true);
        let (status, text) = answer(readiness, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "not yet: vaults");
    }

    #[tokio::test]
    async fn with_every_check_holding_it_is_ready() {
        let readiness = Readiness::default().with("vaults", || true);
        assert_eq!(answer(readiness, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        assert!(
            answer(Readiness::default(), "/metrics")
                .await
                .1
                .ends_with("# EOF\n")
        );
    }
}
