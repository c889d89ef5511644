//! Keeps [`Providers`] current: from `KeyProvider` objects, the Secrets of the operator's own
//! namespace, and keyring files.
//!
//! # Guarantees
//! * A provider that was usable stays usable while the API server does not answer.
//! * Nothing is written, and no keyring is kept but inside [`Provider`].

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use secretvault_crds::KeyProvider;
use tokio::sync::watch;
use tracing::{info, warn};

use super::local::Source;
use super::{KeyFault, Provider, Providers, State};

/// How often keyring files, which nobody watches, are read again.
const FILE_POLL: Duration = Duration::from_secs(10);

/// Hints that are answered by one round.
const BURST: usize = 64;

/// Bounds one round of reading, so that a silent API server does not stop the loop.
const ROUND: Duration = Duration::from_secs(10);

/// Runs until the process ends. `synced` turns true after the first complete round.
pub async fn run(
    client: Client,
    namespace: String,
    providers: Providers,
    synced: watch::Sender<bool>,
) {
    let objects: Api<KeyProvider> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    // Only their metadata: no keyring lies in a watcher's memory.
    let secret_changes: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, &namespace);
    let mut triggers = Box::pin(triggers(objects.clone(), secret_changes).ready_chunks(BURST));
    loop {
        tokio::select! {
            () = providers.rounds.wanted() => {}
            Some(_) = triggers.next() => {}
        }
        providers.rounds.begin();
        let round = tokio::time::timeout(ROUND, refresh(&objects, &secrets, &providers)).await;
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
fn triggers(
    objects: Api<KeyProvider>,
    secrets: Api<PartialObjectMeta<Secret>>,
) -> impl Stream<Item = ()> {
    let objects = watcher(objects, watcher::Config::default()).default_backoff();
    let secrets = watcher(secrets, watcher::Config::default()).default_backoff();
    let files = stream::unfold((), |()| async {
        tokio::time::sleep(FILE_POLL).await;
        Some(((), ()))
    });
    stream::select(
        stream::select(objects.map(|_| ()), secrets.map(|_| ())),
        files,
    )
}

async fn refresh(
    objects: &Api<KeyProvider>,
    secrets: &Api<Secret>,
    providers: &Providers,
) -> Result<(), kube::Error> {
    let list = objects.list(&kube::api::ListParams::default()).await?;
    let names: Vec<String> = list.items.iter().map(ResourceExt::name_any).collect();
    providers.retain(&names);
    for object in &list.items {
        let name = object.name_any();
        let state = load(object, secrets).await;
        update(providers, &name, &state);
    }
    Ok(())
}

async fn load(object: &KeyProvider, secrets: &Api<Secret>) -> State {
    let source = Source::of(&object.spec)?;
    let keyring = source.load(secrets).await?;
    Ok(Arc::new(Provider::local(
        &object.name_any(),
        keyring,
        source,
    )))
}

fn update(providers: &Providers, name: &str, state: &State) {
    let known = providers.state(name);
    match (state, &known) {
        (Err(fault), Some(Ok(_))) if fault.reason == KeyFault::Unreachable => return,
        (Err(fault), Some(Err(before))) if fault == before => return,
        (Err(fault), _) => warn!(
            provider = name,
            reason = fault.reason.as_str(),
            "key provider is not usable"
        ),
        (Ok(_), Some(Ok(_))) => {}
        (Ok(provider), _) => {
            info!(
                provider = name,
                key = provider.primary_key_id(),
                "key provider is usable"
            );
        }
    }
    providers.set(name, state);
}
