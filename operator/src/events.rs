//! Events: told once, on a change.
//!
//! kube's own recorder joins events of one reason into a series that keeps the first one's text;
//! ours name entries, so each is an event of its own. They are as rare as changes are.

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tracing::warn;

use crate::words::shortened;

/// What is told of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct News {
    /// Whether somebody should look.
    pub(crate) warning: bool,
    /// A word in camel case.
    pub(crate) reason: &'static str,
    /// For a person. Names of entries at most: never a value, nor a part or a size of one.
    pub(crate) note: String,
}

impl News {
    /// Something went as it should.
    pub(crate) fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            note: note.into(),
        }
    }

    /// Somebody should look.
    pub(crate) fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            warning: true,
            ..Self::normal(reason, note)
        }
    }
}

/// Tells events in this replica's name.
#[derive(Clone)]
pub(crate) struct Events {
    client: Client,
    teller: Teller,
}

/// Who tells, and what it was doing: a word in camel case.
#[derive(Clone)]
struct Teller {
    pod_name: String,
    action: &'static str,
}

impl Events {
    pub(crate) fn new(client: Client, pod_name: &str) -> Self {
        Self::doing("Reconcile", client, pod_name)
    }

    /// Tells of something else than reconciling.
    pub(crate) fn doing(action: &'static str, client: Client, pod_name: &str) -> Self {
        let pod_name = pod_name.to_owned();
        let teller = Teller { pod_name, action };
        Self { client, teller }
    }

    /// Tells it. An event that cannot be told is logged: it is no reason to fail.
    pub(crate) async fn tell(&self, about: &ObjectReference, news: News) {
        let event = event(about, news, &self.teller, Timestamp::now());
        let namespace = event
            .metadata
            .namespace
            .as_deref()
            .unwrap_or(CLUSTER_SCOPED);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            warn!(%error, object = about.name, "an event was not told");
        }
    }
}

fn event(about: &ObjectReference, news: News, told_by: &Teller, now: Timestamp) -> Event {
    let kind = about.kind.as_deref().unwrap_or_default().to_lowercase();
    let namespace = about
        .namespace
        .clone()
        .unwrap_or_else(|| CLUSTER_SCOPED.to_owned());
    Event {
        action: Some(told_by.action.into()),
        event_time: Some(MicroTime(now)),
        metadata: ObjectMeta {
            generate_name: Some(format!("{kind}-")),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        note: Some(shortened(news.note, MAX_NOTE)),
        reason: Some(news.reason.into()),
        regarding: Some(about.clone()),
        reporting_controller: Some("secretvault-operator".into()),
        reporting_instance: Some(shortened(told_by.pod_name.clone(), MAX_INSTANCE)),
        type_: Some(if news.warning { "Warning" } else { "Normal" }.into()),
        ..Event::default()
    }
}

/// Where events about objects without a namespace go.
const CLUSTER_SCOPED: &str = "default";
/// What the API server accepts.
const MAX_INSTANCE: usize = 128;
/// What the API server accepts.
const MAX_NOTE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn about(namespace: Option<&str>) -> ObjectReference {
        ObjectReference {
            kind: Some("SecretVault".into()),
            name: Some("app".into()),
            namespace: namespace.map(Into::into),
            ..ObjectReference::default()
        }
    }

    fn told(namespace: Option<&str>, note: &str) -> Event {
        let news = News {
            warning: true,
            reason: "Damaged",
            note: note.into(),
        };
        let teller = Teller {
            pod_name: "pod".into(),
            action: "Reconcile",
        };
        event(&about(namespace), news, &teller, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_event_is_where_its_object_is() {
        assert_eq!(
            told(Some("shop"), "").metadata.namespace.as_deref(),
            Some("shop")
        );
        assert_eq!(
            told(None, "").metadata.namespace.as_deref(),
            Some("default")
        );
    }

    #[test]
    fn a_long_note_is_cut() {
        assert_eq!(told(None, &"x".repeat(2000)).note.unwrap().len(), 1024);
    }
}
