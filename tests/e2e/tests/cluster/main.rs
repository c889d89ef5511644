//! SecretVault on a real Kubernetes, in the order of the story: the quickstart, what is applied,
//! what is mounted, who may, what is never seen, and what happens when parts fail.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is how a test fails"
)]

mod quickstart;

mod apply;
mod editors;
mod http;
mod keyring;
mod migration;
mod rights;
mod rotation;
mod schema;
mod transit;

mod examples;

mod callers;
mod changes;
mod consumers;
mod injection;
mod launcher;
mod mounts;
mod on_delete;
mod optional;
mod restart;
mod selection;
mod values;
mod volume;

mod attacker;
mod authorise;
mod canary;
mod explain;
mod process;
mod read_back;
mod stolen_node;

mod failures;
mod install;
mod metrics;
mod options;
mod running;
mod sanity;
