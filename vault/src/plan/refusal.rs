//! Why a volume cannot be filled, in the words of the pod's Event.

use std::fmt;

use thiserror::Error;

use crate::names::{EntryName, FilePath, NameError, VaultRef};

/// Why a volume cannot be filled. The text tells nothing of namespaces that the pod may not see.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The patterns of a vault that are about the pod are too many or too long for its entries. Admission
    /// refuses such a vault: it was stored before.
    #[error(
        "vault {vault}: comparing the patterns in its access with its entries would take too long: \
         use fewer or shorter patterns there, or split the vault"
    )]
    AccessTooLarge {
        /// The vault.
        vault: VaultRef,
    },
    /// We have not seen yet what the volume shows already: ask again.
    #[error("vault {vault}: this replica has not seen its last change yet")]
    Behind {
        /// The vault.
        vault: VaultRef,
    },
    /// No rule allows it; of another namespace: or it does not exist.
    #[error("{}", Forbidden { account, vaults, entry: entry.as_ref() })]
    Forbidden {
        /// The pod's service account, as `namespace/name`.
        account: String,
        /// The vaults that were asked.
        vaults: Vec<VaultRef>,
        /// The entry; none if a whole vault is meant.
        entry: Option<EntryName>,
    },
    /// What is asked for is too much for what the vaults have.
    #[error(
        "items: comparing them with the entries and the access of these vaults would take too long: \
         use fewer or shorter patterns and names, or several volumes with fewer vaults each"
    )]
    ItemsTooLarge,
    /// Does not exist, in the pod's own namespace or where the pod may have it.
    #[error("{}", NotFound { vaults, entry: entry.as_ref() })]
    NotFound {
        /// The vaults that were asked.
        vaults: Vec<VaultRef>,
        /// The entry; none if a whole vault is meant.
        entry: Option<EntryName>,
    },
    /// Two files of one vault that cannot be side by side.
    #[error(
        "vault {vault}: entries {} and {} cannot both be in one volume: {path} would be two files, \
         or a file and a directory; give one of them another path in the vault's files or in items",
        entries[0], entries[1]
    )]
    PathCollision {
        /// The vault.
        vault: VaultRef,
        /// The path of the second.
        path: FilePath,
        /// The entries.
        entries: [EntryName; 2],
    },
    /// A path that cannot be below its vault's prefix: together they are too long.
    #[error(
        "vault {vault}: entry {entry} cannot land below the prefix: {reason}; shorten the prefix, \
         or give the entry a shorter path in items"
    )]
    PrefixTooLong {
        /// The vault.
        vault: VaultRef,
        /// The entry.
        entry: EntryName,
        /// What is wrong with the whole path.
        reason: NameError,
    },
}

struct Forbidden<'a> {
    account: &'a str,
    vaults: &'a [VaultRef],
    entry: Option<&'a EntryName>,
}

impl fmt::Display for Forbidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |vault: &VaultRef| self.account.split('/').next() == Some(&*vault.namespace);
        match (self.entry, self.vaults) {
            (Some(entry), vaults) => {
                let vaults = listed(vaults);
                write!(
                    f,
                    "entry {entry} of {vaults} is not allowed to this pod: no rule of its access \
                     allows it to service account {} with these labels",
                    self.account
                )
            }
            (None, [vault]) if own(vault) => write!(
                f,
                "vault {vault} allows this pod no entry: its access has no rule for service \
                 account {} with these labels",
                self.account
            ),
            (None, vaults) => write!(
                f,
                "{} does not exist or does not allow this pod ({})",
                listed(vaults),
                self.account
            ),
        }
    }
}

struct NotFound<'a> {
    vaults: &'a [VaultRef],
    entry: Option<&'a EntryName>,
}

impl fmt::Display for NotFound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vaults = listed(self.vaults);
        match self.entry {
            Some(entry) => write!(
                f,
                "entry {entry} is not in {vaults}: add it, or correct items"
            ),
            None => write!(f, "{vaults} does not exist: create it, or correct vaults"),
        }
    }
}

fn listed(vaults: &[VaultRef]) -> String {
    let names: Vec<String> = vaults.iter().map(ToString::to_string).collect();
    format!("vault {}", names.join(" or "))
}
