//! Whose turn it is: a vault that changed, or one that was not looked at for long.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use secretvault_crds::{DataKey, SecretVault};
use tokio::time::Instant;

use super::{key_current::Stand, turns::Due};
use crate::{consumers::Usage, metrics::VaultState};

/// What was looked at, in which version, and when again.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    looked_at: HashMap<Key, Look>,
}

type Key = (Option<String>, String);

#[derive(Debug)]
struct Look {
    at: Instant,
    version: Option<String>,
    stand: Option<Stand>,
    usage: Option<Arc<Usage>>,
    data_key: Option<DataKey>,
    again: Instant,
    state: Option<VaultState>,
    forgotten: bool,
}

impl Schedule {
    /// Makes it every vault's turn.
    pub(super) fn forget_all(&mut self) {
        for look in self.looked_at.values_mut() {
            look.forgotten = true;
        }
    }

    /// Makes it the turn of every vault that was not seen to be ready.
    pub(super) fn forget_unready(&mut self) {
        for look in self.looked_at.values_mut() {
            look.forgotten |= !matches!(look.state, Some(VaultState::Empty | VaultState::Sealed));
        }
    }

    /// Forgets vaults that are gone.
    pub(super) fn retain<'a>(&mut self, alive: impl IntoIterator<Item = &'a SecretVault>) {
        let alive: HashSet<Key> = alive.into_iter().map(key).collect();
        self.looked_at.retain(|vault, _| alive.contains(vault));
    }

    /// Notes that the vault was looked at as it is, and what was seen.
    pub(super) fn done(&mut self, due: Due, again: Instant, state: Option<VaultState>) {
        let look = Look {
            at: Instant::now(),
            version: due.vault.resource_version(),
            stand: due.stand,
            usage: due.usage,
            data_key: due.vault.spec.data_key.clone(),
            again,
            state,
            forgotten: false,
        };
        self.looked_at.insert(key(&due.vault), look);
    }

    /// The vault's data key as it was at the last look.
    pub(super) fn data_key(&self, vault: &SecretVault) -> Option<&DataKey> {
        self.looked_at.get(&key(vault))?.data_key.as_ref()
    }

    /// How the vaults are, as far as was seen.
    pub(super) fn states(&self) -> impl Iterator<Item = VaultState> + '_ {
        self.looked_at.values().filter_map(|look| look.state)
    }

    /// Whether it is the vault's turn. Not before the watch has brought the status that was written, or
    /// it would look as if there were none. Who uses it is a reason once it is settled, and how it stands
    /// to its key once that lasts.
    pub(super) fn is_due(
        &self,
        vault: &SecretVault,
        usage: Option<&Arc<Usage>>,
        stand: Option<&Stand>,
        now: Instant,
    ) -> bool {
        self.looked_at.get(&key(vault)).is_none_or(|look| {
            if look.is_newer_than(vault, now) {
                return false;
            }
            let others = usage.is_some() && look.usage.as_ref() != usage;
            let stands = stand.is_some() && look.stand.as_ref() != stand;
            let late = look.forgotten || now >= look.again;
            others || stands || late || look.version != vault.resource_version()
        })
    }
}

impl Look {
    /// Whether the vault is one of before. For a while only: where a backup of etcd was put back, versions
    /// begin anew.
    fn is_newer_than(&self, vault: &SecretVault, now: Instant) -> bool {
        let newer = number(self.version.as_deref()) > number(vault.resource_version().as_deref());
        newer && now - self.at < CATCHING_UP
    }
}

/// Versions of one kind can be compared as numbers (KEP-5504).
fn number(version: Option<&str>) -> Option<u64> {
    version.and_then(|version| version.parse().ok())
}

fn key(vault: &SecretVault) -> Key {
    (vault.namespace(), vault.name_any())
}

/// How long the watch may be behind what was written.
const CATCHING_UP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use secretvault_crds::SecretVaultSpec;

    use super::*;
    use crate::controller::rotation::Action;

    fn vault(version: &str) -> SecretVault {
        let mut vault = SecretVault::new("app", SecretVaultSpec::default());
        vault.metadata.resource_version = Some(version.into());
        vault
    }

    fn look(version: &str) -> Due {
        Due {
            vault: Arc::new(vault(version)),
            stand: None,
            usage: None,
            before: None,
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_vault_has_its_turn_when_new_changed_or_long_not_seen() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        assert!(schedule.is_due(&vault("1"), None, None, now));
        schedule.done(look("1"), now + HOUR, None);
        assert!(!schedule.is_due(&vault("1"), None, None, now));
        assert!(schedule.is_due(&vault("2"), None, None, now));
        assert!(schedule.is_due(&vault("1"), None, None, now + HOUR));
    }

    #[test]
    fn a_vault_whose_status_was_written_has_no_turn_before_the_watch_brings_it() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let mut due = look("8");
        due.written(vault("12"));
        schedule.done(due, now + HOUR, None);
        let used = Arc::new(Usage::default());
        for (version, later, is_due) in [
            ("8", 0, false),
            ("9", 0, false),
            ("12", 0, false),
            ("13", 0, true),
            // The watch does not come that late: versions began anew.
            ("9", 60, true),
        ] {
            let now = now + Duration::from_secs(later);
            let found = schedule.is_due(&vault(version), None, None, now);
            assert_eq!(found, is_due, "{version} after {later} s");
        }
        assert!(!schedule.is_due(&vault("9"), Some(&used), None, now));
        assert!(schedule.is_due(&vault("12"), Some(&used), None, now));
    }

    #[test]
    fn what_somebody_else_changed_meanwhile_was_not_looked_at() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let mut due = look("8");
        let mut written = vault("12");
        written.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
        due.written(written);
        schedule.done(due, now + HOUR, None);
        assert!(schedule.is_due(&vault("12"), None, None, now));
    }

    #[test]
    fn a_vault_has_its_turn_when_others_use_it_and_that_is_settled() {
        let now = Instant::now();
        let (none, some) = (Arc::new(Usage::default()), Usage::default());
        let some = Arc::new(some.and(crate::consumers::Use::default(), 1));
        let mut schedule = Schedule::default();
        let mut looked = look("1");
        looked.usage = Some(Arc::clone(&none));
        schedule.done(looked, now + HOUR, None);
        assert!(!schedule.is_due(&vault("1"), Some(&none), None, now));
        assert!(!schedule.is_due(&vault("1"), None, None, now));
        assert!(schedule.is_due(&vault("1"), Some(&some), None, now));
    }

    #[test]
    fn a_vault_has_its_turn_when_it_stands_otherwise_to_its_key() {
        let stand = |action| Stand {
            action,
            trouble: None,
        };
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let mut looked = look("1");
        looked.stand = Some(stand(Action::Nothing));
        schedule.done(looked, now + HOUR, None);
        let due = |action| schedule.is_due(&vault("1"), None, Some(&stand(action)), now);
        assert!(!due(Action::Nothing));
        assert!(due(Action::Rewrap));
        assert!(!schedule.is_due(&vault("1"), None, None, now));
    }

    #[test]
    fn what_a_provider_can_do_more_concerns_those_that_did_not_open() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        for (state, unready, all) in [
            (Some(VaultState::Sealed), false, true),
            (Some(VaultState::KeyUnavailable), true, true),
            (None, true, true),
        ] {
            schedule.done(look("1"), now + HOUR, state);
            schedule.forget_unready();
            let is_due = |schedule: &Schedule| schedule.is_due(&vault("1"), None, None, now);
            assert_eq!(is_due(&schedule), unready, "{state:?}");
            schedule.forget_all();
            assert_eq!(is_due(&schedule), all, "{state:?}");
        }
    }

    #[test]
    fn a_vault_that_is_gone_is_forgotten() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.done(look("1"), now + HOUR, None);
        schedule.retain([]);
        assert!(schedule.is_due(&vault("1"), None, None, now));
    }
}
