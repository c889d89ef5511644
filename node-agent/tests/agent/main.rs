//! The agent as a process, between a test that plays kubelet and one that plays the operator.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests"
)]

mod listener;
mod node;
mod operator;

mod calls;
mod changes;
mod failures;
mod life;
mod process;
mod room;
