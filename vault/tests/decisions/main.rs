//! The decisions, as tables and as properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod access;
mod combinations;
mod editors;
mod effort;
mod explain;
mod fixture;
mod held;
mod names;
mod never;
mod pattern;
mod plan;
mod properties;
mod request;
mod rules;
mod texts;
mod vaults;
