//! HTTP for the cluster: `/livez`, `/readyz`, `/metrics`.

mod bounded;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::bounded::Bounded;
use crate::{metrics::Metrics, publish::Publisher};

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct Health {
    /// Tells whether we can serve.
    pub publisher: Arc<Publisher>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Binds the address. A node without IPv6 gets the IPv4 wildcard in place of the IPv6 one.
///
/// # Errors
/// The address is taken.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    if address.ip().is_unspecified() && address.is_ipv6() && bound.is_err() {
        return TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await;
    }
    bound
}

/// Serves until we stop.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    stopping: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(Bounded::new(listener), router)
        .with_graceful_shutdown(stopping.cancelled_owned())
        .await
}

/// Ready means: kubelet can reach us, because the sockets are bound before this is served, and we
/// have what the operator asks for. Not: the operator answers; volumes go away without it.
async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if health.publisher.is_ready().await {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "cannot read the operator's CA or our own token",
        )
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], health.metrics.text())
}
