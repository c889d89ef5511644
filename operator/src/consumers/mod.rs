//! Who shows which vault: what the agents that watch this replica say their volumes hold.
//!
//! An agent can only speak of what was granted to a pod of its own node: the release protocol
//! verifies that before it tells anything here.

mod registry;

pub use registry::{Consumer, Consumers, Holding};
