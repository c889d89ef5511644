//! Owns every task of the process: starts them in order, ends them in order.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;
use tracing::{error, info, warn};

use crate::{
    config::Config,
    csi::{
        identity::IdentityService,
        node::NodeService,
        plugin::registration_server::RegistrationServer,
        registration::RegistrationService,
        socket::Socket,
        v1::{identity_server::IdentityServer, node_server::NodeServer},
    },
    metrics::{Facts, Metrics},
    publish::{Publisher, Shelf},
    release::{Operator, Watch},
    serve::{self, Health},
    state::Store,
    volume::{Budget, Layer},
};

/// Runs the agent until it is told to stop.
///
/// # Errors
/// It cannot start, or one of its servers ended by itself.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let stopping = CancellationToken::new();
    let operations = TaskTracker::new();
    let agent = Agent::start(config, operations.clone(), stopping.clone()).await?;
    let mut tasks = JoinSet::new();
    agent.spawn(&mut tasks, &stopping).await?;
    let ended = tokio::select! {
        name = told_to_stop() => { info!(signal = name?, "stopping"); Ok(()) }
        Some(task) = tasks.join_next() => unexpected_end(task),
    };
    stopping.cancel();
    wind_down(tasks, operations).await;
    ended
}

/// Finishes what is under way. A second signal, or patience's end, leaves the rest to the kernel:
/// mounts stay as they are.
async fn wind_down(tasks: JoinSet<anyhow::Result<()>>, operations: TaskTracker) {
    tokio::select! {
        () = drain(tasks, operations) => info!("stopped"),
        _ = told_to_stop() => warn!("stopped at once"),
        () = sleep(DRAIN) => warn!("stopped with operations under way"),
    }
}

/// What is shared by all tasks.
struct Agent {
    config: Config,
    metrics: Arc<Metrics>,
    publisher: Arc<Publisher>,
}

impl Agent {
    async fn start(
        config: Config,
        operations: TaskTracker,
        stopping: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (kubelet_dir, state_dir) = (config.kubelet_dir.clone(), config.state_dir.clone());
        let opened = spawn_blocking(move || -> anyhow::Result<(Layer, Store)> {
            let layer = Layer::open(&kubelet_dir)
                .with_context(|| format!("cannot open {}", kubelet_dir.display()))?;
            Ok((layer, Store::open(&state_dir, &kubelet_dir)?))
        });
        let (layer, store) = opened.await??;
        let facts = Facts {
            budget: config.node_budget,
            noswap: layer.noswap(),
        };
        if !facts.noswap {
            warn!("this kernel has no tmpfs without swap: values may reach a swap device");
        }
        let metrics = Arc::new(Metrics::new(facts));
        let budget = Budget::new(config.node_budget, config.volume_size_limit);
        let shelf = Arc::new(Shelf::new(layer, store, budget));
        let operator = Operator::new(config.operator.clone(), config.credentials.clone());
        let publisher = Publisher::new(shelf, operator, Arc::clone(&metrics), operations, stopping);
        let found = publisher.recover().await?;
        info!(volumes = found, node = config.node_name, "starting");
        Ok(Self {
            config,
            metrics,
            publisher,
        })
    }

    async fn spawn(
        &self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stopping: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (socket, listener) = Socket::bind(&self.config.csi_socket())?;
        tasks.spawn(self.serve_csi(socket, listener, stopping.clone()));
        tasks.spawn(self.stay_registered(stopping.clone()));
        let address = self.config.metrics_address;
        let listener = serve::bind(address)
            .await
            .with_context(|| format!("cannot use {address}"))?;
        let health = Health {
            publisher: Arc::clone(&self.publisher),
            metrics: Arc::clone(&self.metrics),
        };
        let stop = stopping.clone();
        tasks.spawn(async move { Ok(serve::serve(listener, health, stop).await?) });
        tasks.spawn(self.stay_up_to_date(stopping.clone()));
        Ok(())
    }

    /// Learns of changes, and brings them to the volumes.
    fn stay_up_to_date(
        &self,
        stopping: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let publisher = Arc::clone(&self.publisher);
        let (operator, credentials) = (&self.config.operator, &self.config.credentials);
        let watch = Watch::new(operator.clone(), credentials.clone());
        async move {
            // What changed while there was no agent must not wait for kubelet's next republish.
            publisher.refresh_all();
            let work = async {
                tokio::join!(
                    watch.run(publisher.holdings(), &*publisher),
                    publisher.push(),
                    publisher.tend(),
                )
            };
            stopping.run_until_cancelled(work).await;
            Ok(())
        }
    }

    fn serve_csi(
        &self,
        socket: Socket,
        listener: UnixListener,
        stopping: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let identity = IdentityServer::new(IdentityService {
            driver_name: self.config.driver_name.clone(),
            publisher: Arc::clone(&self.publisher),
        });
        let node = NodeServer::new(NodeService {
            publisher: Arc::clone(&self.publisher),
            metrics: Arc::clone(&self.metrics),
            node_name: self.config.node_name.clone(),
            kubelet_dir: self.config.kubelet_dir.clone(),
            token_place: self.config.token_place,
        });
        async move {
            let served = Server::builder()
                .add_service(identity)
                .add_service(node)
                .serve_with_incoming_shutdown(
                    UnixListenerStream::new(listener),
                    stopping.cancelled_owned(),
                )
                .await;
            drop(socket);
            Ok(served?)
        }
    }

    /// Keeps a registration socket where kubelet looks, and makes it anew when it was removed.
    fn stay_registered(
        &self,
        stopping: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let path = self.config.registration_socket();
        let service = RegistrationService {
            driver_name: self.config.driver_name.clone(),
            endpoint: self.config.csi_socket(),
            metrics: Arc::clone(&self.metrics),
        };
        async move {
            while !stopping.is_cancelled() {
                let (socket, listener) = Socket::bind(&path)?;
                let served = Server::builder()
                    .add_service(RegistrationServer::new(service.clone()))
                    .serve_with_incoming(UnixListenerStream::new(listener));
                // Without waiting for connections: each of the calls is over at once.
                tokio::select! {
                    ended = served => ended?,
                    () = socket.lost() => warn!("the registration socket was removed"),
                    () = stopping.cancelled() => {}
                }
            }
            Ok(())
        }
    }
}

fn unexpected_end(task: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    let ended = task.context("a task broke off").and_then(|ended| ended);
    let ended = ended.and_then(|()| Err(anyhow::anyhow!("a server ended by itself")));
    if let Err(error) = &ended {
        error!(error = format!("{error:#}"), "stopping");
    }
    ended
}

/// Ends the servers, which answer the calls that they have, and then waits for operations that
/// nobody waits for any more.
async fn drain(mut tasks: JoinSet<anyhow::Result<()>>, operations: TaskTracker) {
    while let Ok(Some(_)) = timeout(DRAIN, tasks.join_next()).await {}
    operations.close();
    operations.wait().await;
}

async fn told_to_stop() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// Less than the 30 s that Kubernetes gives.
const DRAIN: Duration = Duration::from_secs(20);
