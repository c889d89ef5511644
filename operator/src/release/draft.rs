//! A volume that is decided but for the keys of its vaults.
//!
//! Keys are opened for all volumes of a request together, and nothing is copied before it is known
//! how much all of them need: so one decision has a moment in which it stands still.

use secretvault_audit as audit;
use secretvault_vault::plan::{Held, Plan, withdrawn};
use secretvault_vault::{Subject, VaultRef};

use super::catch_up::Sight;
use super::data_keys::DataKeys;
use super::denied::{Denied, Denying};
use super::grant::Snapshot;
use super::identity::PodIdentity;
use super::pod::LivePod;

/// How far one volume has come.
pub(super) enum Draft {
    /// Denied, whatever becomes of keys.
    Denied {
        identity: PodIdentity,
        denying: Denying,
    },
    /// Planned.
    Planned(Box<Planned>),
    /// No pod was proved: denied, and nobody to tell.
    Unproved { pod: audit::Pod, why: Denied },
}

impl Draft {
    /// About how many bytes its grant will have.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Planned(planned) => planned.bytes,
            Self::Denied { .. } | Self::Unproved { .. } => 0,
        }
    }
}

/// A plan, and all that it takes to fill it.
pub(super) struct Planned {
    pub(super) identity: PodIdentity,
    pub(super) live: LivePod,
    pub(super) grounds: Grounds,
    pub(super) snapshot: Snapshot,
    pub(super) plan: Plan,
    /// About how many bytes its grant has.
    pub(super) bytes: usize,
    /// None yet, before they are opened.
    pub(super) keys: DataKeys,
    /// Nobody was told of its notices yet.
    pub(super) first: bool,
}

/// What a volume is judged by.
pub(super) struct Grounds {
    pub(super) sight: Sight,
    /// With the labels of its namespace, where a rule may look at them.
    pub(super) subject: Subject,
    pub(super) held: Held,
}

impl Grounds {
    /// The denial with what is withdrawn, for a right that ended must not wait until all else of
    /// the volume is mended.
    pub(super) fn deny(&self, why: Denied) -> Denying {
        let seen = |vault: &VaultRef| self.sight.vault(vault);
        Denying {
            why,
            withdrawn: withdrawn(&self.subject, seen, &self.held),
        }
    }
}
