//! What failed of late, why, and when to try again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secretvault_vault::VaultRef;
use tokio::time::Instant;

/// The vaults whose last step failed. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Troubles(Arc<Mutex<BTreeMap<VaultRef, Trouble>>>);

#[derive(Debug)]
struct Trouble {
    /// Failures in a row.
    failures: u32,
    /// The vault's generation then: another one may have mended it.
    generation: i64,
    again: Instant,
    message: Arc<str>,
}

impl Troubles {
    /// Why the last step for a vault failed.
    pub(in crate::controller) fn message(&self, vault: &VaultRef) -> Option<Arc<str>> {
        self.all().get(vault).map(|it| Arc::clone(&it.message))
    }

    /// Whether a step for this vault must wait.
    pub(super) fn wait(&self, vault: &VaultRef, generation: i64, now: Instant) -> bool {
        let all = self.all();
        let known = all.get(vault);
        known.is_some_and(|it| it.generation == generation && now < it.again)
    }

    /// Notes a failure. Returns whether it is the first one, or for another reason than the last.
    pub(super) fn failed(
        &self,
        vault: &VaultRef,
        generation: i64,
        message: &str,
        chance: u32,
        now: Instant,
    ) -> bool {
        let mut all = self.all();
        let before = all.get(vault);
        let failures = before.map_or(0, |it| it.failures).saturating_add(1);
        let news = before.is_none_or(|it| *it.message != *message);
        let trouble = Trouble {
            failures,
            generation,
            again: now + delay(failures, chance),
            message: message.into(),
        };
        all.insert(vault.clone(), trouble);
        news
    }

    /// Forgets a vault that has no trouble. Returns whether it had any.
    pub(super) fn over(&self, vault: &VaultRef) -> bool {
        self.all().remove(vault).is_some()
    }

    /// Forgets the vaults that are not there, or need nothing.
    pub(super) fn retain(&self, is_needed: impl Fn(&VaultRef) -> bool) {
        self.all().retain(|vault, _| is_needed(vault));
    }

    /// Has nobody wait any longer: what is known of keys has changed.
    pub(super) fn hurry(&self, now: Instant) {
        for trouble in self.all().values_mut() {
            trouble.again = now;
        }
    }

    /// The vaults that wait no longer.
    pub(super) fn due(&self, now: Instant) -> Vec<VaultRef> {
        let all = self.all();
        let due = all.iter().filter(|(_, it)| now >= it.again);
        due.map(|(vault, _)| vault.clone()).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<VaultRef, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Doubles with each failure in a row, up to [`LONGEST`]; the upper half is chance.
fn delay(failures: u32, chance: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.min(LONGEST);
    longest.mul_f64(0.5 + 0.5 * f64::from(chance) / f64::from(u32::MAX))
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> VaultRef {
        VaultRef::new("shop", "app")
    }

    #[test]
    fn delays_double_up_to_a_limit_and_half_of_them_is_chance() {
        assert_eq!(delay(1, u32::MAX), FIRST);
        assert_eq!(delay(1, 0), FIRST / 2);
        assert_eq!(delay(3, u32::MAX), FIRST * 4);
        assert_eq!(delay(u32::MAX, u32::MAX), LONGEST);
    }

    #[test]
    fn a_vault_that_failed_waits_until_its_time_or_until_it_is_edited() {
        let (troubles, now) = (Troubles::default(), Instant::now());
        assert!(troubles.failed(&vault(), 1, "no", u32::MAX, now));
        assert!(troubles.wait(&vault(), 1, now));
        assert!(!troubles.wait(&vault(), 2, now), "edited");
        assert!(!troubles.wait(&vault(), 1, now + FIRST));
        assert!(!troubles.failed(&vault(), 1, "no", u32::MAX, now));
        assert!(troubles.wait(&vault(), 1, now + FIRST), "longer each time");
        assert!(troubles.failed(&vault(), 1, "other", u32::MAX, now));
    }

    #[test]
    fn nobody_waits_once_something_changed() {
        let (troubles, now) = (Troubles::default(), Instant::now());
        troubles.failed(&vault(), 1, "no", u32::MAX, now);
        assert_eq!(troubles.due(now), []);
        troubles.hurry(now);
        assert_eq!(troubles.due(now), [vault()]);
        assert_eq!(troubles.message(&vault()).as_deref(), Some("no"));
        assert!(troubles.over(&vault()));
        assert_eq!(troubles.message(&vault()), None);
    }
}
