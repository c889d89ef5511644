//! When what is known of a vault's consumers is worth a write.
//!
//! A change reaches a thousand pods one after the other, and while it does, each of them is stale for
//! some milliseconds. A status that followed would be written a hundred times, and say what is no
//! more true when somebody reads it. So it waits until all is quiet.
//!
//! Fewer consumers than the status says must hold for longer: agents that change to another replica
//! are known to none for a moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::consumers::Usage;

/// What is known of the consumers of every vault, and since when.
#[derive(Debug, Default)]
pub(super) struct Settling {
    vaults: HashMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    generation: i64,
    usage: Arc<Usage>,
    /// When this was seen first.
    at: Instant,
    /// When it began to change.
    begun: Instant,
    settled: bool,
}

impl Settling {
    /// Takes a look at a vault: its generation, what is known of its consumers now, and how many
    /// the status says there are. Returns what the status should say; none: what it says.
    pub(super) fn look(
        &mut self,
        uid: &str,
        generation: i64,
        usage: &Arc<Usage>,
        said: Option<i32>,
        now: Instant,
    ) -> Option<Arc<Usage>> {
        let seen = self.vaults.entry(uid.to_owned()).or_insert_with(|| Seen {
            generation,
            usage: Arc::clone(usage),
            at: now,
            begun: now,
            settled: false,
        });
        if seen.generation != generation || seen.usage != *usage {
            seen.generation = generation;
            seen.usage = Arc::clone(usage);
            seen.at = now;
            if seen.settled {
                seen.begun = now;
                seen.settled = false;
            }
        }
        let fewer = said.is_some_and(|said| i64::from(usage.count()) < i64::from(said));
        let quiet = if fewer { FEWER } else { QUIET };
        // What nobody uses and never was said to be used: a new vault gets one write, not two.
        seen.settled |= said.is_none() && usage.count() == 0;
        seen.settled |= now - seen.at >= quiet || now - seen.begun >= LONGEST;
        seen.settled.then(|| Arc::clone(&seen.usage))
    }

    /// Forgets vaults that are gone.
    pub(super) fn retain(&mut self, is_alive: impl Fn(&str) -> bool) {
        self.vaults.retain(|uid, _| is_alive(uid));
    }
}

/// How long fewer consumers must hold: an agent that lost its operator has found another by then.
const FEWER: Duration = Duration::from_secs(12);
/// How long what never gets quiet may wait.
const LONGEST: Duration = Duration::from_secs(30);
/// How long nothing may change. Longer than the replicas take to gather changes for a write: two of
/// them that write one after the other are one change.
const QUIET: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::Use;

    fn pods(generation: i64, count: u32) -> Arc<Usage> {
        let usage = Use {
            generation,
            ..Use::default()
        };
        Arc::new(Usage::default().and(usage, count))
    }

    /// What is told at each of these moments, in milliseconds: generation, what is known, and how
    /// many the status says there are.
    fn told(looks: &[(u64, i64, &Arc<Usage>, i32)]) -> Vec<bool> {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let looks = looks.iter();
        looks
            .map(|(at, generation, usage, said)| {
                let now = start + Duration::from_millis(*at);
                let told = settling.look("u", *generation, usage, Some(*said), now);
                if let Some(told) = &told {
                    assert_eq!(told, *usage);
                }
                told.is_some()
            })
            .collect()
    }

    #[test]
    fn what_is_quiet_is_told_and_told_again() {
        let usage = pods(1, 5);
        let looks = [
            (0, 1, &usage, 5),
            (2999, 1, &usage, 5),
            (3000, 1, &usage, 5),
            (9000, 1, &usage, 5),
        ];
        assert_eq!(told(&looks), [false, false, true, true]);
    }

    #[test]
    fn a_new_generation_waits_for_the_pods_to_follow() {
        let (old, new) = (pods(1, 5), pods(2, 5));
        let looks = [
            (0, 1, &old, 5),
            (3000, 1, &old, 5),
            (4000, 2, &old, 5),
            (6000, 2, &new, 5),
            (8000, 2, &new, 5),
            (9000, 2, &new, 5),
        ];
        assert_eq!(told(&looks), [false, true, false, false, false, true]);
    }

    #[test]
    fn who_does_not_follow_is_told() {
        let old = pods(1, 5);
        let looks = [
            (0, 1, &old, 5),
            (3000, 1, &old, 5),
            (4000, 2, &old, 5),
            (7000, 2, &old, 5),
        ];
        assert_eq!(told(&looks), [false, true, false, true]);
    }

    #[test]
    fn fewer_than_the_status_says_must_hold_for_longer() {
        let (all, none) = (pods(1, 5), pods(1, 0));
        let looks = [
            (0, 1, &all, 5),
            (3000, 1, &all, 5),
            (4000, 1, &none, 5),
            (15_000, 1, &none, 5),
            (16_000, 1, &none, 5),
        ];
        assert_eq!(told(&looks), [false, true, false, false, true]);
    }

    #[test]
    fn what_never_gets_quiet_is_told_in_the_end() {
        let usages: Vec<_> = (0..40).map(|n| pods(1, n)).collect();
        let looks: Vec<_> = usages
            .iter()
            .enumerate()
            .map(|(n, usage)| (n as u64 * 1000, 1, usage, 0))
            .collect();
        let told = told(&looks);
        assert_eq!(told.iter().position(|told| *told), Some(30));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
    }

    #[test]
    fn a_new_vault_needs_no_patience() {
        let mut settling = Settling::default();
        let mut look = |usage| settling.look("u", 1, &usage, None, Instant::now());
        assert!(look(pods(1, 0)).is_some());
        assert!(look(pods(1, 1)).is_none());
    }

    #[test]
    fn a_vault_that_is_gone_is_forgotten() {
        let mut settling = Settling::default();
        settling.look("u", 1, &pods(1, 1), None, Instant::now());
        settling.retain(|uid| uid != "u");
        assert!(settling.vaults.is_empty());
    }
}
