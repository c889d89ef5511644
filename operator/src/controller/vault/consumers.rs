//! What the status says of a vault's consumers.

use secretvault_crds::{
    ConsumerStatus, SecretVaultStatus, StaleReason,
    limits::{MAX_CONSUMERS, MAX_CONSUMERS_BYTES},
};

use crate::consumers::{PodName, Usage, Use};

/// Which generations the vault has: a pod that holds others is stale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generations {
    /// Of the spec.
    pub(super) current: i64,
    /// Since when its contents are what they are.
    pub(super) content: i64,
}

/// Says in a status who uses the vault. Where that is not known, or not settled yet, it says what
/// it said before.
pub(super) fn tell(
    status: &mut SecretVaultStatus,
    usage: Option<&Usage>,
    generations: Generations,
    before: Option<&SecretVaultStatus>,
) {
    match usage {
        Some(usage) => count(status, usage, generations),
        None => {
            let Some(before) = before else { return };
            status.consumer_count = before.consumer_count;
            status.stale_count = before.stale_count;
            status.consumers.clone_from(&before.consumers);
        }
    }
}

fn count(status: &mut SecretVaultStatus, usage: &Usage, generations: Generations) {
    let is_stale = |usage: &Use| stale(usage, generations).is_some();
    let named = usage.pods().filter(|(_, usage)| is_stale(usage)).count();
    let unnamed = usage.unnamed().filter(|(usage, _)| is_stale(usage));
    let stale_count = unnamed.fold(
        u32::try_from(named).unwrap_or(u32::MAX),
        |sum, (_, count)| sum.saturating_add(count),
    );
    status.consumer_count = Some(clamped(usage.count()));
    status.stale_count = Some(clamped(stale_count));
    status.consumers = listed(usage, generations);
}

/// Stale ones first, then by name; as many as there is room for.
fn listed(usage: &Usage, generations: Generations) -> Vec<ConsumerStatus> {
    let mut pods: Vec<(bool, &PodName, &Use)> = usage
        .pods()
        .map(|(name, usage)| (stale(usage, generations).is_none(), name, usage))
        .collect();
    pods.sort();
    let mut room = MAX_CONSUMERS_BYTES;
    let pods = pods.into_iter().take(MAX_CONSUMERS);
    let pods = pods.map(|(_, name, usage)| consumer(name, usage, generations));
    pods.take_while(|pod| {
        // It serializes, and one that does not has no room.
        let bytes = serde_json::to_vec(pod).map_or(usize::MAX, |text| text.len() + COMMA);
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    })
    .collect()
}

fn consumer(name: &PodName, usage: &Use, generations: Generations) -> ConsumerStatus {
    let reason = stale(usage, generations);
    ConsumerStatus {
        pod: format!("{}/{}", name.namespace, name.name),
        node: usage.node.clone(),
        generation: usage.generation,
        stale: reason.is_some(),
        reason,
        overridden: usage.overridden.clone(),
    }
}

fn stale(usage: &Use, generations: Generations) -> Option<StaleReason> {
    if usage.generation != generations.current {
        Some(StaleReason::Behind)
    } else if usage.env && usage.since < generations.content {
        Some(StaleReason::Environment)
    } else {
        None
    }
}

fn clamped(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

const COMMA: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Generations = Generations {
        current: 7,
        content: 5,
    };

    fn pod(name: &str, generation: i64, since: i64, env: bool) -> (String, Use) {
        let usage = Use {
            generation,
            since,
            env,
            node: "node-a".to_owned(),
            ..Use::default()
        };
        (name.to_owned(), usage)
    }

    fn told(usage: &Usage) -> SecretVaultStatus {
        let mut status = SecretVaultStatus::default();
        tell(&mut status, Some(usage), NOW, None);
        status
    }

    #[test]
    fn who_is_stale_and_why() {
        use StaleReason::{Behind, Environment};
        let cases = [
            (pod("files", 7, 0, false), None),
            (pod("behind", 6, 0, false), Some(Behind)),
            (pod("ahead", 8, 0, false), Some(Behind)),
            (pod("env", 7, 7, true), None),
            // What changed since does not concern what is in the files.
            (pod("env", 7, 5, true), None),
            (pod("env", 7, 4, true), Some(Environment)),
            (pod("env", 6, 4, true), Some(Behind)),
            (pod("no-env", 7, 4, false), None),
        ];
        for (pod, expected) in cases {
            let case = format!("{pod:?}");
            let status = told(&Usage::of([pod]));
            assert_eq!(status.consumers[0].reason, expected, "{case}");
            assert_eq!(status.consumers[0].stale, expected.is_some(), "{case}");
            assert_eq!(
                status.stale_count,
                Some(expected.is_some().into()),
                "{case}"
            );
            assert_eq!(status.consumer_count, Some(1));
        }
    }

    #[test]
    fn the_list_has_stale_pods_first_then_names() {
        let pods = [
            pod("b", 7, 0, false),
            pod("a", 7, 0, false),
            pod("z", 7, 1, true),
            pod("y", 6, 0, false),
        ];
        let status = told(&Usage::of(pods));
        let names: Vec<&str> = status.consumers.iter().map(|it| it.pod.as_str()).collect();
        assert_eq!(names, ["shop/y", "shop/z", "shop/a", "shop/b"]);
    }

    #[test]
    fn what_another_vault_overrides_is_named() {
        let (name, mut usage) = pod("web", 7, 0, false);
        usage.overridden = vec!["token".to_owned()];
        assert_eq!(
            told(&Usage::of([(name, usage)])).consumers[0].overridden,
            ["token"]
        );
    }

    #[test]
    fn the_list_has_an_end_and_the_counts_have_none() {
        let pods = (0..150).map(|n| pod(&format!("web-{n:0>3}"), 6, 0, false));
        let usage = Usage::of(pods).and(pod("", 6, 0, false).1, 1000);
        let status = told(&usage.and(pod("", 7, 0, false).1, 10));
        assert_eq!(status.consumers.len(), MAX_CONSUMERS);
        assert_eq!(status.consumer_count, Some(1160));
        assert_eq!(status.stale_count, Some(1150));
    }

    #[test]
    fn the_list_has_no_more_bytes_than_admission_leaves_for_it() {
        let pods = (0..150).map(|n| {
            let (name, mut usage) = pod(&format!("{n:0>3}-{}", "w".repeat(249)), 6, 0, false);
            usage.node = "n".repeat(253);
            (name, usage)
        });
        let status = told(&Usage::of(pods));
        let bytes = serde_json::to_vec(&status.consumers).unwrap().len();
        assert!(bytes <= MAX_CONSUMERS_BYTES, "{bytes}");
        assert!(status.consumers.len() > 20, "{}", status.consumers.len());
        assert_eq!(status.consumer_count, Some(150));
    }

    #[test]
    fn a_hundred_pods_with_names_of_usual_length_have_room() {
        let pods = (0..100).map(|n| {
            let (name, mut usage) = pod(&format!("storefront-6d4cf56db6-{n:0>5}"), 6, 0, false);
            usage.node = "ip-10-0-123-45.eu-central-1.internal".to_owned();
            (name, usage)
        });
        assert_eq!(told(&Usage::of(pods)).consumers.len(), 100);
    }

    #[test]
    fn what_is_not_known_stays_as_it_was() {
        let before = told(&Usage::of([pod("web", 7, 0, false)]));
        let mut status = SecretVaultStatus::default();
        tell(&mut status, None, NOW, Some(&before));
        assert_eq!(status, before);
        let mut first = SecretVaultStatus::default();
        tell(&mut first, None, NOW, None);
        assert_eq!(first.consumer_count, None);
    }
}
