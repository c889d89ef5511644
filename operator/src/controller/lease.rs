//! Leading: while this replica holds the lease, it runs what only one replica should.

use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The lease of the controllers.
pub(super) struct Lease {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// This replica's name in it.
    pub(super) identity: String,
}

impl Lease {
    /// Runs `lead` while this replica holds the lease and drops it when it no longer does, until
    /// told to stop. Then the lease is given up.
    ///
    /// # Caveats
    /// A replica that is cut off from the API server goes on leading: it can write nothing then.
    pub(super) async fn hold(
        self,
        stop: CancellationToken,
        lead: impl Fn() -> BoxFuture<'static, ()> + Sync,
        follow: impl Fn() + Sync,
    ) {
        while !stop.is_cancelled() {
            match self.manager().await {
                Ok(manager) => contend(manager, &stop, &lead, &follow).await,
                Err(error) => {
                    warn!(%error, "the lease cannot be had");
                    let _ = timeout(RETRY, stop.cancelled()).await;
                }
            }
        }
    }

    async fn manager(&self) -> Result<LeaseManager, LeaseManagerError> {
        LeaseManagerBuilder::new(self.client.clone(), LEASE)
            .with_namespace(&self.namespace)
            .with_identity(&self.identity)
            .with_field_manager(format!("secretvault-lease-{}", self.identity))
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
    }
}

/// Waits for the lease, leads and loses it again, until told to stop or the manager ends.
async fn contend(
    manager: LeaseManager,
    stop: &CancellationToken,
    lead: &(impl Fn() -> BoxFuture<'static, ()> + Sync),
    follow: &(impl Fn() + Sync),
) {
    let (mut held, task) = manager.watch().await;
    let contest = async {
        while held.wait_for(|held| *held).await.is_ok() {
            tokio::select! {
                () = lead() => {}
                () = lost(&mut held) => {}
            }
            follow();
        }
    };
    if stop.run_until_cancelled(contest).await.is_none() && *held.borrow() {
        follow();
    }
    // Nobody listens any more: the manager gives the lease up, and ends.
    drop(held);
    match timeout(RELEASE, task).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) => warn!(%error, "the lease was not given up"),
        Ok(Err(_)) | Err(_) => warn!("the lease was not given up in time"),
    }
    if !stop.is_cancelled() {
        sleep(PAUSE).await;
    }
}

/// Ends when the lease is lost, or the one who would know is gone.
async fn lost(held: &mut watch::Receiver<bool>) {
    let _ = held.wait_for(|held| !*held).await;
}

const LEASE: &str = "secretvault-operator";
/// How long a replica that died keeps others from leading.
const DURATION_SECONDS: u64 = 20;
const GRACE_SECONDS: u64 = 5;
const PAUSE: Duration = Duration::from_secs(1);
const RELEASE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);
