//! The controllers, run by the replica that holds the lease; [`CaPublisher`] alone runs on each.
//!
//! Nothing depends on there being only one leader: every write is a create, a server-side apply of
//! what follows from the objects alone, or a change of just the version that was read. Two leaders
//! for a moment cost work and nothing else.

mod apply;
mod bootstrap;
mod condition;
mod key_provider;
mod lease;
mod publish_ca;
mod restart;
mod rotation;
mod vault;

use futures::FutureExt;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::{
    key_provider::KeyProviderController,
    lease::Lease,
    restart::RestartController,
    rotation::{RotationController, Standing},
    vault::VaultController,
};
pub use self::{publish_ca::CaPublisher, restart::RestartMetrics, rotation::RotationMetrics};
use crate::{
    audit::Audit,
    config::Settings,
    consumers::{Collector, Known},
    events::Events,
    keys::Providers,
    metrics::ControllerMetrics,
    vaults::Vaults,
};

/// What the controllers work with.
#[derive(Clone)]
pub struct Controllers {
    /// The API server.
    pub client: Client,
    /// The API server, with little time to answer.
    pub lease_client: Client,
    /// The API server, asked once for each request: for those who know when to try again.
    pub once_client: Client,
    /// How the operator is set.
    pub settings: Settings,
    /// This replica's view of all vaults.
    pub vaults: Vaults,
    /// This replica's view of all key providers.
    pub providers: Providers,
    /// Where is recorded what becomes of keys.
    pub audit: Audit,
    /// Where reconciles are counted.
    pub metrics: ControllerMetrics,
}

impl Controllers {
    /// Runs the controllers whenever this replica leads, until told to stop; then gives up the
    /// lease, so that another replica need not wait for its end.
    pub async fn run(self, stop: CancellationToken) {
        let lease = Lease {
            client: self.lease_client.clone(),
            namespace: self.settings.namespace.clone(),
            identity: self.settings.pod_name.clone(),
        };
        let metrics = self.metrics.clone();
        let follow = move || {
            info!("leading no more");
            metrics.leads(false);
        };
        let lead = move || {
            info!("leading");
            self.metrics.leads(true);
            self.clone().lead().boxed()
        };
        lease.hold(stop, lead, follow).await;
    }

    /// Runs every controller until dropped.
    async fn lead(self) {
        let events = Events::new(self.client.clone(), &self.settings.pod_name);
        let (told, consumers) = watch::channel(None);
        let collector =
            Collector::new(&self.client, &self.settings.namespace, self.metrics.clone());
        let bootstrap = async {
            if self.settings.bootstrap_key_provider {
                bootstrap::run(self.client.clone(), self.metrics.clone()).await;
            }
        };
        let standing = Standing::new(self.vaults.clone(), self.providers.clone());
        tokio::join!(
            bootstrap,
            self.key_providers(&events, &standing).run(),
            self.rotation(&standing).run(),
            collector.run(told),
            self.vaults(&events, &consumers, &standing).run(),
            self.restarts(&events, &consumers).run(),
        );
    }

    fn key_providers(&self, events: &Events, standing: &Standing) -> KeyProviderController {
        KeyProviderController {
            client: self.client.clone(),
            namespace: self.settings.namespace.clone(),
            standing: standing.clone(),
            events: events.clone(),
            audit: self.audit.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn rotation(&self, standing: &Standing) -> RotationController {
        RotationController {
            client: self.once_client.clone(),
            standing: standing.clone(),
            audit: self.audit.clone(),
            metrics: self.metrics.rotation.clone(),
        }
    }

    fn vaults(
        &self,
        events: &Events,
        consumers: &watch::Receiver<Known>,
        standing: &Standing,
    ) -> VaultController {
        VaultController {
            client: self.client.clone(),
            standing: standing.clone(),
            consumers: consumers.clone(),
            events: events.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn restarts(&self, events: &Events, consumers: &watch::Receiver<Known>) -> RestartController {
        RestartController {
            client: self.client.clone(),
            vaults: self.vaults.clone(),
            consumers: consumers.clone(),
            events: events.clone(),
            metrics: self.metrics.clone(),
        }
    }
}
