//! What the tests on the cluster are written in: kubectl as a person would type it, pods that read
//! as prose, and patience with a bound.
//!
//! Run by `make test-cluster`, inside the cluster's network (`tests/cluster/enter`).

pub mod api;
mod bao;
mod kubectl;
mod mount;
mod node;
mod parts;
mod pod;
mod provider;
mod state;
mod system;
mod vault;
mod wait;

pub use bao::{Bao, TransitKey};
pub use kubectl::{Answer, Namespace, kubectl, kubectl_with, run, run_with};
pub use mount::Mount;
pub use node::{Node, NodeVolume, WithoutKubelet};
pub use parts::side_by_side;
pub use pod::Pod;
pub use provider::{KeyProvider, condition, now, wait_for_all_replicas};
pub use state::{STATE, State};
pub use system::{
    Part, Upgraded, WithoutOperator, helm, upgraded, wait_replaced, wait_system, without_operator,
};
pub use vault::{Vault, unless_modified};
pub use wait::{PATIENCE, eventually, eventually_within};

/// Where SecretVault is installed.
pub const SYSTEM: &str = "secretvault-system";

/// The repository's root.
#[must_use]
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
