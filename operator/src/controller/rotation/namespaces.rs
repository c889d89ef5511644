//! The namespaces as the leader sees them: only their metadata, and of that only what decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tracing::warn;

use super::view::Known;
use crate::keys::NamespaceFacts;

/// Follows the namespaces until dropped. Nothing is told before they were listed once.
pub(super) async fn follow(client: Client, told: watch::Sender<Option<Known>>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = Box::pin(events);
    let mut all = Followed::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => all.take(event),
            Err(error) => warn!(%error, "namespaces cannot be followed"),
        }
        told.send_if_modified(|known| all.tell(known));
    }
}

/// What was seen, and what a list under way brought so far.
#[derive(Default)]
struct Followed {
    all: BTreeMap<String, NamespaceFacts>,
    listing: BTreeMap<String, NamespaceFacts>,
    listed: bool,
}

impl Followed {
    fn take(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Apply(namespace) => drop(self.all.insert(namespace.name_any(), of(&namespace))),
            Event::Delete(namespace) => drop(self.all.remove(&namespace.name_any())),
            Event::Init => self.listing.clear(),
            Event::InitApply(namespace) => {
                self.listing.insert(namespace.name_any(), of(&namespace));
            }
            Event::InitDone => {
                self.all = std::mem::take(&mut self.listing);
                self.listed = true;
            }
        }
    }

    /// Tells it, if it is something else than before. A namespace changes for many reasons.
    fn tell(&self, known: &mut Option<Known>) -> bool {
        if !self.listed || known.as_deref() == Some(&self.all) {
            return false;
        }
        *known = Some(Arc::new(self.all.clone()));
        true
    }
}

/// As admission sees it.
fn of(namespace: &PartialObjectMeta<Namespace>) -> NamespaceFacts {
    NamespaceFacts::of(&namespace.metadata)
}

#[cfg(test)]
mod tests {
    use kube::core::{ObjectMeta, PartialObjectMetaExt};
    use secretvault_crds::api::ANNOTATION_KEY_PROVIDER;

    use super::*;

    fn namespace(name: &str, provider: &str) -> PartialObjectMeta<Namespace> {
        let meta = ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some([(ANNOTATION_KEY_PROVIDER.to_owned(), provider.to_owned())].into()),
            ..ObjectMeta::default()
        };
        meta.into_response_partial()
    }

    #[test]
    fn nothing_is_told_before_all_were_listed_and_what_did_not_change_is_not_told_again() {
        let (mut followed, mut known) = (Followed::default(), None);
        let mut take = |event| {
            followed.take(event);
            let told = followed.tell(&mut known);
            let named = |facts: &NamespaceFacts| facts.named(None).to_owned();
            let all = known.as_ref().map(|all| all.values().map(named).collect());
            (told, all.unwrap_or_else(Vec::new))
        };
        assert_eq!(take(Event::Init), (false, vec![]));
        assert_eq!(take(Event::InitApply(namespace("a", "x"))), (false, vec![]));
        assert_eq!(take(Event::InitDone), (true, vec!["x".to_owned()]));
        let same = take(Event::Apply(namespace("a", "x")));
        assert_eq!(same, (false, vec!["x".to_owned()]));
        let other = take(Event::Apply(namespace("a", "")));
        assert_eq!(other, (true, vec!["default".to_owned()]));
        assert_eq!(take(Event::Init), (false, vec!["default".to_owned()]));
        assert_eq!(take(Event::InitDone), (true, vec![]));
    }
}
