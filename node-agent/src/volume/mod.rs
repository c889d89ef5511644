//! The volume on the node: a tmpfs of its own for each, filled before anyone sees it, changed by
//! an atomic swap, emptied before it goes. Knows nothing of vaults, tokens or kubelet's calls.

mod target;

mod contents;

mod size;

mod budget;

mod sys;

mod mountinfo;

mod mount;

mod generation;

mod wipe;

mod error;

mod layer;

pub use budget::{Budget, BudgetError};
pub use contents::{Contents, File, PathCollision};
pub use error::VolumeError;
pub use layer::{Attached, Change, GenerationName, Layer, Usage};
pub(crate) use mount::TMPFS;
pub use size::Room;
pub use target::{KubeletDir, TargetPath, TargetPathError};
