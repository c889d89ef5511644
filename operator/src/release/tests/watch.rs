//! Watch streams, over HTTP/2 in memory: the agent's own client, the gate, the service. The clock
//! stands still while there is something to do.

mod changes;
mod endings;
mod limits;

use std::time::Duration;

use futures::channel::mpsc;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use secretvault_delivery::v1::delivery_client::DeliveryClient;
use secretvault_delivery::v1::{Subscription, WatchEvent, WatchRequest};
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::release::fake::Token;
use crate::release::fixture::{Sealing, World, volume};
use crate::vaults::Vaults;

/// The vault `shop/app` at generation 1, and one replica.
async fn world() -> World {
    World::with(|keyring| [Sealing::new(keyring, "shop", "app").secret("a", "1").object]).await
}

/// One replica, and a connection to it.
struct Replica {
    router: axum::Router,
}

impl Replica {
    fn of(world: &World) -> Self {
        Self {
            router: world.router(),
        }
    }

    /// Opens a stream as the agent on `node-a`.
    async fn watch(&self) -> Agent {
        self.watch_as("Bearer t-agent").await.unwrap()
    }

    async fn watch_as(&self, authorization: &str) -> Result<Agent, Status> {
        let (words, heard) = mpsc::unbounded();
        let mut request = Request::new(heard);
        let authorization = authorization.parse().unwrap();
        request
            .metadata_mut()
            .insert("authorization", authorization);
        let answer = self.client().await.watch(request).await?;
        Ok(Agent {
            words,
            events: answer.into_inner(),
        })
    }

    /// A client with a connection of its own.
    async fn client(&self) -> DeliveryClient<Channel> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let router = self.router.clone();
        tokio::spawn(async move {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(router);
            let _ = server.serve_connection(TokioIo::new(far), service).await;
        });
        let mut near = Some(TokioIo::new(near));
        let connect = tower::service_fn(move |_| {
            let near = near.take().ok_or(std::io::ErrorKind::ConnectionRefused);
            std::future::ready(near.map_err(std::io::Error::from))
        });
        let endpoint = Endpoint::from_static("http://operator");
        DeliveryClient::new(endpoint.connect_with_connector(connect).await.unwrap())
    }
}

/// An agent's end of a stream.
struct Agent {
    words: mpsc::UnboundedSender<WatchRequest>,
    events: Streaming<WatchEvent>,
}

impl Agent {
    /// Says that a volume holds this.
    fn says(&self, handle: &[u8], generation: i64) {
        self.sends(vec![word(handle, generation)]);
    }

    /// Says that it is there.
    fn is_alive(&self) {
        self.sends(Vec::new());
    }

    fn sends(&self, subscriptions: Vec<Subscription>) {
        let _ = self.words.unbounded_send(WatchRequest {
            subscriptions,
            dropped: Vec::new(),
        });
    }

    /// The handles of the next event that has some, which comes without any time passing.
    async fn hears(&mut self) -> Vec<Vec<u8>> {
        let begun = Instant::now();
        let event = self.events.message().await.unwrap().unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(!event.changed.is_empty());
        event.changed
    }

    /// Has everything done that there is to do, and hears nothing.
    async fn hears_nothing(&mut self) {
        let heard = timeout(Duration::from_millis(1), self.events.message()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// How the stream ends, and after how long. Says that it is alive all the time.
    async fn ends(&mut self) -> (tonic::Code, Duration) {
        let begun = Instant::now();
        let code = timeout(Duration::from_secs(7200), self.end()).await;
        (code.expect("it does not end"), begun.elapsed())
    }

    async fn end(&mut self) -> tonic::Code {
        loop {
            match self.events.message().await {
                Ok(Some(_)) => self.is_alive(),
                Ok(None) => return tonic::Code::Ok,
                Err(status) => return status.code(),
            }
        }
    }
}

fn word(handle: &[u8], generation: i64) -> Subscription {
    Subscription {
        handle: handle.to_vec(),
        generation,
        since: generation,
    }
}

/// Has the API server speak every ten seconds, as it does.
fn keep_fresh(vaults: &Vaults) {
    let vaults = vaults.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            vaults.bookmark();
        }
    });
}

/// Makes an agent on another node known; gives its authorization.
fn agent_on(world: &World, node: &str) -> String {
    let token = Token::of_agent().claiming("node-name", node);
    world.server.token(&format!("t-{node}"), token);
    format!("Bearer t-{node}")
}

/// The handle of `shop/app`, as a grant gives it.
async fn handle(world: &World) -> Vec<u8> {
    let grant = world.grant(volume("app", "")).await;
    grant.vaults[0].handle.clone()
}

/// Changes the vault `shop/app`.
fn edit(world: &World, generation: i64) {
    let sealing = Sealing::new(&world.keyring, "shop", "app").secret("a", "1");
    world.vaults.arrive(sealing.generation(generation).object);
}

/// The value of a metric, given with its labels.
fn metric(world: &World, name: &str) -> f64 {
    let mut registry = prometheus_client::registry::Registry::with_prefix("secretvault");
    world.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = text.lines().find_map(|line| {
        let (key, value) = line.rsplit_once(' ')?;
        (key == format!("secretvault_release_watch_{name}")).then(|| value.parse().unwrap())
    });
    line.unwrap_or_default()
}
