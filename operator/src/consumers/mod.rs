//! Who shows which vault: what the agents that watch this replica say their volumes hold.
//!
//! An agent can only speak of what was granted to a pod of its own node: the release protocol
//! verifies that before it tells anything here.
//!
//! Each replica knows the consumers of its own streams. It publishes them in a ConfigMap, from which
//! the replica that leads collects those of all.

mod registry;

mod report;

mod publish;

mod collect;
mod usage;

pub use collect::{Collector, Known};
pub use publish::Publisher;
pub use registry::{Consumer, Consumers, Holding};
pub use usage::{PodName, Usage, Usages, Use};

#[cfg(test)]
pub(crate) mod fake;
