//! Whose turn it is: a vault that changed, or one that was not looked at for long.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::ResourceExt;
use secretvault_crds::SecretVault;
use tokio::time::Instant;

use crate::{consumers::Usage, metrics::VaultState};

/// What was looked at, in which version, and when again.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    looked_at: HashMap<Key, Look>,
}

type Key = (Option<String>, String);

#[derive(Debug)]
struct Look {
    version: Option<String>,
    usage: Option<Arc<Usage>>,
    again: Instant,
    state: Option<VaultState>,
}

impl Schedule {
    /// Makes it every vault's turn.
    pub(super) fn forget_all(&mut self) {
        self.looked_at.clear();
    }

    /// Forgets vaults that are gone.
    pub(super) fn retain<'a>(&mut self, alive: impl IntoIterator<Item = &'a SecretVault>) {
        let alive: HashSet<Key> = alive.into_iter().map(key).collect();
        self.looked_at.retain(|vault, _| alive.contains(vault));
    }

    /// Notes that the vault was looked at as it is, who used it as far as that was settled, and what
    /// was seen.
    pub(super) fn done(
        &mut self,
        vault: &SecretVault,
        usage: Option<Arc<Usage>>,
        again: Instant,
        state: Option<VaultState>,
    ) {
        let look = Look {
            version: vault.resource_version(),
            usage,
            again,
            state,
        };
        self.looked_at.insert(key(vault), look);
    }

    /// How the vaults are, as far as was seen.
    pub(super) fn states(&self) -> impl Iterator<Item = VaultState> + '_ {
        self.looked_at.values().filter_map(|look| look.state)
    }

    /// Whether it is the vault's turn. Who uses it is a reason once it is settled.
    pub(super) fn is_due(
        &self,
        vault: &SecretVault,
        usage: Option<&Arc<Usage>>,
        now: Instant,
    ) -> bool {
        self.looked_at.get(&key(vault)).is_none_or(|look| {
            let others = usage.is_some() && look.usage.as_ref() != usage;
            others || now >= look.again || look.version != vault.resource_version()
        })
    }
}

fn key(vault: &SecretVault) -> Key {
    (vault.namespace(), vault.name_any())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secretvault_crds::SecretVaultSpec;

    use super::*;

    fn vault(version: &str) -> SecretVault {
        let mut vault = SecretVault::new("app", SecretVaultSpec::default());
        vault.metadata.resource_version = Some(version.into());
        vault
    }

    #[test]
    fn a_vault_has_its_turn_when_new_changed_or_long_not_seen() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut schedule = Schedule::default();
        assert!(schedule.is_due(&vault("1"), None, now));
        schedule.done(&vault("1"), None, now + hour, None);
        assert!(!schedule.is_due(&vault("1"), None, now));
        assert!(schedule.is_due(&vault("2"), None, now));
        assert!(schedule.is_due(&vault("1"), None, now + hour));
    }

    #[test]
    fn a_vault_has_its_turn_when_others_use_it_and_that_is_settled() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let (none, some) = (Arc::new(Usage::default()), Usage::default());
        let some = Arc::new(some.and(crate::consumers::Use::default(), 1));
        let mut schedule = Schedule::default();
        schedule.done(&vault("1"), Some(Arc::clone(&none)), now + hour, None);
        assert!(!schedule.is_due(&vault("1"), Some(&none), now));
        assert!(!schedule.is_due(&vault("1"), None, now));
        assert!(schedule.is_due(&vault("1"), Some(&some), now));
    }

    #[test]
    fn a_vault_that_is_gone_is_forgotten() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.done(&vault("1"), None, now + Duration::from_secs(9), None);
        schedule.retain([]);
        assert!(schedule.is_due(&vault("1"), None, now));
    }
}
