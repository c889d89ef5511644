//! What a verdict is worth telling the pod's owner: one Event of the pod, told once.
//!
//! A refusal needs none: kubelet tells it, as the reason why the volume is not mounted. What is told
//! here is what nobody would see otherwise: what a volume lacks although it was granted, and that
//! files went from a running pod because a right ended.
//!
//! # Guarantees
//! * Names only: of vaults, entries, paths, and patterns as the pod's author wrote them.
//! * A verdict does not wait for its Event, and does not fail with it.
//! * Nothing is told of a verdict that is not given because it cannot be recorded.
//! * At most [`MAX_UNDER_WAY`] Events are on their way at once; more are lost, and logged.
//!
//! # Caveats
//! Which Events were told is known to one replica, and only of the last [`REMEMBERED`]. kubelet
//! publishes twice within a second, through one agent and so to one replica.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use secretvault_vault::{Notice, VaultRef};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use super::identity::PodIdentity;
use crate::events::{Events, News};
use crate::words::listed;

/// Tells pods' owners. Events that are under way end with it.
pub(super) struct Told {
    events: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: JoinSet<()>,
    lately: Lately,
}

impl Told {
    pub(super) fn new(client: Client, pod_name: &str) -> Self {
        Self {
            events: Events::doing("Release", client, pod_name),
            state: Mutex::default(),
        }
    }

    /// Has it told, unless it was lately. Does not wait for that.
    pub(super) fn tell(&self, pod: &PodIdentity, news: News) {
        let mut state = self.state();
        if !state.lately.is_new(&pod.uid, &news) {
            return;
        }
        while state.under_way.try_join_next().is_some() {}
        if state.under_way.len() >= MAX_UNDER_WAY {
            warn!(
                namespace = pod.namespace,
                pod = pod.name,
                "an event was not told: too many"
            );
            return;
        }
        let (events, about) = (self.events.clone(), reference(pod));
        state.under_way.spawn(async move {
            if timeout(DEADLINE, events.tell(&about, news)).await.is_err() {
                warn!(object = about.name, "an event was not told in time");
            }
        });
    }

    /// Nothing in here can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was told lately, newest first.
#[derive(Default)]
struct Lately {
    told: VecDeque<u64>,
    hasher: RandomState,
}

impl Lately {
    /// Whether this was not told of this pod lately. Remembers it.
    fn is_new(&mut self, pod_uid: &str, news: &News) -> bool {
        let told = self.hasher.hash_one((pod_uid, news.reason, &news.note));
        let known = self.told.iter().position(|it| *it == told);
        if let Some(known) = known {
            self.told.remove(known);
        }
        self.told.push_front(told);
        self.told.truncate(REMEMBERED);
        known.is_none()
    }
}

fn reference(pod: &PodIdentity) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectReference::default()
    }
}

/// What a verdict is worth telling: at most one thing. `first`: nobody was told of the grant's
/// notices yet; `withdrawn`: paths that go because a right ended.
///
/// Each is told once by itself: files that went are held no more, and a volume that was granted has
/// had its first grant.
pub(super) fn news(first: bool, notices: &[Notice], withdrawn: &[String]) -> Option<News> {
    if !withdrawn.is_empty() {
        let paths = listed(withdrawn.iter().map(String::as_str));
        return Some(News {
            warning: true,
            reason: "SecretsWithdrawn",
            note: format!("files are taken away, which this pod may not have any more: {paths}"),
        });
    }
    if !first || notices.is_empty() {
        return None;
    }
    let warning = notices.iter().any(is_alarming);
    Some(News {
        warning,
        reason: if warning {
            "SecretsMissing"
        } else {
            "SecretsMounted"
        },
        note: note(notices),
    })
}

/// Whether the volume has less than was asked for, and nobody said that this is fine.
fn is_alarming(notice: &Notice) -> bool {
    match notice {
        Notice::EmptyVault { .. } | Notice::Idle { .. } | Notice::Lacking(_) => true,
        Notice::Gone { .. }
        | Notice::Optional(_)
        | Notice::Overridden(_)
        | Notice::Retained { .. }
        | Notice::Withdrawn { .. } => false,
    }
}

/// All notices in one text, the alarming first: what is too long for an Event is cut at its end.
fn note(notices: &[Notice]) -> String {
    let (alarming, others): (Vec<_>, Vec<_>) =
        notices.iter().partition(|notice| is_alarming(notice));
    let single = others.iter().filter(|notice| notice.overridden().is_none());
    let mut words: Vec<String> = alarming
        .iter()
        .chain(single)
        .map(ToString::to_string)
        .collect();
    words.extend(overridden(notices));
    words.join("; ")
}

/// Which files were replaced, vault by vault.
fn overridden(notices: &[Notice]) -> impl Iterator<Item = String> {
    let mut pairs: BTreeMap<(&VaultRef, &VaultRef), Vec<&str>> = BTreeMap::new();
    for it in notices.iter().filter_map(Notice::overridden) {
        let paths = pairs.entry((&it.by, &it.vault)).or_default();
        paths.push(it.path.as_str());
    }
    pairs.into_iter().map(|((by, vault), paths)| {
        let paths = listed(paths);
        format!("vault {by} overrides files of vault {vault}, which is listed before it: {paths}")
    })
}

/// Events that may be on their way at once.
const MAX_UNDER_WAY: usize = 64;

/// Events that are remembered as told.
const REMEMBERED: usize = 1024;

/// How long telling one may take.
const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use secretvault_vault::{Overridden, Refusal};

    use super::*;

    fn vault(name: &str) -> VaultRef {
        VaultRef::new("shop", name)
    }

    fn overriding(path: &str) -> Notice {
        Notice::Overridden(Overridden {
            path: path.parse().unwrap(),
            vault: vault("base"),
            entry: path.parse().unwrap(),
            by: vault("app"),
        })
    }

    fn empty() -> Notice {
        Notice::EmptyVault {
            vault: vault("bare"),
        }
    }

    fn optional() -> Notice {
        Notice::Optional(Refusal::NotFound {
            vaults: vec![vault("extra")],
            entry: None,
        })
    }

    fn pod(uid: &str) -> PodIdentity {
        PodIdentity {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: uid.to_owned(),
            service_account: "web".to_owned(),
            node: "node-a".to_owned(),
        }
    }

    #[test]
    fn a_grant_with_nothing_to_say_and_a_later_one_are_not_told() {
        assert_eq!(news(true, &[], &[]), None);
        assert_eq!(news(false, &[overriding("a"), empty()], &[]), None);
    }

    #[test]
    fn what_was_overridden_and_what_is_optional_is_told_at_the_first_grant_and_is_normal() {
        let told = news(true, &[optional(), overriding("a"), overriding("b")], &[]).unwrap();
        assert_eq!((told.warning, told.reason), (false, "SecretsMounted"));
        assert_eq!(
            told.note,
            "optional vault shop/extra does not exist: create it, or correct vaults; vault shop/app \
             overrides files of vault shop/base, which is listed before it: a, b"
        );
    }

    #[test]
    fn what_is_missing_without_being_optional_is_a_warning_and_comes_first() {
        let idle = Notice::Idle {
            pattern: "x*".parse().unwrap(),
        };
        for alarming in [empty(), idle] {
            let words = alarming.to_string();
            let told = news(true, &[overriding("a"), optional(), alarming], &[]).unwrap();
            assert_eq!((told.warning, told.reason), (true, "SecretsMissing"));
            assert!(told.note.starts_with(&words), "{}", told.note);
        }
    }

    #[test]
    fn a_withdrawn_right_is_a_warning_that_names_the_paths_whenever_it_comes() {
        let told = news(false, &[], &["a".to_owned(), "b/c".to_owned()]).unwrap();
        assert_eq!((told.warning, told.reason), (true, "SecretsWithdrawn"));
        assert!(told.note.ends_with(": a, b/c"), "{}", told.note);
    }

    #[test]
    fn the_same_news_of_one_pod_is_told_once() {
        let mut lately = Lately::default();
        let told = news(true, &[empty()], &[]).unwrap();
        assert!(lately.is_new("u", &told));
        assert!(!lately.is_new("u", &told));
        assert!(lately.is_new("v", &told));
        assert!(lately.is_new("u", &news(true, &[optional()], &[]).unwrap()));
        assert!(!lately.is_new("u", &told));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_comes_again_is_remembered_longest() {
        let mut lately = Lately::default();
        let told = news(true, &[empty()], &[]).unwrap();
        for uid in 0..2 * REMEMBERED {
            assert!(lately.is_new(&uid.to_string(), &told));
            assert_eq!(lately.is_new("republished", &told), uid == 0);
        }
        assert_eq!(lately.told.len(), REMEMBERED);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_do_not_get_through_neither_pile_up_nor_stay() {
        let server = crate::release::fake::ApiServer::new();
        server.hang(true);
        let told = Told::new(server.client(), "operator-0");
        for uid in 0..2 * MAX_UNDER_WAY {
            told.tell(&pod(&uid.to_string()), news(true, &[empty()], &[]).unwrap());
        }
        assert_eq!(told.state().under_way.len(), MAX_UNDER_WAY);
        tokio::time::sleep(2 * DEADLINE).await;
        told.tell(&pod("next"), news(true, &[empty()], &[]).unwrap());
        assert_eq!(told.state().under_way.len(), 1);
    }
}
