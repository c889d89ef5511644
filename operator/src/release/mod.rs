//! Release: decides which files a pod may have, and hands out the keys of exactly those.
//!
//! The modules stand in the order of a request: who asks, what is asked, whether the pod lives,
//! what is refused, what is granted, what is told about it; then when to ask again.
//!
//! # Guarantees
//! * Nothing is believed because an agent says it: an agent proves itself and each pod with a
//!   token, and the API server is asked about both, and about the pod itself.
//! * A grant holds envelopes and the keys of the allowed entries, each of which opens one
//!   envelope. It never holds a data key or an opened value.
//! * An agent that is cut off from the API server, or a replica that is, changes nothing in
//!   running pods: it gets, or gives, no verdict.

pub mod identity;
mod review;

mod asked;
mod pod;

mod catch_up;

mod denied;

mod data_keys;
mod grant;

mod draft;

mod decision;
mod verdict;

mod audited;
mod metrics;
mod told;

mod watch;

mod strangers;

mod shares;

mod message;
mod outline;

mod room;

mod gate;
mod service;

pub use metrics::ReleaseMetrics;
pub use service::{Parts, router};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
