//! Keeps this replica's serving certificate: made at start, made anew when due, and at once when
//! the stored authority changes.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher, watcher::watch_object};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    authority::CertificateError,
    handle_key::HandleKeys,
    serving::ServingCertificate,
    store::{AuthorityStore, CA_SECRET, StoreError},
};
use crate::metrics::TlsMetrics;

/// Keeps the serving certificate of this replica.
pub struct Keeper {
    /// Where the authority is.
    pub store: AuthorityStore,
    /// What is kept.
    pub serving: Arc<ServingCertificate>,
    /// What follows the authority's keys.
    pub handles: HandleKeys,
    /// The DNS names that clients reach the operator by.
    pub names: Vec<String>,
    /// Where the ends of the certificates are told.
    pub metrics: TlsMetrics,
}

impl Keeper {
    /// Works until told to stop. What fails is tried again: a serving certificate lives long
    /// enough that a failure is no reason to end.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = pin!(self.changes());
        loop {
            let pause = match timeout(ATTEMPT, self.keep(Timestamp::now())).await {
                Ok(Ok(())) => PERIOD,
                Err(_) => {
                    warn!("no answer from the API server about the authority");
                    RETRY
                }
                Ok(Err(error)) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "no new serving certificate"
                    );
                    RETRY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
                change = changes.next() => {
                    if change.is_none() { return }
                }
            }
        }
    }

    /// Brings the authority and the serving certificate up to date once.
    ///
    /// # Errors
    /// Fails when the authority can be had from nowhere, or cannot sign.
    pub async fn keep(&self, now: Timestamp) -> Result<(), KeepError> {
        let stored = self.store.current(now).await?;
        self.handles.follow(&stored);
        if self.serving.renew(stored.signing(), &self.names, now)? {
            info!("issued a serving certificate");
        }
        self.metrics
            .authority_ends(stored.signing().validity().not_after);
        if let Some(end) = self.serving.not_after() {
            self.metrics.serving_ends(end);
        }
        Ok(())
    }

    /// One item for each change of the Secret. Trouble with the watch is slept over: the period
    /// catches what it misses.
    fn changes(&self) -> impl Stream<Item = Option<Secret>> + use<> {
        watch_object(self.store.secrets(), CA_SECRET)
            .backoff(watcher::DefaultBackoff::default())
            .filter_map(async |change| change.ok())
    }
}

/// The names by which clients reach a Service.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

/// Why the serving certificate could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No certificate could be issued.
    #[error("the serving certificate cannot be issued")]
    Issue(#[from] CertificateError),
    /// There is no authority.
    #[error("the authority cannot be had")]
    Store(#[from] StoreError),
}

/// What one look may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How often to look without a reason. Lives are days, so an hour late does not matter.
const PERIOD: Duration = Duration::from_secs(3600);
/// How soon to look again after a failure.
const RETRY: Duration = Duration::from_secs(5);
