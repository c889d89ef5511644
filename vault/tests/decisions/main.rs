//! The decisions, as tables and as properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod access;
mod fixture;
mod held;
mod names;
mod pattern;
mod plan;
mod properties;
mod request;
mod texts;
mod vaults;
