//! The controllers, run by the replica that holds the lease; [`CaPublisher`] alone runs on each.
//!
//! Nothing depends on there being only one leader: every write is a create, or a server-side apply
//! of what follows from the objects alone. Two leaders for a moment cost work and nothing else.

mod apply;
mod bootstrap;
mod condition;
mod key_provider;
mod lease;
mod publish_ca;
mod vault;

use futures::FutureExt;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::publish_ca::CaPublisher;
use self::{key_provider::KeyProviderController, lease::Lease, vault::VaultController};
use crate::{
    config::Settings, events::Events, keys::Providers, metrics::ControllerMetrics, vaults::Vaults,
};

/// What the controllers work with.
#[derive(Clone)]
pub struct Controllers {
    /// The API server.
    pub client: Client,
    /// The API server, with little time to answer.
    pub lease_client: Client,
    /// How the operator is set.
    pub settings: Settings,
    /// This replica's view of all vaults.
    pub vaults: Vaults,
    /// This replica's view of all key providers.
    pub providers: Providers,
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
        let Self {
            client,
            settings,
            vaults,
            providers,
            metrics,
            ..
        } = self;
        let namespace = settings.namespace;
        let events = Events::new(client.clone(), &settings.pod_name);
        let key_providers = KeyProviderController {
            client: client.clone(),
            namespace,
            vaults: vaults.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
        };
        let bootstrap = async {
            if settings.bootstrap_key_provider {
                bootstrap::run(client.clone(), metrics.clone()).await;
            }
        };
        let (client, metrics) = (client.clone(), metrics.clone());
        let vaults = VaultController {
            client,
            vaults,
            providers,
            events,
            metrics,
        };
        tokio::join!(bootstrap, key_providers.run(), vaults.run());
    }
}
