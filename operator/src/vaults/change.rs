//! What changed in the view, for those who must not look at all of it each time.

use secretvault_vault::VaultRef;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What to look at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The whole view: it was listed anew, or more changed than was remembered.
    Everything,
    /// One vault, which came, changed or went.
    Vault(VaultRef),
}

/// The changes of a view since this was made.
#[derive(Debug)]
pub struct EachChange(broadcast::Receiver<Change>);

impl EachChange {
    /// Waits for the next change. None is missed: who comes too late looks at everything.
    ///
    /// Cancel-safe. Pending for ever once the view is gone.
    pub async fn next(&mut self) -> Change {
        match self.0.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => Change::Everything,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl From<broadcast::Receiver<Change>> for EachChange {
    fn from(receiver: broadcast::Receiver<Change>) -> Self {
        Self(receiver)
    }
}

/// Changes that are remembered for receivers that are not there yet.
pub(super) const REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vaults::Vaults;

    fn vault(index: usize) -> VaultRef {
        VaultRef::new("shop", format!("app-{index}"))
    }

    #[tokio::test]
    async fn each_change_names_its_vault_and_a_list_names_all() {
        let vaults = Vaults::new();
        let mut changes = vaults.each_change();
        vaults.arrive_unreadable(vault(0), "u", 1);
        vaults.leave(&vault(0));
        vaults.bookmark();
        vaults.relist([]);
        assert_eq!(changes.next().await, Change::Vault(vault(0)));
        assert_eq!(changes.next().await, Change::Vault(vault(0)));
        assert_eq!(changes.next().await, Change::Everything);
    }

    #[tokio::test]
    async fn who_comes_too_late_looks_at_everything() {
        let vaults = Vaults::new();
        let mut changes = vaults.each_change();
        for index in 0..=REMEMBERED {
            vaults.arrive_unreadable(vault(index), "u", 1);
        }
        assert_eq!(changes.next().await, Change::Everything);
        assert_eq!(changes.next().await, Change::Vault(vault(1)));
    }
}
