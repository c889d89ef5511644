//! Has the log signed, and its signatures kept where the log is not.

use std::error::Error;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use secretvault_audit::{PublicKey, SECONDS_PER_CHECKPOINT};
use tokio::sync::OnceCell;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Audit, stored};
use std::sync::Arc;

/// Keeps one replica's log signed. Clones are the same.
#[derive(Clone)]
pub struct Keeper {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    audit: Audit,
    public: Arc<OnceCell<PublicKey>>,
}

impl Keeper {
    /// A keeper that has no key yet.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, audit: Audit) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client.clone(), namespace),
            audit,
            public: Arc::default(),
        }
    }

    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
    }

    /// Signs what was written last, and keeps that.
    pub async fn finish(&self) {
        self.audit.checkpoint().await;
        let last = self.audit.signed.borrow().clone();
        if let Some(last) = last {
            self.publish(&last).await;
        }
    }

    async fn keep(&self) {
        self.find_key().await;
        let mut signed = self.audit.signed.subscribe();
        let mut tick = interval(Duration::from_secs(SECONDS_PER_CHECKPOINT));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut published = None;
        loop {
            let last = signed.borrow_and_update().clone();
            if last != published
                && let Some(line) = &last
                && self.publish(line).await
            {
                published.clone_from(&last);
            }
            // What is signed meanwhile is kept with the next one.
            sleep(PAUSE).await;
            tokio::select! {
                _ = tick.tick() => self.audit.checkpoint().await,
                // Its sender is part of what this holds.
                _ = signed.changed() => {}
                () = sleep(RETRY), if last != published => {}
            }
        }
    }

    /// Tries until there is a key.
    async fn find_key(&self) {
        loop {
            match timeout(ANSWER, stored::signing_key(&self.secrets)).await {
                Ok(Ok(key)) => {
                    let public = key.public().clone();
                    // The only one who sets it.
                    let _ = self.public.set(public);
                    return self.audit.sign_with(key).await;
                }
                Ok(Err(error)) => {
                    warn!(error = &error as &dyn Error, "the audit log is not signed");
                }
                Err(_) => warn!("the audit log is not signed: no answer from the API server"),
            }
            sleep(RETRY).await;
        }
    }

    async fn publish(&self, checkpoint: &str) -> bool {
        let Some(public) = self.public.get() else {
            return false;
        };
        let (chain, config_maps) = (&self.audit.chain, &self.config_maps);
        let published = stored::publish(config_maps, chain, checkpoint, public);
        match timeout(ANSWER, published).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => warn!(%error, "a checkpoint of the audit log was not kept"),
            Err(_) => warn!("a checkpoint of the audit log was not kept in time"),
        }
        false
    }
}

/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to gather checkpoints before a write.
const PAUSE: Duration = Duration::from_secs(2);
/// How soon to try again.
const RETRY: Duration = Duration::from_secs(5);
