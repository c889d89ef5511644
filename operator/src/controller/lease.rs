//! Leading: while this replica holds the lease, it runs what only one replica should.

use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::{Api, Client};
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
                Ok(manager) => self.contend(manager, &stop, &lead, &follow).await,
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

    /// Waits for the lease, leads and loses it again, until told to stop, or until another manager
    /// must be asked: this one ended, or it does not know that the lease was given up.
    async fn contend(
        &self,
        manager: LeaseManager,
        stop: &CancellationToken,
        lead: &(impl Fn() -> BoxFuture<'static, ()> + Sync),
        follow: &(impl Fn() + Sync),
    ) {
        let (mut held, task) = manager.watch().await;
        let contest = async {
            while self.taken(&mut held).await {
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
    }

    /// Ends when the lease is this replica's, or, with `false`, when that will not come from this
    /// manager.
    async fn taken(&self, held: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            biased;
            taken = held.wait_for(|held| *held) => {
                if taken.is_ok() {
                    return true;
                }
            }
            () = self.given_up() => return false,
        }
        sleep(PAUSE).await;
        false
    }

    /// Ends when the lease was given up. A manager sees that only when what it read last has expired:
    /// for some 20 s nobody would lead.
    async fn given_up(&self) {
        let leases: Api<LeaseObject> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut was_held = false;
        loop {
            if let Ok(lease) = leases.get(LEASE).await {
                let held = is_held(&lease);
                if was_held && !held {
                    return;
                }
                was_held = held;
            }
            sleep(LOOK).await;
        }
    }
}

fn is_held(lease: &LeaseObject) -> bool {
    let spec = lease.spec.as_ref();
    spec.is_some_and(|spec| spec.holder_identity.is_some())
}

/// Ends when the lease is lost, or the one who would know is gone.
async fn lost(held: &mut watch::Receiver<bool>) {
    let _ = held.wait_for(|held| !*held).await;
}

const LEASE: &str = "secretvault-operator";
/// How long a replica that died keeps others from leading.
const DURATION_SECONDS: u64 = 20;
const GRACE_SECONDS: u64 = 5;
/// How often those who do not lead look whether they could: client-go's managers do it each 2 s.
const LOOK: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(1);
const RELEASE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp};
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;
    use crate::consumers::fake::FakeApi;

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/secretvault-operator";

    fn store(server: &FakeApi, spec: &Value) {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": "system", "name": LEASE}, "spec": spec,
        });
        server.object(PATH, lease);
    }

    /// A replica that tells when it leads.
    fn replica(server: &FakeApi, stop: &CancellationToken) -> mpsc::UnboundedReceiver<()> {
        let lease = Lease {
            client: server.client(),
            namespace: "system".to_owned(),
            identity: "this".to_owned(),
        };
        let (leads, leading) = mpsc::unbounded_channel();
        let lead = move || {
            leads.send(()).unwrap();
            pending().boxed()
        };
        let stop = stop.clone();
        tokio::spawn(async move { lease.hold(stop, lead, || {}).await });
        leading
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_up_is_taken_before_it_would_have_expired() {
        let (server, stop) = (FakeApi::default(), CancellationToken::new());
        let renewed = MicroTime(Timestamp::now());
        let held = json!({
            "holderIdentity": "another", "renewTime": renewed, "leaseDurationSeconds": 20,
        });
        store(&server, &held);
        let mut leading = replica(&server, &stop);
        let early = timeout(Duration::from_secs(5), leading.recv()).await;
        assert!(early.is_err(), "another replica holds the lease");

        store(&server, &json!({}));
        let led = timeout(Duration::from_secs(5), leading.recv()).await;
        assert_eq!(led, Ok(Some(())));
        let holder = || server.stored(PATH)["spec"]["holderIdentity"].clone();
        assert_eq!(holder(), "this");

        stop.cancel();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(holder(), Value::Null, "given up, for the next one");
    }
}
