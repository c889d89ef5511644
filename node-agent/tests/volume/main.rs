//! The volume layer on the real kernel. Each test has a mount namespace of its own.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests"
)]

mod node;

mod attach;
mod capabilities;
mod removal;
mod update;
