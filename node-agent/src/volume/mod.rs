//! The node's volumes: the places where they may be, the room that they have together, what is
//! there already, and one that comes, changes or goes. What is in a volume: [`secretvault_volume`].
//! Knows nothing of vaults, tokens or kubelet's calls.

mod target;

mod budget;

mod known;

mod occupant;

mod error;

mod layer;

pub use budget::{Budget, BudgetError};
pub use error::VolumeError;
pub use layer::{Attached, Layer};
pub use target::{KubeletDir, TargetPath, TargetPathError};
