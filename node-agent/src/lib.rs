//! The node agent: kubelet calls it for a pod's volume, it asks the operator for what the pod may
//! have, opens it, and writes it to a tmpfs of the pod's own.
//!
//! The modules stand in the order of that story.

pub mod config;

pub mod harden;

pub mod log;

pub mod run;

pub mod csi;

pub mod publish;

pub mod release;

pub mod volume;

pub mod state;

pub mod metrics;

pub mod serve;
