//! Keeps [`Providers`] current: from `KeyProvider` objects, the Secrets of the operator's own
//! namespace, keyring files, and what Transit servers answer.
//!
//! # Guarantees
//! * A provider that was usable stays usable while the API server does not answer.
//! * No provider waits for another one, and a round not long for any server. Nor does a server wait
//!   for a round: what is under way there goes on while the API server is silent.
//! * A change is read at once, and those that come soon after it together, a quarter of a second
//!   later. So is a round that somebody asks for: anybody may ask without end, for a key that
//!   nobody has, and each round probes every server.
//! * Nothing is written, and no keyring is kept but inside [`Provider`].

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::{
    WatchStreamExt,
    watcher::{self, Event},
};
use kube::{Api, Client, ResourceExt};
use secretvault_crds::{KeyProvider, VaultTransit};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::local::Source;
use super::transit::Surroundings;
use super::{KeyFault, Pace, Policy, Provider, ProviderFault, Providers, State};

/// How often keyring files, which nobody watches, are read again.
const FILE_POLL: Duration = Duration::from_secs(10);

/// How often to see what is due at Transit servers.
const TRANSIT_POLL: Duration = Duration::from_secs(1);

/// Hints that are answered by one round.
const BURST: usize = 64;

/// Bounds one round of reading, so that a silent API server does not stop the loop.
const ROUND: Duration = Duration::from_secs(10);

/// How long a round waits for Transit servers. Who asked for it waits three seconds.
const ANSWERS: Duration = Duration::from_millis(500);

/// How many providers are read at a time.
const CONCURRENCY: usize = 8;

/// Runs until the process ends. `synced` turns true after the first complete round.
pub async fn run(
    client: Client,
    namespace: String,
    providers: Providers,
    synced: watch::Sender<bool>,
) {
    let mut triggers = Box::pin(triggers(&client, &namespace).ready_chunks(BURST));
    let mut polls = interval(TRANSIT_POLL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pace = Pace::default();
    let mut reader = Reader::new(client, namespace, providers.clone());
    let mut attendance = Attendance::of(&providers);
    let mut looks = Vec::new();
    loop {
        providers.count_changes(&mut looks);
        let hint = async {
            pace.rest().await;
            tokio::select! {
                () = providers.rounds.wanted() => {}
                Some(_) = triggers.next() => {}
            }
        };
        tokio::select! {
            () = hint => {}
            _ = polls.tick() => {
                attendance.begin(false);
                continue;
            }
            () = attendance.next() => continue,
        }
        providers.rounds.begin();
        pace.begun();
        let round = timeout(ROUND, reader.round());
        let round = attendance.during(round).await;
        attendance.begin(true);
        // Those who answer later are attended to all the same.
        let _ = timeout(ANSWERS, attendance.all()).await;
        providers.rounds.end();
        match round {
            Ok(Ok(())) => {
                synced.send_replace(true);
            }
            Ok(Err(error)) => warn!(%error, "key providers could not be listed"),
            Err(_) => warn!("key providers could not be read in time"),
        }
    }
}

/// Whatever may have changed a provider. Only a hint: each round reads everything anew.
fn triggers(client: &Client, namespace: &str) -> impl Stream<Item = ()> + use<> {
    let objects: Api<KeyProvider> = Api::all(client.clone());
    // Only their metadata: no keyring lies in a watcher's memory.
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
    let objects = watcher::watcher(objects, watcher::Config::default()).default_backoff();
    let mut seen = HashMap::new();
    let objects = objects.filter_map(move |event| ready(is_news(&mut seen, &event).then_some(())));
    let secrets = watcher::watcher(secrets, watcher::Config::default()).default_backoff();
    let files = stream::unfold((), |()| async {
        tokio::time::sleep(FILE_POLL).await;
        Some(((), ()))
    });
    stream::select(stream::select(objects, secrets.map(|_| ())), files)
}

/// Whether more than a status may have changed: the leader writes one for each provider now and then,
/// and all replicas would read all keyrings anew each time.
fn is_news(
    seen: &mut HashMap<Option<String>, Option<i64>>,
    event: &Result<Event<KeyProvider>, watcher::Error>,
) -> bool {
    match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => {
            let meta = &object.metadata;
            seen.insert(meta.uid.clone(), meta.generation) != Some(meta.generation)
        }
        Ok(Event::Delete(object)) => {
            seen.remove(&object.metadata.uid);
            true
        }
        // Whoever was deleted meanwhile is not told.
        Ok(Event::Init | Event::InitDone) | Err(_) => true,
    }
}

/// Reads providers.
struct Reader {
    objects: Api<KeyProvider>,
    secrets: Api<Secret>,
    clusters: Api<PartialObjectMeta<Namespace>>,
    client: Client,
    namespace: String,
    providers: Providers,
    /// The UID of the namespace kube-system. It never changes.
    cluster: Option<String>,
}

impl Reader {
    fn new(client: Client, namespace: String, providers: Providers) -> Self {
        Self {
            objects: Api::all(client.clone()),
            secrets: Api::namespaced(client.clone(), &namespace),
            clusters: Api::all(client.clone()),
            client,
            namespace,
            providers,
            cluster: None,
        }
    }

    async fn round(&mut self) -> Result<(), kube::Error> {
        let list = self.objects.list(&ListParams::default()).await?;
        let names: Vec<String> = list.items.iter().map(ResourceExt::name_any).collect();
        self.providers.retain(&names);
        let transit = |object: &KeyProvider| object.spec.vault_transit.is_some();
        if self.cluster.is_none() && list.items.iter().any(transit) {
            self.cluster = self.cluster_uid().await;
        }
        let reading = stream::iter(&list.items).for_each_concurrent(CONCURRENCY, |object| {
            let reader = &*self;
            async move {
                let state = reader.load(object).await;
                let policy = Arc::new(Policy::of(&object.spec));
                update(&reader.providers, &object.name_any(), &state, &policy);
            }
        });
        reading.await;
        Ok(())
    }

    async fn load(&self, object: &KeyProvider) -> State {
        let source = Source::of(&object.spec)?;
        if let Some(transit) = &object.spec.vault_transit {
            return self.transit(object, transit, &source);
        }
        let keyring = source.load(&self.secrets).await?;
        let provider = Provider::local(&object.name_any(), keyring, source);
        Ok(Arc::new(provider.counted_by(&self.providers.metrics)))
    }

    fn transit(&self, object: &KeyProvider, spec: &VaultTransit, source: &Source) -> State {
        let name = object.name_any();
        // With a scope of its own, a provider does without it.
        let cluster = self.cluster.as_deref().or(spec.scope.as_deref());
        let cluster = cluster.ok_or_else(|| {
            ProviderFault::new(
                KeyFault::Unreachable,
                "the API server did not answer for namespace kube-system, whose UID is the scope",
            )
        })?;
        let surroundings = Surroundings {
            client: &self.client,
            namespace: &self.namespace,
            cluster,
            usable_before: was_usable(object, source),
            metrics: &self.providers.metrics,
        };
        let old = self.providers.known(&name);
        Provider::transit(&name, spec, &surroundings, old.as_ref())
    }

    async fn cluster_uid(&self) -> Option<String> {
        let found = self.clusters.get_opt("kube-system").await;
        found.ok().flatten()?.metadata.uid
    }
}

/// Does what is due at the Transit servers. Beside the rounds: a server may be slow.
struct Attendance<'a> {
    providers: &'a Providers,
    /// Whoever is attended to just now: no provider twice.
    busy: HashSet<String>,
    attending: FuturesUnordered<BoxFuture<'static, String>>,
}

impl<'a> Attendance<'a> {
    fn of(providers: &'a Providers) -> Self {
        Self {
            providers,
            busy: HashSet::new(),
            attending: FuturesUnordered::new(),
        }
    }

    /// Begins with all that are not attended to by now. `at_once`: somebody waits for it.
    fn begin(&mut self, at_once: bool) {
        for (name, transit) in self.providers.transits() {
            if self.busy.insert(name.clone()) {
                let attending = async move {
                    transit.attend(at_once).await;
                    name
                };
                self.attending.push(attending.boxed());
            }
        }
    }

    /// Resolves when one of them is done; never, if there are none.
    async fn next(&mut self) {
        match self.attending.next().await {
            Some(name) => {
                self.busy.remove(&name);
            }
            None => std::future::pending().await,
        }
    }

    /// Resolves when all are done.
    async fn all(&mut self) {
        while !self.busy.is_empty() {
            self.next().await;
        }
    }

    /// Goes on until something else is done: a login that stands still keeps out who needs it.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.next() => {}
            }
        }
    }
}

/// Whether the status says that this key was usable, maybe when another process saw it.
fn was_usable(object: &KeyProvider, source: &Source) -> bool {
    object.status.as_ref().is_some_and(|status| {
        let same = status
            .keyring_source
            .as_ref()
            .is_some_and(|said| said.starts_with(&source.to_string()));
        same && status.primary_key_id.is_some()
    })
}

fn update(providers: &Providers, name: &str, state: &State, policy: &Arc<Policy>) {
    let known = providers.known(name);
    let same_fault =
        |fault: &ProviderFault| matches!(providers.state(name), Some(Err(it)) if it == *fault);
    match (state, &known) {
        (Err(fault), Some(before)) if fault.reason == KeyFault::Unreachable => {
            return providers.set_with(name, &Ok(Arc::clone(before)), policy);
        }
        (Err(fault), None) if same_fault(fault) => {}
        (Err(fault), _) => warn!(
            provider = name,
            reason = fault.reason.as_str(),
            "key provider is not usable"
        ),
        (Ok(_), Some(_)) => {}
        // Of a Transit key, only the server can tell.
        (Ok(provider), None) if provider.as_transit().is_some() => {}
        (Ok(provider), None) => info!(
            provider = name,
            key = provider.primary_key_id(),
            "key provider is usable"
        ),
    }
    providers.set_with(name, state, policy);
}

#[cfg(test)]
mod tests;
