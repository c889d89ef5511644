//! Owns every task of the operator: starts them, and ends them in order.
//!
//! On SIGTERM the operator first says that it is not ready and stops leading, but goes on serving
//! until those who call it know. Then it takes no more connections, finishes what is under way and
//! ends. A second signal ends it at once. A task that ends by itself ends the process: half an
//! operator would look like a whole one.

mod drain;
mod signals;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use axum::Router;
use kube::{Client, Config};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use self::{
    drain::{drained, told},
    signals::Signals,
};
use crate::{
    admission::{self, DeletionWebhook, PodWebhook, RemovalWebhook, Webhook},
    audit::{self, Audit},
    config::{Overlay, Settings},
    consumers::{Consumers, Publisher},
    controller::{CaPublisher, Controllers},
    health::{self, Readiness},
    injection::Launcher,
    keys::{self, Providers},
    metrics::{Metrics, ServerName},
    process,
    release::{self, identity::service_account_user},
    serve::{Server, listen},
    tls::{AuthorityStore, HandleKeys, Keeper, ServersTls, ServingCertificate, service_names},
    vaults::Vaults,
};

/// Runs the operator until it is told to end.
///
/// # Errors
/// Fails when it cannot start, or when a task ends by itself.
pub fn operate(flags: Overlay) -> anyhow::Result<()> {
    process::harden().context("the process cannot be hardened")?;
    let settings = Settings::load(flags)?;
    process::log(&settings.log).context("the log filter is malformed")?;
    process::hide_panics();
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        bail!("another cryptographic provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(run(settings));
    // A thread may hang in a write that nobody takes.
    runtime.shutdown_timeout(LAST);
    done
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let config = Config::infer()
        .await
        .context("it is not known how to reach the API server")?;
    info!(namespace = %settings.namespace, pod = %settings.pod_name, "starting");
    let mut operator = Operator::new(settings, config)?;
    operator.start().await?;
    operator.supervise(&mut signals).await
}

/// The process and its tasks.
struct Operator {
    settings: Settings,
    client: Client,
    lease_client: Client,
    once_client: Client,
    metrics: Metrics,
    /// What this replica knows of the key providers.
    providers: Providers,
    /// Whether it has read them at least once.
    providers_read: watch::Sender<bool>,
    audit: Audit,
    /// Has the audit log signed.
    keeper: audit::Keeper,
    /// What it knows of the vaults.
    vaults: Vaults,
    /// What the agents that watch it say they hold.
    consumers: Consumers,
    serving: Arc<ServingCertificate>,
    /// What handles are authenticated with.
    handles: HandleKeys,
    /// Whether it has tried to tell whom to trust.
    authority_told: watch::Sender<bool>,
    tls: ServersTls,
    tasks: JoinSet<&'static str>,
    /// The agents' streams.
    streams: TaskTracker,
    /// This replica goes: it leads no more, and is not ready.
    leaving: CancellationToken,
    /// Nobody should call any more: finish.
    stop: CancellationToken,
}

impl Operator {
    fn new(settings: Settings, config: Config) -> anyhow::Result<Self> {
        let serving = Arc::new(ServingCertificate::new());
        let metrics = Metrics::default();
        let audit = Audit::open(&settings, metrics.audit.clone());
        let audit = audit.context("the audit log cannot be opened")?;
        let client = Client::try_from(config.clone())?;
        Ok(Self {
            tls: ServersTls::new(&serving, settings.webhook_client_ca.as_deref())
                .context("TLS cannot be set up")?,
            serving,
            authority_told: watch::Sender::new(false),
            keeper: audit::Keeper::new(&client, &settings.namespace, audit.clone()),
            settings,
            lease_client: Client::try_from(impatient(config.clone()))?,
            once_client: Client::try_from(once(config))?,
            client,
            providers: Providers::counted_by(metrics.keys.clone()),
            audit,
            metrics,
            providers_read: watch::Sender::new(false),
            vaults: Vaults::new(),
            consumers: Consumers::default(),
            handles: HandleKeys::default(),
            tasks: JoinSet::new(),
            streams: TaskTracker::new(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Starts every task. Each replica serves; only the controllers wait for the lease.
    async fn start(&mut self) -> anyhow::Result<()> {
        self.spawn("audit log", self.keeper.clone().run(self.stop.clone()));
        self.keep_certificate();
        self.publish_authority();
        self.watch();
        self.publish_consumers();
        self.control();
        self.serve(
            ServerName::Webhook,
            self.settings.webhook_port,
            admission::router(
                self.webhook(),
                DeletionWebhook::new(self.audit.clone(), self.metrics.webhook.clone()),
                RemovalWebhook::new(
                    self.client.clone(),
                    self.audit.clone(),
                    self.metrics.webhook.clone(),
                ),
                self.pod_webhook(),
            ),
        )
        .await?;
        self.end_streams();
        self.serve(
            ServerName::Release,
            self.settings.release_port,
            release::router(self.release()),
        )
        .await?;
        let health = health::router(self.readiness(), self.metrics.registry(&self.vaults));
        self.serve(ServerName::Health, self.settings.health_port, health)
            .await
    }

    fn keep_certificate(&mut self) {
        let keeper = Keeper {
            store: AuthorityStore::new(self.client.clone(), &self.settings.namespace),
            serving: Arc::clone(&self.serving),
            handles: self.handles.clone(),
            names: service_names(&self.settings.service_name, &self.settings.namespace),
            metrics: self.metrics.tls.clone(),
        };
        self.spawn("certificate", keeper.run(self.stop.clone()));
    }

    /// Tells the agents and the API server whom to trust.
    fn publish_authority(&mut self) {
        let publisher = CaPublisher::new(
            &self.client,
            &self.settings.namespace,
            self.metrics.controllers.clone(),
            self.authority_told.clone(),
        );
        self.spawn_endless("certificate authority", publisher.run());
    }

    /// Follows what every replica must know to serve.
    fn watch(&mut self) {
        let vaults = self.vaults.clone();
        let client = self.client.clone();
        self.spawn_endless("vaults", async move { vaults.run(client).await });
        let keys = keys::watch::run(
            self.client.clone(),
            self.settings.namespace.clone(),
            self.providers.clone(),
            self.providers_read.clone(),
        );
        self.spawn_endless("key providers", keys);
    }

    /// Tells the replica that leads what the agents of this one hold.
    fn publish_consumers(&mut self) {
        let publisher = Publisher::new(
            &self.client,
            &self.settings.namespace,
            &self.settings.pod_name,
            self.consumers.clone(),
            self.metrics.controllers.clone(),
        );
        self.spawn("consumers", publisher.run(self.stop.clone()));
    }

    /// Does what only one replica should: whichever holds the lease.
    fn control(&mut self) {
        let controllers = Controllers {
            client: self.client.clone(),
            lease_client: self.lease_client.clone(),
            once_client: self.once_client.clone(),
            settings: self.settings.clone(),
            vaults: self.vaults.clone(),
            providers: self.providers.clone(),
            audit: self.audit.clone(),
            metrics: self.metrics.controllers.clone(),
        };
        self.spawn("controllers", controllers.run(self.leaving.clone()));
    }

    fn webhook(&self) -> Webhook {
        let webhook = Webhook::new(
            self.client.clone(),
            self.providers.clone(),
            self.audit.clone(),
            self.metrics.webhook.clone(),
        );
        let Settings {
            namespace,
            service_account,
            ..
        } = &self.settings;
        webhook.operated_by(service_account_user(namespace, service_account))
    }

    fn pod_webhook(&self) -> PodWebhook {
        let pull_policy = self.settings.launcher_pull_policy;
        let image = self.settings.launcher_image.clone();
        let launcher = image.map(|image| Launcher { image, pull_policy });
        PodWebhook::new(
            self.client.clone(),
            self.vaults.clone(),
            launcher,
            self.audit.clone(),
            self.metrics.webhook.clone(),
        )
    }

    fn release(&self) -> release::Parts {
        release::Parts {
            client: self.client.clone(),
            namespace: self.settings.namespace.clone(),
            agent_account: self.settings.agent_service_account.clone(),
            pod_name: self.settings.pod_name.clone(),
            vaults: self.vaults.clone(),
            providers: self.providers.clone(),
            audit: self.audit.clone(),
            metrics: self.metrics.release.clone(),
            handles: self.handles.clone(),
            consumers: self.consumers.clone(),
            streams: self.streams.clone(),
            leaving: self.leaving.clone(),
        }
    }

    /// Owns the agents' streams. They end once this replica leaves: before the servers stop, for
    /// a stream has no end to wait for.
    fn end_streams(&mut self) {
        let (streams, leaving) = (self.streams.clone(), self.leaving.clone());
        self.spawn("watch streams", async move {
            leaving.cancelled().await;
            streams.close();
            streams.wait().await;
        });
    }

    async fn serve(&mut self, name: ServerName, port: u16, router: Router) -> anyhow::Result<()> {
        let listener = listen(port)
            .await
            .with_context(|| format!("port {port} cannot be had"))?;
        let tls = self.tls.of(name);
        let metrics = self.metrics.servers.clone();
        let server = Server {
            name,
            router,
            tls,
            metrics,
            drain: DRAIN,
        };
        self.spawn("server", server.run(listener, self.stop.clone()));
        Ok(())
    }

    fn readiness(&self) -> Readiness {
        let (serving, leaving) = (Arc::clone(&self.serving), self.leaving.clone());
        let (vaults, providers) = (self.vaults.clone(), self.providers_read.subscribe());
        let authority = self.authority_told.subscribe();
        Readiness::default()
            .with("vaults", move || vaults.synced())
            .with("key providers", move || *providers.borrow())
            .with("serving certificate", move || {
                serving.is_valid(jiff::Timestamp::now())
            })
            .with("certificate authority", move || *authority.borrow())
            .with("not leaving", move || !leaving.is_cancelled())
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// Owns a task that does not end by itself: it is dropped when all is finished.
    fn spawn_endless(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Waits for the end, and brings it about in order.
    async fn supervise(mut self, signals: &mut Signals) -> anyhow::Result<()> {
        tokio::select! {
            ended = self.tasks.join_next() => bail!("a task ended by itself: {}", told(ended)),
            () = signals.next() => info!("leaving"),
        }
        self.leaving.cancel();
        tokio::select! {
            () = sleep(self.settings.shutdown_grace) => info!("stopping"),
            () = signals.next() => bail!("ended at once by a second signal"),
        }
        self.stop.cancel();
        tokio::select! {
            rest = timeout(DRAIN + MARGIN, drained(self.tasks)) => {
                // Whatever was done is in the log now.
                let _ = timeout(LAST, self.keeper.finish()).await;
                rest.context("tasks did not end in time")?
            }
            () = signals.next() => bail!("ended at once by a second signal"),
        }
    }
}

/// For requests whose answer cannot take long. Without it, a lease would wait on a connection that is
/// dead until the kernel gives up on it, a quarter of an hour. Watches have their own limits.
fn impatient(mut config: Config) -> Config {
    config.read_timeout = Some(ANSWER);
    config.reset_reader_on_write = true;
    config
}

/// For requests whose sender knows when to try again. By itself, the client would do so for minutes
/// where our own webhook refuses for want of a key, and keep the reason to itself.
fn once(mut config: Config) -> Config {
    config.default_retry = false;
    config
}

/// How long the API server may take for what is quickly done.
const ANSWER: Duration = Duration::from_secs(5);
/// How long requests may take to finish. The API server gives a webhook ten seconds.
const DRAIN: Duration = Duration::from_secs(15);
/// What tasks may take to end beyond that.
const MARGIN: Duration = Duration::from_secs(5);
/// What the end of the audit log may take to be signed and kept.
const LAST: Duration = Duration::from_secs(2);
